"""Filters that read aggregates' metadata, with the examples of Nova's guide."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenter.contracts.table import ACCEPT_ALL
from tenter.scheduler.table import table_of
from tenter_plugins.filters.aggregates import (
    AggregateImagePropertiesIsolation,
    AggregateInstanceExtraSpecsFilter,
    AggregateMultiTenancyIsolation,
    AggregateTypeAffinityFilter,
)
from tenter_plugins.filters.limits import (
    AggregateIoOpsFilter,
    AggregateNumInstancesFilter,
    IoOpsFilter,
    NumInstancesFilter,
)
from tests.unit.filters.world import ask, codes, host, in_aggregates, make, refused

SSD = in_aggregates("ssd", {"ssd": "true", "cores": "4, 8"})
HDD = in_aggregates("hdd", {"ssd": "false"}, {"ssd": "maybe"})
BARE = host("bare")


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ({}, {}),
        ({"aggregate_instance_extra_specs:ssd": "true"}, {"hdd": "aggregate.other", "bare": "aggregate.missing"}),
        ({"ssd": "true"}, {"hdd": "aggregate.other", "bare": "aggregate.missing"}),
        ({"aggregate_instance_extra_specs:ssd": "<or> true <or> maybe"}, {"bare": "aggregate.missing"}),
        ({"aggregate_instance_extra_specs:cores": ">= 8"}, {"hdd": "aggregate.missing", "bare": "aggregate.missing"}),
        ({"hw:cpu_policy": "dedicated", "capabilities:ssd": "x"}, {}),
        ({"aggregate_instance_extra_specs:none": "1"}, dict.fromkeys(("ssd", "hdd", "bare"), "aggregate.missing")),
        (
            {"aggregate_instance_extra_specs:cores": ">= x"},
            dict.fromkeys(("ssd", "hdd", "bare"), "extra_spec.malformed"),
        ),
    ],
)  # fmt: skip
def test_extra_specs(tmp_path: Path, specs: dict[str, str], expected: dict[str, str]) -> None:
    assert (
        codes(make(AggregateInstanceExtraSpecsFilter, tmp_path), [SSD, HDD, BARE], ask(extra_specs=specs)) == expected
    )


def test_the_figures_are_what_was_asked_and_what_the_aggregates_have(tmp_path: Path) -> None:
    found = refused(make(AggregateInstanceExtraSpecsFilter, tmp_path), [SSD, HDD], ask(extra_specs={"ssd": "true"}))
    assert found == {"hdd": ("aggregate.other", {"key": "ssd", "asked": "true", "host": ["false", "maybe"]})}


WINDOWS = in_aggregates("windows", {"os_distro": "windows", "ns.hw_vif_model": "virtio"})
LINUX = in_aggregates("linux", {"os_distro": "debian,ubuntu"})


@pytest.mark.parametrize(
    ("properties", "options", "expected"),
    [
        ({"os_distro": "windows"}, {}, {"linux"}),
        ({"os_distro": "ubuntu"}, {}, {"windows"}),
        ({"os_type": "linux"}, {}, set()),
        ({}, {}, set()),
        ({"os_distro": "windows"}, {"namespace": "ns"}, set()),
        ({"ns.hw_vif_model": "e1000"}, {"namespace": "ns"}, {"windows"}),
        ({"ns.hw_vif_model": "e1000"}, {"namespace": "ns", "separator": "_"}, set()),
    ],
)
def test_image_properties(
    tmp_path: Path, properties: dict[str, str], options: dict[str, str], expected: set[str]
) -> None:
    options = {f"aggregate_image_properties_isolation_{name}": value for name, value in options.items()}
    judge = make(AggregateImagePropertiesIsolation, tmp_path, **options)
    found = refused(judge, [WINDOWS, LINUX, BARE], ask(image_properties=properties))
    assert set(found) == expected
    for code, figures in found.values():
        assert code == "image_property.other"
        assert figures["asked"] in properties.values() and figures["host"]


def test_projects_are_isolated_and_none_is_named(tmp_path: Path) -> None:
    views = [
        host("a"), in_aggregates("b", {"filter_tenant_id": "p1, p2"}), in_aggregates("c", {"filter_tenant_id": "p2"}),
        in_aggregates("d", {"filter_tenant_id": "p2"}, {"filter_tenant_id3": "p1"}),
    ]  # fmt: skip
    judge = make(AggregateMultiTenancyIsolation, tmp_path)
    assert refused(judge, views, ask(project_id="p1")) == {"c": ("project.isolated", {})}
    assert set(refused(judge, views, ask(project_id="p3"))) == {"b", "c", "d"}
    assert judge.mask(table_of([host()]), ask()) is ACCEPT_ALL


def test_flavors_of_an_aggregate(tmp_path: Path) -> None:
    views = [host("a"), in_aggregates("b", {"instance_type": "m1.nano,m1.small"}),
             in_aggregates("c", {"instance_type": "m1.nano"}, {"instance_type": "m1.large"})]  # fmt: skip
    judge = make(AggregateTypeAffinityFilter, tmp_path)
    assert refused(judge, views, ask(flavor="m1.small")) == {"c": ("flavor.other", {"asked": "m1.small"})}
    assert codes(judge, views, ask(flavor="m1.nano")) == {}
    assert set(codes(judge, views, ask(flavor="m1"))) == {"b", "c"}


@pytest.mark.parametrize(
    ("cls", "per_aggregate", "option", "field", "code"),
    [
        (IoOpsFilter, AggregateIoOpsFilter, "max_io_ops_per_host", "io_ops", "io_ops.limit"),
        (NumInstancesFilter, AggregateNumInstancesFilter, "max_instances_per_host", "instances", "instances.limit"),
    ],
)
def test_limits(tmp_path: Path, cls: type, per_aggregate: type, option: str, field: str, code: str) -> None:
    views = [host("free", **{field: 2}), host("full", **{field: 3}),
             in_aggregates("more", {option: "9"}, {option: "4"}, **{field: 3}),
             in_aggregates("less", {option: "1"}, {"other": "1"}, **{field: 2}),
             in_aggregates("odd", {option: "many"}, {option: "1"}, **{field: 2}),
             in_aggregates("absurd", {option: "9" * 400}, **{field: 100})]  # fmt: skip
    found = refused(make(cls, tmp_path, **{option: 3}), views, ask())
    assert found == {
        "full": (code, {"host": 3, "most": 3}), "more": (code, {"host": 3, "most": 3}),
        "absurd": (code, {"host": 100, "most": 3}),
    }  # fmt: skip
    found = refused(make(per_aggregate, tmp_path, **{option: 3}), views, ask())
    assert found == {"full": (code, {"host": 3, "most": 3}), "less": (code, {"host": 2, "most": 1})}


def test_default_limits_are_those_of_nova(tmp_path: Path) -> None:
    assert set(codes(make(IoOpsFilter, tmp_path), [host("a", io_ops=7), host("b", io_ops=8)], ask())) == {"b"}
    views = [host("a", instances=49), host("b", instances=50)]
    assert set(codes(make(NumInstancesFilter, tmp_path), views, ask())) == {"b"}
