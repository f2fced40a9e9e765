"""Which providers of a host serve a request: by example, against a plain reference, and how long it takes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenter.contracts.fit import MAX_GROUPS, Fit, Misfit, fit
from tenter.contracts.scheduling import HostView, PlacementRequest, Provider, Resource, ResourceGroup

HOST = "host"


def host(
    own: Mapping[str, Resource] | None = None, parts: tuple[Provider, ...] = (), traits: frozenset[str] = frozenset()
) -> HostView:
    own = {"VCPU": Resource(8, 0), "MEMORY_MB": Resource(8192, 0)} if own is None else own
    shown: dict[str, Resource] = {}
    for part in parts:
        for name, resource in part.resources.items():
            if name not in own and (name not in shown or shown[name].free < resource.free):
                shown[name] = resource
    return HostView(
        HOST, "h1", "h1", "nova", True, True, {**shown, **own}, traits=traits, providers=parts,
        of_parts=frozenset(shown),
    )  # fmt: skip


def part(name: str, traits: tuple[str, ...] = (), **resources: Resource | int) -> Provider:
    given = {key: Resource(value, 0) if isinstance(value, int) else value for key, value in resources.items()}
    return Provider(name, name, HOST, given, frozenset(traits))


def group(name: str, required: tuple[str, ...] = (), forbidden: tuple[str, ...] = (), apart: str = "",
          **resources: int) -> ResourceGroup:  # fmt: skip
    return ResourceGroup(name, resources, frozenset(required), frozenset(forbidden), apart)


def ask(resources: Mapping[str, int] | None = None, *groups: ResourceGroup, **values: Any) -> PlacementRequest:
    return PlacementRequest("i", "p", resources or {}, groups=groups, **values)


NODES = (
    part("node0", ("HW_NUMA_ROOT",), VCPU=4, MEMORY_MB=4096),
    part("node1", ("HW_NUMA_ROOT",), VCPU=4, MEMORY_MB=4096),
)
GPUS = (part("gpu0", VGPU=1), part("gpu1", ("CUSTOM_FAST",), VGPU=4))
NUMA = {"required": ("HW_NUMA_ROOT",), "apart": "numa"}

SERVED: dict[str, tuple[HostView, PlacementRequest, dict[str, dict[str, int]]]] = {
    "all of it on the host": (host(), ask({"VCPU": 2, "MEMORY_MB": 100}), {HOST: {"VCPU": 2, "MEMORY_MB": 100}}),
    "nothing is asked": (host(), ask(), {}),
    "an amount of none": (host(), ask({"VCPU": 1, "VGPU": 0}), {HOST: {"VCPU": 1}}),
    "a class that only a part has": (
        host(parts=GPUS), ask({"VCPU": 1, "VGPU": 2}), {HOST: {"VCPU": 1}, "gpu1": {"VGPU": 2}},
    ),
    "a class that the host has comes from it, whatever its parts have": (
        host(parts=NODES), ask({"VCPU": 6}), {HOST: {"VCPU": 6}},
    ),
    "two NUMA nodes beside the whole": (
        host(parts=NODES), ask({"VCPU": 4}, group("numa0", **NUMA, VCPU=2), group("numa1", **NUMA, VCPU=2)),
        {HOST: {"VCPU": 4}, "node0": {"VCPU": 2}, "node1": {"VCPU": 2}},
    ),
    "groups share, and their amounts add up": (
        host(parts=GPUS), ask({}, group("1", VGPU=2), group("2", VGPU=2)), {"gpu1": {"VGPU": 4}},
    ),
    "the greedy choice must be taken back": (
        host(parts=(part("a", ("T",), VGPU=2), part("b", VGPU=2))),
        ask({}, group("1", VGPU=2), group("2", ("T",), VGPU=2)), {"a": {"VGPU": 2}, "b": {"VGPU": 2}},
    ),
    "a group on the host itself": (
        host(traits=frozenset({"T"})), ask({"VCPU": 2}, group("1", ("T",), VCPU=3)), {HOST: {"VCPU": 5}},
    ),
    "a required trait of a part that serves": (
        host(parts=GPUS), ask({"VGPU": 1}, required_traits=frozenset({"CUSTOM_FAST"})), {"gpu1": {"VGPU": 1}},
    ),
    "a part with a forbidden trait does not serve": (
        host(parts=GPUS), ask({"VGPU": 1}, forbidden_traits=frozenset({"CUSTOM_FAST"})), {"gpu0": {"VGPU": 1}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED.values(), ids=SERVED.keys())
def test_what_serves(case: tuple[HostView, PlacementRequest, dict[str, dict[str, int]]]) -> None:
    view, request, wanted = case
    answer = fit(view, request)
    assert isinstance(answer, Fit) and answer.wanted == wanted
    assert fit(view, request) == answer


REFUSED: dict[str, tuple[HostView, PlacementRequest, Misfit]] = {
    "short of memory": (
        host(), ask({"MEMORY_MB": 9000}), Misfit("ram.short", "", {"asked": 9000, "free": 8192}),
    ),
    "no such class": (host(), ask({"VGPU": 1}), Misfit("vgpu.short", "", {"asked": 1, "free": 0})),
    "not in parts of that size": (
        host(parts=GPUS), ask({"VGPU": 5}), Misfit("vgpu.short", "", {"asked": 5, "free": 4}),
    ),
    "a unit": (
        host({"DISK_GB": Resource(100, 0, step_size=10, min_unit=10, max_unit=50)}), ask({"DISK_GB": 15}),
        Misfit("disk.unit", "", {"asked": 15, "least": 10, "most": 50, "step": 10}),
    ),
    "the host lacks a trait": (
        host(), ask({"VCPU": 1}, required_traits=frozenset({"T"})), Misfit("trait.missing", "", {"traits": ["T"]}),
    ),
    "no part that serves has the trait": (
        host(parts=(*GPUS, part("other", ("T",), PCPU=1))), ask({"VGPU": 1}, required_traits=frozenset({"T"})),
        Misfit("trait.missing", "", {"traits": ["T"]}),
    ),
    "a forbidden trait of the host": (
        host(traits=frozenset({"T"})), ask({"VCPU": 1}, forbidden_traits=frozenset({"T"})),
        Misfit("trait.forbidden", "", {"traits": ["T"]}),
    ),
    "a group's trait": (
        host(parts=GPUS), ask({}, group("1", ("T",), VGPU=1)), Misfit("trait.missing", "1", {"traits": ["T"]}),
    ),
    "a group's forbidden trait": (
        host(parts=GPUS[1:]), ask({}, group("1", (), ("CUSTOM_FAST",), VGPU=1)),
        Misfit("trait.forbidden", "1", {"traits": ["CUSTOM_FAST"]}),
    ),
    "the part with the trait is too small": (
        host(parts=(part("a", ("T",), VGPU=1), part("b", VGPU=9))), ask({}, group("1", ("T",), VGPU=2)),
        Misfit("vgpu.short", "1", {"asked": 2, "free": 1}),
    ),
    "two classes that no part has both": (
        host(parts=(part("a", VGPU=1), part("b", PCPU=1))), ask({}, group("1", VGPU=1, PCPU=1)),
        Misfit("group.unserved", "1", {"asked": {"VGPU": 1, "PCPU": 1}}),
    ),
    "together too much": (
        host(parts=GPUS), ask({}, group("1", VGPU=3), group("2", VGPU=3)),
        Misfit("vgpu.short", "1", {"asked": 6, "free": 4}),
    ),
    "isolated, and only one part": (
        host(parts=GPUS[:1]), ask({}, group("1", VGPU=1), group("2", VGPU=1), isolate=True),
        Misfit("vgpu.short", "1", {"asked": 2, "free": 1}),
    ),
    "isolated, and only one part, with room": (
        host(parts=GPUS[1:]), ask({}, group("1", VGPU=1), group("2", VGPU=1), isolate=True),
        Misfit("groups.unserved", "", {"groups": ["1", "2"]}),
    ),
    "three NUMA nodes of two": (
        host(parts=NODES), ask({}, *(group(f"numa{n}", **NUMA, VCPU=1) for n in range(3))),
        Misfit("groups.unserved", "", {"groups": ["numa0", "numa1", "numa2"]}),
    ),
    "the largest unit holds for the sum": (
        host({"VCPU": Resource(8, 0, max_unit=4)}), ask({"VCPU": 3}, group("1", VCPU=3)),
        Misfit("groups.unserved", "", {"groups": ["1"]}),
    ),
    "too many groups": (
        host(), ask({}, *(group(str(n), VCPU=1) for n in range(MAX_GROUPS + 1))),
        Misfit("groups.too_many", "", {"groups": MAX_GROUPS + 1, "most": MAX_GROUPS}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_serve(case: tuple[HostView, PlacementRequest, Misfit]) -> None:
    view, request, refusal = case
    assert fit(view, request) == refusal


def test_instances_are_given_different_ones_of_equal_parts() -> None:
    view = host(parts=tuple(part(f"vf{n:03}", CUSTOM_PCI=1) for n in range(64)))
    chosen = set()
    for number in range(64):
        answer = fit(view, PlacementRequest(f"i{number}", "p", {}, groups=(group("pci0", CUSTOM_PCI=1),)))
        assert isinstance(answer, Fit)
        chosen |= set(answer.wanted)
    assert len(chosen) > 32


def test_a_part_that_was_lost_is_not_chosen_again() -> None:
    view, request = host(parts=GPUS), ask({}, group("1", VGPU=1))
    assert fit(view, request, frozenset({"gpu0"})) == Fit({"gpu1": {"VGPU": 1}})
    assert fit(view, request, frozenset({"gpu1"})) == Fit({"gpu0": {"VGPU": 1}})
    answer = fit(view, request, frozenset({"gpu0", "gpu1"}))
    assert isinstance(answer, Misfit) and answer.code == "vgpu.short"


MANY = tuple(part(f"vf{n:03}", ("NIC",), CUSTOM_PCI=1) for n in range(256))
ODD = tuple(part(f"pf{n:03}", (f"CUSTOM_{n}",), CUSTOM_PCI=7) for n in range(24))


@pytest.mark.parametrize(
    ("parts", "groups", "codes"),
    [
        (MANY, [group(f"pci{n}", CUSTOM_PCI=1) for n in range(MAX_GROUPS)], {""}),
        (MANY[:99], [group(f"pci{n}", CUSTOM_PCI=1) for n in range(100)], {"custom_pci.short"}),
        (ODD, [group(f"pci{n}", CUSTOM_PCI=4) for n in range(25)], {"groups.unserved"}),
        (ODD, [group(f"pci{n}", CUSTOM_PCI=1 + n % 4) for n in range(60)], {""}),
        (ODD, [group(f"pci{n}", CUSTOM_PCI=5 if n < 13 else 3) for n in range(36)], {"search.bounded"}),
    ],
)
def test_hundreds_of_devices_do_not_take_long(
    parts: tuple[Provider, ...], groups: list[ResourceGroup], codes: set[str]
) -> None:
    start = time.process_time()
    answer = fit(host(parts=parts), ask({"VCPU": 1}, *groups))
    assert (answer.code if isinstance(answer, Misfit) else "") in codes
    assert time.process_time() - start < 2


TRAITS = ("T", "U")
_traits = st.frozensets(st.sampled_from(TRAITS), max_size=2)
_inventories = st.dictionaries(
    st.sampled_from(("A", "B", "C")),
    st.builds(
        Resource, st.integers(0, 5), st.integers(0, 2), step_size=st.sampled_from((1, 1, 2)),
        max_unit=st.sampled_from((9, 3)),
    ),
    max_size=3,
)  # fmt: skip
_hosts = st.builds(
    lambda own, parts, traits: host(
        own, tuple(Provider(f"p{n}", f"p{n}", HOST, *each) for n, each in enumerate(parts)), traits
    ),
    _inventories, st.lists(st.tuples(_inventories, _traits), max_size=4), _traits,
)  # fmt: skip
_amounts = st.dictionaries(st.sampled_from(("A", "B", "C")), st.integers(0, 3), max_size=2)
_groups = st.builds(
    ResourceGroup, st.sampled_from("xyz"), _amounts, _traits, st.frozensets(st.sampled_from(TRAITS), max_size=1),
    st.sampled_from(("", "", "n")),
)  # fmt: skip
_requests = st.builds(
    lambda resources, groups, required, forbidden, isolate: ask(
        resources, *groups, required_traits=required, forbidden_traits=forbidden, isolate=isolate
    ),
    _amounts, st.lists(_groups, max_size=3), _traits | st.just(frozenset()), st.just(frozenset()) | _traits,
    st.booleans(),
)  # fmt: skip


def own_classes(view: HostView) -> set[str]:
    return set(view.resources) - view.of_parts


def obeys(view: HostView, request: PlacementRequest, places: dict[str, str], groups: list[str]) -> bool:
    """The rules, plainly: ``places`` says where each class asked of the whole comes from, ``groups`` each group."""
    parts = {provider.uuid: provider for provider in view.providers}
    have = {HOST: {name: view.resources[name] for name in own_classes(view)}}
    have |= {uuid: dict(provider.resources) for uuid, provider in parts.items()}
    traits = {HOST: view.traits} | {uuid: provider.traits for uuid, provider in parts.items()}
    load: dict[tuple[str, str], int] = {}
    wanted = [(place, name, request.resources[name]) for name, place in places.items()]
    wanted += [(p, name, n) for p, each in zip(groups, request.groups) for name, n in each.resources.items() if n]
    for place, name, amount in wanted:
        if name not in have[place] or not have[place][name].allows(amount):
            return False
        load[place, name] = load.get((place, name), 0) + amount
    for (place, name), amount in load.items():
        resource = have[place][name]
        if resource.used + amount > resource.capacity or amount > resource.max_unit:
            return False
    if any(place == HOST and name not in own_classes(view) for name, place in places.items()):
        return False
    if any(place != HOST and name in own_classes(view) for name, place in places.items()):
        return False
    for place, each in zip(groups, request.groups):
        if not each.required_traits <= traits[place] or each.forbidden_traits & traits[place]:
            return False
    for (p, one), (q, other) in itertools.combinations(zip(groups, request.groups), 2):
        if p == q and (request.isolate or (one.apart and one.apart == other.apart)):
            return False
    of_whole = frozenset().union(view.traits, *(traits[place] for place in places.values()))
    return request.required_traits <= of_whole and not request.forbidden_traits & of_whole


def reference(view: HostView, request: PlacementRequest) -> bool:
    everywhere = [HOST, *(provider.uuid for provider in view.providers)]
    classes = [name for name, amount in request.resources.items() if amount]
    for chosen in itertools.product(everywhere, repeat=len(classes) + len(request.groups)):
        if obeys(view, request, dict(zip(classes, chosen)), list(chosen[len(classes) :])):
            return True
    return False


@settings(max_examples=400, deadline=None)
@given(_hosts, _requests)
def test_it_finds_what_trying_everything_finds(view: HostView, request: PlacementRequest) -> None:
    answer = fit(view, request)
    assert isinstance(answer, Fit) == reference(view, request), answer
    if isinstance(answer, Fit):
        total: dict[str, int] = {}
        for amounts in answer.wanted.values():
            for name, amount in amounts.items():
                total[name] = total.get(name, 0) + amount
        for each in (request.resources, *(each.resources for each in request.groups)):
            for name, amount in each.items():
                total[name] = total.get(name, 0) - amount
        assert not any(total.values())
