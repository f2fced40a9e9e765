"""The filters that look at what every request asks: state, zone, resources, traits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenter.contracts.scheduling import Provider, Resource
from tenter.contracts.table import ACCEPT_ALL
from tenter.scheduler.table import table_of
from tenter_plugins.filters.all_hosts import AllHostsFilter
from tenter_plugins.filters.availability_zone import AvailabilityZoneFilter
from tenter_plugins.filters.compute import ComputeFilter
from tenter_plugins.filters.metrics import MetricsFilter
from tenter_plugins.filters.resources import ResourceFilter
from tenter_plugins.filters.traits import TraitFilter
from tests.unit.filters.world import ask, codes, host, make, refused


def test_all_hosts(tmp_path: Path) -> None:
    assert make(AllHostsFilter, tmp_path).mask(table_of([host(up=False)]), ask()) is ACCEPT_ALL


def test_hosts_that_are_enabled_and_up(tmp_path: Path) -> None:
    views = [host("a"), host("b", up=False), host("c", enabled=False, up=False), host("d", enabled=False,
             disabled_reason="repair")]  # fmt: skip
    assert refused(make(ComputeFilter, tmp_path), views, ask()) == {
        "b": ("host.down", {}), "c": ("host.disabled", {"reason": "none given"}),
        "d": ("host.disabled", {"reason": "repair"}),
    }  # fmt: skip


def test_zones(tmp_path: Path) -> None:
    judge, views = make(AvailabilityZoneFilter, tmp_path), [host("a", zone="z1"), host("b", zone="z2")]
    assert refused(judge, views, ask(zone="z1")) == {"b": ("zone.other", {"asked": "z1", "host": "z2"})}
    assert judge.mask(table_of(views), ask()) is ACCEPT_ALL


ROOM = {
    "VCPU": Resource(8, 2), "MEMORY_MB": Resource(1000, 900), "DISK_GB": Resource(100, 0, 10, 1.5),
    "CUSTOM_GOLD": Resource(100, 0, step_size=5, min_unit=10, max_unit=50),
}  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "code", "figures"),
    [
        ({}, None, {}),
        ({"VCPU": 6, "MEMORY_MB": 100, "DISK_GB": 135}, None, {}),
        ({"VCPU": 7}, "cpu.short", {"asked": 7, "free": 6}),
        ({"VCPU": 1, "MEMORY_MB": 101}, "ram.short", {"asked": 101, "free": 100}),
        ({"DISK_GB": 136}, "disk.short", {"asked": 136, "free": 135}),
        ({"VGPU": 1}, "vgpu.short", {"asked": 1, "free": 0}),
        ({"VGPU": 0, "DISK_GB": 0}, None, {}),
        ({"VCPU": 10**30}, "cpu.unit", {"asked": 10**30, "least": 1, "most": 2**31 - 1, "step": 1}),
        ({"VCPU": -1}, "cpu.unit", {"asked": -1, "least": 0}),
        ({"CUSTOM_GOLD": 50}, None, {}),
        ({"CUSTOM_GOLD": 55}, "custom_gold.unit", {"asked": 55, "least": 10, "most": 50, "step": 5}),
        ({"CUSTOM_GOLD": 5}, "custom_gold.unit", {"asked": 5, "least": 10, "most": 50, "step": 5}),
        ({"CUSTOM_GOLD": 12}, "custom_gold.unit", {"asked": 12, "least": 10, "most": 50, "step": 5}),
    ],
)
def test_resources(tmp_path: Path, asked: dict[str, int], code: str | None, figures: dict[str, Any]) -> None:
    large = host("large", resources={name: Resource(2**40, 0) for name in (*ROOM, "CUSTOM_NONE")})
    found = refused(make(ResourceFilter, tmp_path), [host("h1", resources=ROOM), large], ask(resources=asked))
    assert found.get("h1") == (None if code is None else (code, figures))


def test_more_used_than_there_is_leaves_nothing(tmp_path: Path) -> None:
    views = [host("h1", resources={"VCPU": Resource(4, 9)}), host("h2", resources={})]
    found = refused(make(ResourceFilter, tmp_path), views, ask(resources={"VCPU": 1}))
    assert found == dict.fromkeys(("h1", "h2"), ("cpu.short", {"asked": 1, "free": 0}))


def test_any_part_may_serve_what_the_host_has_in_parts_only(tmp_path: Path) -> None:
    def gpus(*resources: Resource) -> Any:
        parts = tuple(Provider(f"g{n}", f"g{n}", "h", {"VGPU": each}) for n, each in enumerate(resources))
        shown = max(resources, key=lambda each: each.free)
        return {"providers": parts, "of_parts": frozenset({"VGPU"}), "resources": {"VGPU": shown}}

    views = [
        host("one", **gpus(Resource(8, 0, min_unit=4), Resource(2, 0))),  # the freest does not give so little
        host("none", **gpus(Resource(8, 0, min_unit=4), Resource(2, 2))),
        host("full", **gpus(Resource(8, 8), Resource(2, 2))),
    ]
    found = codes(make(ResourceFilter, tmp_path), views, ask(resources={"VGPU": 1}))
    assert found == {"none": "vgpu.unit", "full": "vgpu.short"}


AVX, SGX = "HW_CPU_X86_AVX2", "HW_CPU_X86_SGX"


@pytest.mark.parametrize(
    ("required", "forbidden", "expected"),
    [
        ((), (), {}),
        ((AVX,), (), {"sgx": ("trait.missing", {"traits": [AVX]}), "bare": ("trait.missing", {"traits": [AVX]})}),
        ((AVX, SGX), (), {"sgx": ("trait.missing", {"traits": [AVX]}), "avx": ("trait.missing", {"traits": [SGX]}),
                          "bare": ("trait.missing", {"traits": [AVX, SGX]})}),
        ((), (AVX, "CUSTOM_X"), {"avx": ("trait.forbidden", {"traits": [AVX]})}),
        ((SGX,), (AVX,), {"avx": ("trait.missing", {"traits": [SGX]}), "bare": ("trait.missing", {"traits": [SGX]})}),
    ],
)  # fmt: skip
def test_traits(tmp_path: Path, required: Any, forbidden: Any, expected: Any) -> None:
    views = [host("avx", traits=frozenset({AVX})), host("sgx", traits=frozenset({SGX})), host("bare")]
    request = ask(required_traits=frozenset(required), forbidden_traits=frozenset(forbidden))
    assert refused(make(TraitFilter, tmp_path), views, request) == expected


def test_a_part_that_serves_may_have_the_required_trait(tmp_path: Path) -> None:
    gpu = Provider("g", "g", "h", {"VGPU": Resource(1, 0)}, frozenset({"CUSTOM_BIG"}))
    view = host(
        providers=(gpu,), of_parts=frozenset({"VGPU"}), resources={"VGPU": Resource(1, 0), "VCPU": Resource(1, 0)}
    )
    judge, required = make(TraitFilter, tmp_path), frozenset({"CUSTOM_BIG"})
    assert codes(judge, [view], ask(resources={"VGPU": 1}, required_traits=required)) == {}
    assert codes(judge, [view], ask(resources={"VCPU": 1}, required_traits=required)) == {"h1": "trait.missing"}


def test_metrics_that_are_weighed_must_be_measured(tmp_path: Path) -> None:
    measured = {"cpu.percent": 1.0, "cpu.frequency": 0.0}
    views = [host("both", metrics=measured), host("one", metrics={"cpu.percent": 1.0}), host("none")]
    judge = make(MetricsFilter, tmp_path, metrics_weight_setting=["cpu.percent=-1.0", "cpu.frequency=0"])
    assert refused(judge, views, ask()) == dict.fromkeys(
        ("one", "none"), ("metrics.missing", {"metric": "cpu.frequency"})
    )
    assert make(MetricsFilter, tmp_path).mask(table_of(views), ask()) is ACCEPT_ALL
