"""Hosts and requests that go well together: strategies in which each filter refuses some hosts and leaves others."""

from __future__ import annotations

import dataclasses
import random
import uuid as uuidlib
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tenter.contracts.scheduling import (
    Aggregate,
    HostView,
    Hypervisor,
    ImageUse,
    PlacementRequest,
    Provider,
    Resource,
    ResourceGroup,
    ServerGroup,
)
from tenter.testing import strategies

T = TypeVar("T")
NAMES = tuple(f"h{number}" for number in range(6))
SERVERS = tuple(str(uuidlib.UUID(int=number)) for number in range(1, 4))
IMAGES = tuple(str(uuidlib.UUID(int=number)) for number in range(11, 13))
CELLS = ("c1", "c2")
PARTS = ("VCPU", "MEMORY_MB", "VGPU", "PCI_DEVICE")
POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")
SCOPE = "aggregate_instance_extra_specs"

_few = st.integers(0, 4)
_often = st.sampled_from((True, True, True, True, True, False))
_traits = st.frozensets(st.sampled_from(strategies.TRAITS), max_size=2)
_asked_traits = st.just(frozenset()) | st.frozensets(st.sampled_from(strategies.TRAITS), max_size=1)
_aggregates = st.sampled_from((
    Aggregate(1, "fast", {"ssd": "true", "cpu_weight_multiplier": "-2.5", "os_distro": "debian"}),
    Aggregate(2, "slow", {"ssd": "false, 1", "max_io_ops_per_host": "2", "cpu_weight_multiplier": "no number"}),
    Aggregate(3, "theirs", {"filter_tenant_id": "p2", "filter_tenant_id2": "p3, p1"}),
    Aggregate(4, "his", {"filter_tenant_id": "p2", "instance_type": "small,large"}),
    Aggregate(5, "few", {"max_instances_per_host": "2", "build_failure_weight_multiplier": "0", "speed": "7"}),
    Aggregate(6, "odd", {"max_instances_per_host": "many", "pci_weight_multiplier": "3"}),
))  # fmt: skip
_held = st.lists(_aggregates, max_size=2, unique_by=lambda each: each.id).map(tuple)
_CPU = {"arch": "x86_64", "features": ["avx2", "vmx"], "topology": {"cores": 8}}
_hypervisors = st.sampled_from((
    Hypervisor("QEMU", 7_002_000, {"cpu_info": _CPU, "gpus": 2}),
    Hypervisor("QEMU", 8_000_000, {"cpu_info": {"arch": "aarch64", "features": []}}),
    Hypervisor("fake", 1000, {"cpu_info": _CPU, "supported_instances": [["x86_64", "kvm", "hvm"]]}),
    Hypervisor(),
))  # fmt: skip
_properties = st.dictionaries(st.sampled_from(("os_distro", "hw_vm_mode")), st.sampled_from(("debian", "hvm")))


