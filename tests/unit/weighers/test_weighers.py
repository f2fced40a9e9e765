"""What each shipped weigher prefers, in the examples of its documentation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenter.conf import new_conf
from tenter.contracts.base import PluginSetup
from tenter.contracts.scheduling import (
    HostView,
    Hypervisor,
    ImageUse,
    PlacementRequest,
    Provider,
    Resource,
    ServerGroup,
)
from tenter.contracts.table import HostTable
from tenter.contracts.weigher import Weigher
from tenter.plugins import loading
from tenter.scheduler.table import table_of
from tenter.testing.weigher import weights
from tenter_plugins.weighers.pci import free_devices

UUID = "5f0c1a3e-0000-4000-8000-00000000000{}"
CELL, OTHER = UUID.format("c"), UUID.format("d")
REQUEST = PlacementRequest(UUID.format(0), "p", {"VCPU": 1})
DEBIAN, WINDOWS = {"os_distro": "debian", "hw_machine_type": "q35"}, {"os_distro": "windows", "hw_machine_type": "q35"}


def _make(tmp_path: Path, name: str, options: Mapping[str, object]) -> Weigher:
    cls = loading.load_class("weigher", name, Weigher)
    conf = new_conf([], tmp_path)
    conf.register_opts(list(cls.options), group=cls.section)
    for option, value in options.items():
        conf.set_override(option, value, group=cls.section)
    return cls(PluginSetup(conf=conf, state_dir=tmp_path))


def _hosts(*fields: Mapping[str, Any]) -> list[HostView]:
    return [
        HostView(**{"provider_uuid": UUID.format(n), "host": f"h{n}", "node": f"n{n}", "zone": "nova", "enabled": True,
                    "up": True, "resources": {}, **each})
        for n, each in enumerate(fields)
    ]  # fmt: skip


def _free(name: str, *amounts: int) -> list[HostView]:
    return _hosts(*({"resources": {name: Resource(64, 64 - amount)}} for amount in amounts), {})


def _pci(*counts: int) -> list[HostView]:
    def device(number: int) -> Provider:
        address = f"pci_0000:81:00.{number}"
        return Provider(UUID.format("a"), address, UUID.format(0), {"CUSTOM_GPU": Resource(1, 0)})

    return _hosts(*({"providers": tuple(device(number % 8) for number in range(count))} for count in counts))


def _group(policy: str) -> PlacementRequest:
    return replace(REQUEST, server_group=ServerGroup(UUID.format(9), policy, 1, {"h0": 2, "h2": 1, "gone": 4}))


_METRICS = _hosts({"metrics": {"a": 10.0, "b": 5.0}}, {"metrics": {"a": 10.0}}, {"metrics": {"a": 20.0, "b": 0.0}})
_IMAGES = _hosts({}, {"images": (ImageUse(DEBIAN, 1), ImageUse(WINDOWS, 2))}, {"images": (ImageUse(WINDOWS, 3),)})
_OF_DEBIAN = replace(REQUEST, image_properties=DEBIAN)
_SETTING = "metrics_weight_setting"
_PROPERTIES = "image_props_weight_setting"

CASES = [
    # name, options, hosts, request, weights
    ("CPUWeigher", {}, _free("VCPU", 4, 16), REQUEST, [4, 16, 0]),
    ("CPUWeigher", {}, _hosts({}, {}), REQUEST, [0, 0]),
    ("CPUWeigher", {}, _hosts({"resources": {"VCPU": Resource(4, 6, 1, 4.0)}}), REQUEST, [6]),
    ("RAMWeigher", {}, _free("MEMORY_MB", 64, 1), REQUEST, [64, 1, 0]),
    ("DiskWeigher", {}, _free("DISK_GB", 0, 7), REQUEST, [0, 7, 0]),
    ("IoOpsWeigher", {}, _hosts({"io_ops": 3}, {}), REQUEST, [3, 0]),
    ("NumInstancesWeigher", {}, _hosts({"instances": 3}, {}), REQUEST, [3, 0]),
    ("HypervisorVersionWeigher", {}, _hosts({"hypervisor": Hypervisor("QEMU", 7002002)}, {}), REQUEST, [7002002, 0]),
    ("PCIWeigher", {}, _pci(1, 0, 30, 120, 400), REQUEST, [-1, 0, -30, -99, -99]),
    ("PCIWeigher", {}, _hosts({}, {}), REQUEST, [0, 0]),
    ("ServerGroupSoftAffinityWeigher", {}, _hosts({}, {}, {}), _group("soft-affinity"), [2, 0, 1]),
    ("ServerGroupSoftAffinityWeigher", {}, _hosts({}, {}, {}), _group("soft-anti-affinity"), [0, 0, 0]),
    ("ServerGroupSoftAffinityWeigher", {}, _hosts({}, {}, {}), _group("affinity"), [0, 0, 0]),
    ("ServerGroupSoftAffinityWeigher", {}, _hosts({}, {}, {}), REQUEST, [0, 0, 0]),
    ("ServerGroupSoftAntiAffinityWeigher", {}, _hosts({}, {}, {}), _group("soft-anti-affinity"), [-2, 0, -1]),
    ("ServerGroupSoftAntiAffinityWeigher", {}, _hosts({}, {}, {}), _group("soft-affinity"), [0, 0, 0]),
    ("CrossCellWeigher", {}, _hosts({"cell": OTHER}, {"cell": CELL}), replace(REQUEST, cell=CELL), [0, 1]),
    ("CrossCellWeigher", {}, _hosts({"cell": OTHER}, {"cell": CELL}), REQUEST, [0, 0]),
    ("BuildFailureWeigher", {}, _hosts({"failed_builds": 2}, {"failed_builds": 3}), REQUEST, [0, -3]),
    ("BuildFailureWeigher", {"build_failure_threshold": 1}, _hosts({"failed_builds": 2}, {}), REQUEST, [-2, 0]),
    ("MetricsWeigher", {}, _METRICS, REQUEST, [0, 0, 0]),
    ("MetricsWeigher", {_SETTING: ["a=1.0", " b = -1.3"]}, _METRICS, REQUEST, [3.5, -10000, 20]),
    ("MetricsWeigher", {_SETTING: ["a=1", "b=0"]}, _METRICS, REQUEST, [10, 10, 20]),
    ("MetricsWeigher", {_SETTING: ["c=1"], "metrics_weight_of_unavailable": -5}, _METRICS, REQUEST, [-5, -5, -5]),
    ("ImagePropertiesWeigher", {}, _IMAGES, _OF_DEBIAN, [0, 4, 3]),
    ("ImagePropertiesWeigher", {_PROPERTIES: ["os_distro=10"]}, _IMAGES, _OF_DEBIAN, [0, 10, 0]),
    ("ImagePropertiesWeigher", {_PROPERTIES: ["os_distro=2", "hw_machine_type=-1"]}, _IMAGES, _OF_DEBIAN, [0, -1, -3]),
    ("ImagePropertiesWeigher", {}, _IMAGES, REQUEST, [0, 0, 0]),
    ("ImagePropertiesWeigher", {}, _hosts({}, {}), _OF_DEBIAN, [0, 0]),
]


@pytest.mark.parametrize(("name", "options", "hosts", "request_", "found"), CASES)
def test_the_column(
    tmp_path: Path, name: str, options: dict[str, object], hosts: list[HostView], request_: PlacementRequest,
    found: list[float],
) -> None:  # fmt: skip
    assert weights(_make(tmp_path, name, options), table_of(hosts), request_) == pytest.approx(found)


@pytest.mark.parametrize(
    ("name", "multiplier"),
    [
        ("CPUWeigher", 1), ("RAMWeigher", 1), ("DiskWeigher", 1), ("MetricsWeigher", 1), ("IoOpsWeigher", -1),
        ("PCIWeigher", 1), ("ServerGroupSoftAffinityWeigher", 1), ("ServerGroupSoftAntiAffinityWeigher", 1),
        ("BuildFailureWeigher", 1e6), ("CrossCellWeigher", 1e6), ("HypervisorVersionWeigher", 1),
        ("NumInstancesWeigher", 0), ("ImagePropertiesWeigher", 0),
    ],
)  # fmt: skip
def test_the_multiplier_is_the_documented_one_unless_an_option_says_another(
    tmp_path: Path, name: str, multiplier: float
) -> None:
    plain = _make(tmp_path, name, {})
    assert plain.multiplier() == multiplier
    assert _make(tmp_path, name, {type(plain).options[0].dest: 2.5}).multiplier() == 2.5


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("pci_weight_multiplier", -1), ("soft_affinity_weight_multiplier", -0.5),
        ("soft_anti_affinity_weight_multiplier", -1), ("build_failure_weight_multiplier", -1),
        (_SETTING, ["a"]), (_SETTING, ["=1"]), (_SETTING, ["a=b"]), (_SETTING, ["a=1=2"]), (_SETTING, ["a=1e999"]),
        (_SETTING, ["a=nan"]), (_PROPERTIES, ["os_distro:1"]), ("metrics_weight_of_unavailable", "inf"),
    ],
)  # fmt: skip
def test_a_value_that_means_nothing_is_refused(tmp_path: Path, option: str, value: object) -> None:
    for name in ("PCIWeigher", "ServerGroupSoftAffinityWeigher", "ServerGroupSoftAntiAffinityWeigher", "MetricsWeigher",
                 "BuildFailureWeigher", "ImagePropertiesWeigher"):  # fmt: skip
        if option in [each.dest for each in loading.load_class("weigher", name, Weigher).options]:
            with pytest.raises(ValueError):
                _make(tmp_path, name, {option: value})
            return
    pytest.fail(f"no weigher has the option {option}")


def test_what_is_no_ratio_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'a:1' is not NAME=NUMBER, such as"):
        _make(tmp_path, "MetricsWeigher", {_SETTING: ["a:1"]})


def test_metrics_of_any_size_differ_by_a_number(tmp_path: Path) -> None:
    weigher = _make(tmp_path, "MetricsWeigher", {_SETTING: ["a=999999999", "b=1"]})
    hosts = _hosts({"metrics": {"a": 1.7e308, "b": 1.7e308}}, {"metrics": {"a": -1.7e308, "b": 0.0}})
    high, low = weights(weigher, table_of(hosts), REQUEST)
    assert high > low and math.isfinite(high - low)


def test_devices_are_counted_anew_when_one_is_taken(tmp_path: Path) -> None:
    weigher = _make(tmp_path, "PCIWeigher", {})
    table = table_of(_pci(2, 1))
    assert weights(weigher, table, REQUEST) == weights(weigher, table, REQUEST) == [-2, -1]
    first, second = table.providers[0]
    taken = replace(first, resources={"CUSTOM_GPU": Resource(1, 1)})
    after: HostTable = replace(table, providers={**table.providers, 0: (taken, second)})
    assert weights(weigher, after, REQUEST) == [-1, -1]
    assert weights(weigher, table, REQUEST) == [-2, -1]


@pytest.mark.parametrize(
    ("part", "resource_class", "free"),
    [
        ("pci_0000:81:00.0", "CUSTOM_ANY", 3), ("0000:81:00.0", "VGPU", 3), ("card", "CUSTOM_PCI_8086_1572", 3),
        ("card", "PCI_DEVICE", 3), ("card", "SRIOV_NET_VF", 3), ("numa-0", "NUMA_CORE", 0), ("card", "CUSTOM_ANY", 0),
        ("a0000:81:00.0", "VGPU", 0),
    ],
)  # fmt: skip
def test_what_counts_as_a_device(part: str, resource_class: str, free: int) -> None:
    parts = [Provider(UUID.format(1), part, UUID.format(0), {resource_class: Resource(4, 1)})]
    assert free_devices(parts) == free
    over = [Provider(UUID.format(1), part, UUID.format(0), {resource_class: Resource(0, 2)})]
    assert free_devices([*parts, *over]) == free
