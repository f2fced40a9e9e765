"""Hypothesis strategies for what plugins are given: hosts, placement requests, offers, JSON.

They are as strange as the contracts allow: hosts without resources, more used than there is, extra specs and hints of
any text. Values are what the scheduler can be given, not what it usually is.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter.contracts.hooks import Event
from tenter.contracts.migration import Offer
from tenter.contracts.scheduling import (
    MAX_UNIT,
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

RESOURCE_CLASSES = (
    "VCPU", "MEMORY_MB", "DISK_GB", "PCPU", "VGPU", "NUMA_CORE", "PCI_DEVICE", "CUSTOM_PCI_8086_1572", "CUSTOM_GOLD_2",
)  # fmt: skip
TRAITS = ("HW_CPU_X86_AVX2", "COMPUTE_NODE", "CUSTOM_QUIET")
METRICS = ("cpu.percent", "numa.membw.current", "")
_ODD = ("", " ", "zone-1", "nova", "h1", "h2", "true", "no", "0", "-1", "1e999", "a" * 300, "Ä\u0000\U0001f600", "%s")
_WORDS = st.sampled_from(_ODD)
_SPECS: tuple[dict[str, str], ...] = (
    {},
    {"hw:cpu_policy": "dedicated", "trait:HW_CPU_X86_AVX2": "required", "resources:VGPU": "1"},
    {"": "", "hw:numa_nodes": "-1", "quota:cpu_quota": "no number", "aggregate_instance_extra_specs:": "<in>"},
    {"trait:": "forbidden", "hw:mem_page_size": "1e999", "Ä\u0000\U0001f600": "a" * 300, "a" * 300: "[{"},
    {
        "capabilities:hypervisor_type": "s== QEMU",
        "capabilities:cpu_info:features": "<in> avx2",
        "capabilities:": ">= x",
        "hypervisor_type": "<or> QEMU <or> lxc",
        "capabilities:cpu_info:topology:cores": ">= 4",
        "os": "<all-in> a b",
    },
    {"aggregate_instance_extra_specs:ssd": "true", "ssd": "<or>", "aggregate_instance_extra_specs:no": "!= 3"},
    {
        "hw_architecture": "x86_64",
        "img_hv_type": "kvm",
        "hw_vm_mode": "hvm",
        "img_hv_requested_version": ">=2.1,<9",
        "os_distro": "debian",
    },
    {"hw_architecture": "sparc64v9", "img_hv_type": "no such", "hypervisor_version_requires": "=>1.x", "os_distro": ""},
)
_HINTS: tuple[dict[str, object], ...] = (
    {},
    {"group": "no uuid", "same_host": ["h1"], "different_host": "h2", "query": '["not", "json"'},
    {
        "query": '["and", [">=", "$free_ram_mb", 1024], ["not", ["=", "$host", "h1"]]]',
        "same_host": "h1",
        "different_host": ["5f0c1a3e-0000-4000-8000-000000000001"],
        "build_near_host_ip": "10.0.0.7",
        "cidr": "/24",
    },
    {"query": '["in", "$nothing", {}]', "build_near_host_ip": "::1", "cidr": "/129", "target_cell": ["x"]},
    {"group": None, "same_host": {}, "different_host": 7, "build_near_host_ip": [["10.0.0.1"]], "cidr": "/33"},
)
_UUIDS = ("5f0c1a3e-0000-4000-8000-000000000001", "5f0c1a3e-0000-4000-8000-000000000002")
_AGGREGATES = (
    Aggregate(1, "fast", {"ssd": "true", "availability_zone": "zone-1", "cpu_weight_multiplier": "-2.5"}),
    Aggregate(2, "Ä\u0000", {"max_io_ops_per_host": "1e999", "max_instances_per_host": "no number", "a" * 300: ""}),
    Aggregate(3, "theirs", {"filter_tenant_id": "h1, h2", "instance_type": "zone-1,no", "os_distro": "debian, win"}),
    Aggregate(4, "few", {"max_io_ops_per_host": "2", "max_instances_per_host": "-1", "ssd": "1,true"}),
    Aggregate(5, "", {}),
)
_HYPERVISORS = (
    Hypervisor(),
    Hypervisor(
        "QEMU",
        7002002,
        {
            "cpu_info": {"arch": "x86_64", "features": ["avx2", "vmx"], "topology": {"cores": 8}},
            "supported_instances": [["x86_64", "kvm", "hvm"], ["i686", "qemu", "hvm"]],
        },
    ),
    Hypervisor("QEMU", 8002000, {"cpu_info": "{not JSON", "supported_instances": [["x86_64"], None, {}], "": None}),
    Hypervisor("ironic", 1, {"cpu_info": {"features": None}, "supported_instances": 7}),
)
_POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")
T = TypeVar("T")
_AMOUNTS = st.integers(0, 2**40)
_COUNTS = st.integers(0, 1000)
_MEASURED = st.sampled_from((0.0, -0.0, 5e-324, 1.7e308, -1.7e308, 55.0)) | st.floats(-1e6, 1e6)


def for_all(count: int = 30, **strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], None]:
    """Run the decorated function at once with that many examples, the same ones in each run.

    For the body of a check, which may use its fixtures: hypothesis itself would refuse a method that several classes
    inherit, and fixtures that are not made anew for each example.
    """

    def run(body: Callable[..., None]) -> None:
        how = settings(
            max_examples=count,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        )
        how(given(**strategies)(body))()

    return run


def json_values(leaves: int = 4) -> st.SearchStrategy[Any]:
    """Anything that JSON can hold. Numbers are finite."""
    numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    scalars = st.none() | st.booleans() | numbers | _WORDS | st.text(max_size=8)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
        max_leaves=leaves,
    )


def json_objects(leaves: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects."""
    return st.dictionaries(_WORDS, json_values(leaves), max_size=4)


