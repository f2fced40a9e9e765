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
from tenter.contracts.scheduling import HostView, PlacementRequest, Resource

RESOURCE_CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB", "PCPU", "VGPU", "NUMA_CORE", "CUSTOM_GOLD_2")
_ODD = ("", " ", "zone-1", "nova", "h1", "h2", "true", "no", "0", "-1", "1e999", "a" * 300, "Ä\u0000\U0001f600", "%s")
_WORDS = st.sampled_from(_ODD)
_SPECS: tuple[dict[str, str], ...] = (
    {},
    {"hw:cpu_policy": "dedicated", "trait:HW_CPU_X86_AVX2": "required", "resources:VGPU": "1"},
    {"": "", "hw:numa_nodes": "-1", "quota:cpu_quota": "no number", "aggregate_instance_extra_specs:": "<in>"},
    {"trait:": "forbidden", "hw:mem_page_size": "1e999", "Ä\u0000\U0001f600": "a" * 300, "a" * 300: "[{"},
)
_HINTS: tuple[dict[str, object], ...] = (
    {},
    {"group": "no uuid", "same_host": ["h1"], "different_host": "h2", "query": '["not", "json"'},
    {"group": None, "same_host": {}, "different_host": 7, "build_near_host_ip": [["10.0.0.1"]], "cidr": "/33"},
)
_UUIDS = ("5f0c1a3e-0000-4000-8000-000000000001", "5f0c1a3e-0000-4000-8000-000000000002")
T = TypeVar("T")
_AMOUNTS = st.integers(0, 2**40)


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
    """One resource class of a host; as much may be used as was never there."""
    return st.builds(
        Resource,
        total=_AMOUNTS,
        used=_AMOUNTS,
        reserved=st.just(0) | _AMOUNTS,
        ratio=st.sampled_from((0.0, 0.5, 1.0, 1.5, 16.0)),
    )


def host_views() -> st.SearchStrategy[HostView]:
    """Hosts: up or down, with any resource classes or none."""
    return st.builds(
        HostView,
        provider_uuid=st.sampled_from(_UUIDS),
        host=_WORDS,
        node=_WORDS,
        zone=_WORDS,
        enabled=st.booleans(),
        up=st.booleans(),
        resources=st.dictionaries(st.sampled_from(RESOURCE_CLASSES), resources(), max_size=4),
        disabled_reason=st.none() | _WORDS,
        traits=st.frozensets(st.sampled_from(("HW_CPU_X86_AVX2", "COMPUTE_NODE", "CUSTOM_QUIET")), max_size=3),
        failed_builds=st.integers(0, 1000),
    )


def placement_requests() -> st.SearchStrategy[PlacementRequest]:
    """Requests: any amounts, extra specs, image properties and hints."""
    specs = st.sampled_from(_SPECS).map(dict) | st.dictionaries(_WORDS, _WORDS, max_size=3)
    return st.builds(
        PlacementRequest,
        instance_uuid=st.sampled_from(_UUIDS),
        project_id=_WORDS,
        resources=st.dictionaries(st.sampled_from(RESOURCE_CLASSES), _AMOUNTS, max_size=3),
        zone=st.none() | _WORDS,
        forced_host=st.none() | _WORDS,
        excluded_hosts=st.frozensets(_WORDS, max_size=3),
        extra_specs=specs,
        image_properties=specs,
        hints=st.sampled_from(_HINTS).map(copy.deepcopy) | json_objects(),
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