def _resources(most: int) -> st.SearchStrategy[Resource]:
    return st.builds(
        Resource, total=st.integers(1, most), used=st.integers(0, most // 2), reserved=st.just(0) | st.integers(0, 2),
        ratio=st.sampled_from((1.0, 1.0, 1.5, 4.0)), step_size=st.sampled_from((1, 1, 1, 2)),
        min_unit=st.sampled_from((1, 1, 1, 2)), max_unit=st.sampled_from((2**31 - 1, 2**31 - 1, 3)),
    )  # fmt: skip


def _stocks(names: Sequence[str], least: int) -> st.SearchStrategy[dict[str, Resource]]:
    return st.dictionaries(st.sampled_from(names), _resources(8), min_size=least, max_size=len(names))


_parts = st.lists(
    st.builds(
        Provider, uuid=st.just(""), name=st.sampled_from(("numa0", "gpu_0000:81:00.0", "nic")), parent=st.just(""),
        resources=_stocks(PARTS, 1), traits=_traits,
    ),
    max_size=3,
)  # fmt: skip


def _complete(host: HostView, number: int) -> HostView:
    """Return the host with a UUID, and with what it shows of its parts, as the scheduler's table has it."""
    uuid = str(uuidlib.UUID(int=1000 * (number + 1)))
    parts = tuple(
        dataclasses.replace(part, uuid=str(uuidlib.UUID(int=1000 * (number + 1) + place)), parent=uuid)
        for place, part in enumerate(host.providers, 1)
    )
    return shown(dataclasses.replace(host, provider_uuid=uuid, node=f"n{number}", providers=parts))


def shown(host: HostView) -> HostView:
    """Return the host with what its parts come to: of a class that it has not itself, the part with most free."""
    own = {name: one for name, one in host.resources.items() if name not in host.of_parts}
    best: dict[str, Resource] = {}
    for part in host.providers:
        for name, one in part.resources.items():
            if name not in own and (name not in best or one.free > best[name].free):
                best[name] = one
    return dataclasses.replace(host, resources={**own, **best}, of_parts=frozenset(best))


def hosts() -> st.SearchStrategy[HostView]:
    """One host; to be completed by ``fabric``."""
    return st.builds(
        HostView, provider_uuid=st.just(""), host=st.sampled_from(NAMES), node=st.just(""),
        zone=st.sampled_from(("z1", "z1", "z2")), enabled=_often, up=_often,
        resources=_stocks(("VCPU", "MEMORY_MB", "DISK_GB", "CUSTOM_GOLD"), 2),
        disabled_reason=st.sampled_from((None, "for repair")), traits=_traits, failed_builds=_few,
        cell=st.sampled_from(CELLS), aggregates=_held,
        hypervisor=_hypervisors, host_ip=st.sampled_from(("10.0.0.7", "10.0.0.90", "10.1.0.1", "fe80::1", "")),
        instances=_few, io_ops=_few,
        metrics=st.dictionaries(st.sampled_from(strategies.METRICS[:2]), st.integers(-9, 9).map(float)),
        providers=(st.just([]) | _parts).map(tuple),
        images=st.lists(st.builds(ImageUse, _properties, st.integers(1, 5)), max_size=2).map(tuple),
    )  # fmt: skip


def fabric(views: Sequence[HostView]) -> list[HostView]:
    """Return drawn hosts as those of one fabric: cell by cell, with nodes and UUIDs of their own."""
    return [_complete(host, number) for number, host in enumerate(sorted(views, key=lambda host: host.cell))]


def group(name: str, **resources: int) -> ResourceGroup:
    """Return what is asked of one provider."""
    return ResourceGroup(name, resources)


def _group(name: str) -> st.SearchStrategy[ResourceGroup]:
    return st.builds(
        ResourceGroup, name=st.just(name),
        resources=st.dictionaries(st.sampled_from(PARTS), st.integers(1, 3), min_size=1, max_size=2),
        required_traits=_asked_traits, apart=st.sampled_from(("", "", "a")),
    )  # fmt: skip


def server_groups() -> st.SearchStrategy[ServerGroup]:
    """Server groups with members on some hosts."""
    return st.builds(
        ServerGroup, uuid=st.just(SERVERS[0]), policy=st.sampled_from(POLICIES), max_per_host=st.integers(1, 2),
        members=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), max_size=4),
    )  # fmt: skip