def resources() -> st.SearchStrategy[Resource]:
    """One resource class of a provider; as much may be used as was never there. There is some, or some is used."""
    return st.builds(
        Resource,
        total=_AMOUNTS,
        used=_AMOUNTS,
        reserved=st.just(0) | _AMOUNTS,
        ratio=st.sampled_from((0.0, 0.5, 1.0, 1.5, 16.0)),
        step_size=st.sampled_from((1, 1, 3, 1024)),
        min_unit=st.sampled_from((1, 1, 7)),
        max_unit=st.just(MAX_UNIT) | st.integers(1, 64),
    ).filter(lambda resource: resource.total or resource.used)


def _by_class() -> st.SearchStrategy[dict[str, Resource]]:
    return st.dictionaries(st.sampled_from(RESOURCE_CLASSES), resources(), max_size=4)


def _traits() -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(TRAITS), max_size=3)


def providers() -> st.SearchStrategy[Provider]:
    """Parts of hosts, of whatever provider."""
    return st.builds(
        Provider,
        uuid=st.sampled_from(_UUIDS),
        name=_WORDS,
        parent=st.sampled_from(_UUIDS),
        resources=_by_class(),
        traits=_traits(),
    )


def _images() -> st.SearchStrategy[tuple[ImageUse, ...]]:
    uses = st.builds(ImageUse, properties=st.sampled_from(_SPECS).map(dict), instances=st.integers(1, 50))
    return st.lists(uses, max_size=2, unique_by=lambda use: repr(use.properties)).map(tuple)


