"""Filters that look at hosts' parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenter.contracts.scheduling import HostView, Provider, Resource, ResourceGroup
from tenter_plugins.filters.parts import NUMATopologyFilter, PciPassthroughFilter, ResourceGroupsFilter
from tests.unit.filters.world import ask, codes, host, make, refused

ROOT = "HW_NUMA_ROOT"


def part(name: str, *traits: str, **resources: int) -> Provider:
    free = {key: Resource(total, 0) for key, total in resources.items()}
    return Provider(f"{name}-uuid", name, "host", free, frozenset(traits))


def numa_host(name: str, *cpus: int) -> HostView:
    nodes = tuple(part(f"{name}-numa{n}", ROOT, VCPU=count, MEMORY_MB=1024) for n, count in enumerate(cpus))
    return host(
        name, resources={"DISK_GB": Resource(100, 0)}, providers=nodes, of_parts=frozenset({"VCPU", "MEMORY_MB"})
    )


def group(name: str, apart: str = "", required: str = "", **resources: int) -> ResourceGroup:
    return ResourceGroup(name, resources, frozenset({required} - {""}), apart=apart)


def numa(name: str, apart: str = "", **resources: int) -> ResourceGroup:
    return group(name, apart, ROOT, **resources)


NUMA = [host("plain"), numa_host("two", 4, 4), numa_host("odd", 8, 1), numa_host("one", 8)]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), {}),
        ((numa("numa0", VCPU=4, MEMORY_MB=512),), {"plain": "numa.none"}),
        ((numa("numa0", "numa", VCPU=3), numa("numa1", "numa", VCPU=3)),
         {"plain": "numa.none", "odd": "numa.groups.unserved", "one": "numa.groups.unserved"}),
        ((numa("numa0", VCPU=9),), {"plain": "numa.none", "two": "numa.cpu.short", "odd": "numa.cpu.short",
                                     "one": "numa.cpu.short"}),
    ],
)  # fmt: skip
def test_numa_nodes(tmp_path: Path, groups: tuple[ResourceGroup, ...], expected: dict[str, str]) -> None:
    judge = make(NUMATopologyFilter, tmp_path)
    # Whatever else is asked is not its business.
    others = (group("pci0", CUSTOM_NIC=1), group("1", VGPU=1))
    request = ask(groups=(*groups, *others), resources={"DISK_GB": 10**6}, required_traits=frozenset({"CUSTOM_NONE"}))
    assert judge.applies(request) is bool(groups)
    assert codes(judge, NUMA, request) == expected


NICS = [
    host("plain"),
    host("one", providers=(part("n1", "CUSTOM_FAST", CUSTOM_NIC=1),)),
    host("two", providers=(part("n1", CUSTOM_NIC=1), part("n2", CUSTOM_NIC=1))),
]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((group("pci0", CUSTOM_NIC=1),), {"plain": "pci.none"}),
        ((group("pci0", CUSTOM_NIC=1), group("pci1", CUSTOM_NIC=1)),
         {"plain": "pci.none", "one": "pci.custom_nic.short"}),
        ((group("pci0", required="CUSTOM_FAST", CUSTOM_NIC=1),), {"plain": "pci.none", "two": "pci.trait.missing"}),
        ((group("pci0", CUSTOM_GPU=1),),
         {"plain": "pci.none", "one": "pci.custom_gpu.short", "two": "pci.custom_gpu.short"}),
        ((numa("numa0", VCPU=99),), {}),
    ],
)  # fmt: skip
def test_pci_devices(tmp_path: Path, groups: tuple[ResourceGroup, ...], expected: dict[str, str]) -> None:
    assert codes(make(PciPassthroughFilter, tmp_path), NICS, ask(groups=groups)) == expected


def test_all_of_a_request_at_once(tmp_path: Path) -> None:
    judge = make(ResourceGroupsFilter, tmp_path)
    gpus = (part("g1", "CUSTOM_BIG", VGPU=2), part("g2", VGPU=2))
    views = [host("plain"), host("gpus", providers=gpus, of_parts=frozenset({"VGPU"}), resources={
        "VCPU": Resource(8, 0), "VGPU": Resource(2, 0)})]  # fmt: skip
    assert not judge.applies(ask(resources={"VCPU": 1, "MEMORY_MB": 1, "DISK_GB": 1}))
    assert judge.applies(ask(groups=(group("1", VGPU=1),))) and judge.applies(ask(resources={"VGPU": 1}))
    # Each group alone fits; both from one provider do not, for that is what the trait says.
    both = (group("1", required="CUSTOM_BIG", VGPU=2), group("2", required="CUSTOM_BIG", VGPU=1))
    found = refused(judge, views, ask(groups=both))
    assert found["gpus"] == ("vgpu.short", {"asked": 3, "free": 2, "group": "1"})
    assert codes(judge, views, ask(groups=both[:1])) == {"plain": "vgpu.short"}
    isolated = ask(groups=(group("1", VGPU=1), group("2", VGPU=1), group("3", VGPU=1)), isolate=True)
    assert codes(judge, views, isolated) == {"plain": "vgpu.short", "gpus": "groups.unserved"}
    # The trait must be that of the part which serves.
    whole = ask(resources={"VGPU": 1}, required_traits=frozenset({"CUSTOM_BIG"}))
    assert codes(judge, views, whole) == {}  # a host without parts and groups is left to the masks
    assert codes(judge, views[1:], ask(resources={"VGPU": 3})) == {"gpus": "vgpu.short"}