def _some(*pairs: tuple[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(st.sampled_from(pairs), max_size=2, unique_by=lambda pair: pair[0]).map(dict)


_specs = _some(
    (f"{SCOPE}:ssd", "true"), (f"{SCOPE}:ssd", "<or> 1 <or> true"), (f"{SCOPE}:speed", ">= 5"), ("ssd", "false"),
    ("capabilities:num_instances", "<= 3"), ("capabilities:cpu_info:arch", "<in> x86"), ("capabilities:gpus", ">= 1"),
    ("capabilities:free_ram_mb", ">= 2"), ("capabilities:hypervisor_version", ">= 7002000"),
    ("capabilities:cpu_allocation_ratio", ">= 1"), ("capabilities:ram_allocation_ratio", "!= 1.0"),
    ("capabilities:hypervisor_hostname", "s!= n1"), ("gpus", "2"), ("capabilities:cpu_info:features", "<in> avx2"),
    ("capabilities:vcpus_used", "== much"), ("gpus", "=="), ("hw:numa_nodes", "2"), ("capabilities:host:name", "x"),
)  # fmt: skip
_image = _some(
    ("hw_architecture", "x86_64"), ("hw_architecture", "amd64"), ("img_hv_type", "kvm"), ("hw_vm_mode", "hvm"),
    ("img_hv_requested_version", ">=7.2,<8"), ("os_distro", "debian"), ("os_distro", "arch"),
)  # fmt: skip
_hints = _some(
    ("same_host", SERVERS[0]), ("same_host", list(SERVERS[:2])), ("different_host", SERVERS[1]),
    ("different_host", [SERVERS[2]]), ("build_near_host_ip", "10.0.0.1"), ("cidr", "/26"), ("cidr", "8"),
    ("query", '["and", [">=", "$free_ram_mb", 1], ["<", "$num_instances", 4]]'), ("query", '["=", "$host", "h1"]'),
    ("query", '["at", 7]'),
)  # fmt: skip
_rarely = st.sampled_from((True, False, False, False, False))


def requests() -> st.SearchStrategy[PlacementRequest]:
    """Requests that ask for little, and of some things only."""

    def seldom(strategy: st.SearchStrategy[Any], otherwise: Any) -> st.SearchStrategy[Any]:
        return _rarely.flatmap(lambda now: strategy if now else st.just(otherwise))

    amounts = st.dictionaries(
        st.sampled_from(("VCPU", "MEMORY_MB", "DISK_GB", "VGPU", "CUSTOM_GOLD")), st.integers(0, 3), max_size=3
    )
    one = st.sampled_from(("1", "numa0", "numa1", "pci0")).flatmap(_group)
    groups = st.lists(one, max_size=3, unique_by=lambda group: group.name).map(tuple)
    return st.builds(
        PlacementRequest, instance_uuid=st.sampled_from(SERVERS), project_id=st.sampled_from(("p1", "p2", "p4")),
        resources=amounts, zone=st.sampled_from((None, None, "z1")), forced_host=seldom(st.sampled_from(NAMES), None),
        excluded_hosts=seldom(st.frozensets(st.sampled_from(NAMES), max_size=2), frozenset()), extra_specs=_specs,
        image_properties=_image, hints=_hints, forced_node=seldom(st.sampled_from(("n0", "n1")), None),
        flavor=st.sampled_from(("small", "huge")), image_id=st.sampled_from((None, *IMAGES)),
        required_traits=_asked_traits, forbidden_traits=_asked_traits,
        groups=st.just(()) | groups,
        isolate=_rarely, server_group=st.none() | server_groups(), cell=st.sampled_from((None, *CELLS)),
        hosts_of=st.dictionaries(st.sampled_from(SERVERS), st.sampled_from(NAMES), min_size=1),
    )  # fmt: skip


def many(strategy: st.SearchStrategy[T], count: int, first: int) -> list[T]:
    """Return that many examples, the same ones in each run. What Hypothesis draws in a row is much alike; so they are
    of several runs, and each takes each of its fields from another of what was drawn."""
    drawn: list[Any] = []
    how = settings(max_examples=8, deadline=None, database=None)
    for number in range(20):
        seed(first + number)(how(given(strategy)(lambda one: drawn.append(one))))()
    rng, cls = random.Random(first), type(drawn[0])
    names = [field.name for field in dataclasses.fields(cls)]
    return [cls(**{name: getattr(rng.choice(drawn), name) for name in names}) for _ in range(count)]