def host_views() -> st.SearchStrategy[HostView]:
    """Hosts: up or down, with any resource classes or none, in aggregates of any metadata. Numbers are finite."""
    return st.builds(
        HostView,
        provider_uuid=st.sampled_from(_UUIDS),
        host=_WORDS,
        node=_WORDS,
        zone=_WORDS,
        enabled=st.booleans(),
        up=st.booleans(),
        resources=_by_class(),
        disabled_reason=st.none() | _WORDS,
        traits=_traits(),
        failed_builds=_COUNTS,
        cell=st.just("") | st.sampled_from(_UUIDS),
        aggregates=st.lists(st.sampled_from(_AGGREGATES), max_size=3, unique_by=lambda each: each.id).map(tuple),
        hypervisor=st.sampled_from(_HYPERVISORS),
        host_ip=st.sampled_from(("", "10.0.0.7", "192.0.2.255", "::1", "fe80::1%eth0", "no address", "10.0.0.7/24")),
        instances=_COUNTS,
        io_ops=_COUNTS,
        metrics=st.dictionaries(st.sampled_from(METRICS), _MEASURED, max_size=3),
        providers=st.lists(providers(), max_size=2).map(tuple),
        images=_images(),
        of_parts=st.frozensets(st.sampled_from(RESOURCE_CLASSES), max_size=2),
    ).map(lambda host: dataclasses.replace(host, of_parts=host.of_parts & host.resources.keys()))


def resource_groups() -> st.SearchStrategy[ResourceGroup]:
    """What is asked of one provider; perhaps of none that could be."""
    return st.builds(
        ResourceGroup,
        name=st.sampled_from(("1", "_GPU", "")),
        resources=_asked(),
        required_traits=_traits(),
        forbidden_traits=_traits(),
        apart=st.sampled_from(("", "", "a")),
    )


def server_groups() -> st.SearchStrategy[ServerGroup]:
    """Server groups of each policy, with members on hosts that may be gone."""
    return st.builds(
        ServerGroup,
        uuid=st.sampled_from(_UUIDS),
        policy=st.sampled_from(_POLICIES),
        max_per_host=st.integers(1, 3),
        members=st.dictionaries(_WORDS, st.integers(1, 5), max_size=3),
    )


def _asked() -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(st.sampled_from(RESOURCE_CLASSES), _AMOUNTS, max_size=3)


def placement_requests() -> st.SearchStrategy[PlacementRequest]:
    """Requests: any amounts, extra specs, image properties, hints and server groups."""
    specs = st.sampled_from(_SPECS).map(dict) | st.dictionaries(_WORDS, _WORDS, max_size=3)
    return st.builds(
        PlacementRequest,
        instance_uuid=st.sampled_from(_UUIDS),
        project_id=_WORDS,
        resources=_asked(),
        zone=st.none() | _WORDS,
        forced_host=st.none() | _WORDS,
        excluded_hosts=st.frozensets(_WORDS, max_size=3),
        extra_specs=specs,
        image_properties=specs,
        hints=st.sampled_from(_HINTS).map(copy.deepcopy) | json_objects(),
        forced_node=st.none() | _WORDS,
        flavor=_WORDS,
        image_id=st.none() | st.sampled_from(_UUIDS) | _WORDS,
        required_traits=_traits(),
        forbidden_traits=_traits(),
        groups=st.lists(resource_groups(), max_size=2, unique_by=lambda group: group.name).map(tuple),
        isolate=st.booleans(),
        server_group=st.none() | server_groups(),
        cell=st.none() | st.sampled_from(_UUIDS),
        hosts_of=st.dictionaries(st.sampled_from(_UUIDS) | _WORDS, _WORDS, max_size=3),
    )


def offers() -> st.SearchStrategy[Offer]:
    """Offers of a migration feature that another release may have made."""
    return st.builds(Offer, data=json_objects(), secrets=st.dictionaries(_WORDS, st.text(max_size=20), max_size=2))


def events(cls: type[Event]) -> st.SearchStrategy[Event]:
    """Events of one class: any text but for UUIDs, and None wherever it may be."""
    fields = {field.name for field in dataclasses.fields(cls)}
    ids = {name: st.sampled_from(_UUIDS) for name in fields if name.endswith("uuid")}
    return st.builds(cls, **ids, at=st.floats(0, 4e9))


def examples(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """Return that many examples, the simplest first, the same ones in each run."""
    found: list[T] = []
    for_all(count, example=strategy)(lambda example: found.append(example))
    return found
