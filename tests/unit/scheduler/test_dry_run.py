"""A dry run says how many fit, and its changes are true: each makes it fit, a little less of it does not."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter.contracts.filter import ACCEPT, HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest, ServerGroup
from tenter.scheduler import Scheduler
from tenter.scheduler.dry_run import MOST, dry_run
from tests.unit.scheduler.test_pipeline import World, ask, view, world

__all__ = ["world"]
NAMES = ("compute", "zone", "resources", "cpu", "ram", "disk")


class Traits(HostFilter):
    """Wants the traits, and the hint that its host is quiet."""

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        if not request.required_traits <= host.traits:
            return Verdict.reject("trait.missing")
        return ACCEPT if request.hints.get("quiet") is None else Verdict.reject("quiet.not")


def scheduler_of(world: World) -> Scheduler:
    return world.scheduler(*NAMES, filters=[Traits(world.setup)], seed=1)


def test_how_many_fit(world: World) -> None:
    world.views = {"c1": [view("h1", vcpu=3), view("h2", vcpu=2), view("h3", up=False)]}
    found = dry_run(scheduler_of(world), ask(resources={"VCPU": 1}))
    assert (found.fits, found.at_least, dict(found.hosts), found.changes) == (5, False, {"h1": 3, "h2": 2}, [])
    assert "host.down" in found.last.why() and "cpu.short" in found.last.why()
    found = dry_run(scheduler_of(world), ask(resources={"VCPU": 1}), 4)
    assert (found.fits, found.at_least, found.changes) == (4, True, [])


def test_more_than_are_tried(world: World) -> None:
    world.views = {"c1": [view("h1", vcpu=1000)]}
    found = dry_run(scheduler_of(world), ask(resources={"VCPU": 1}))
    assert (found.fits, found.at_least) == (MOST, True)


@pytest.mark.parametrize(
    ("asked", "what", "sentence"),
    [
        ({"resources": {"VCPU": 9, "MEMORY_MB": 100}}, "resource", "VCPU 8 instead of 9"),
        ({"resources": {"VCPU": 1, "VGPU": 2}}, "resource", "no VGPU instead of 2"),
        ({"required_traits": frozenset({"CUSTOM_A"})}, "trait", "without the required trait CUSTOM_A"),
        ({"zone": "elsewhere"}, "zone", "zone nova instead of elsewhere"),
        ({"forced_host": "h9"}, "host", "another host than h9"),
        ({"hints": {"quiet": "yes"}}, "hint", "without the hint quiet"),
    ],
)
def test_one_thing_less(world: World, asked: dict[str, Any], what: str, sentence: str) -> None:
    world.views = {"c1": [view("h1"), view("h2", vcpu=4)]}
    found = dry_run(scheduler_of(world), ask(**asked))
    assert found.fits == 0
    assert [(change.what, change.sentence) for change in found.changes] == [(what, sentence)]


def test_less_of_several_resources_if_less_of_one_is_never_enough(world: World) -> None:
    world.views = {"c1": [view("h1", vcpu=4, ram=1000), view("h2", vcpu=8, ram=500)]}
    found = dry_run(scheduler_of(world), ask(resources={"VCPU": 9, "MEMORY_MB": 1001}))
    assert [change.what for change in found.changes] == ["resources"]
    assert found.changes[0].sentence == "VCPU 4 instead of 9, MEMORY_MB 1000 instead of 1001"


def test_without_the_server_group(world: World) -> None:
    class Group(HostFilter):
        def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
            group = request.server_group
            full = group is not None and group.members.get(host.host, 0) >= group.max_per_host
            return Verdict.reject("group.full") if full else ACCEPT

    world.views = {"c1": [view("h1")]}
    scheduler = world.scheduler(*NAMES, filters=[Group(world.setup)])
    found = dry_run(scheduler, ask(server_group=ServerGroup("g", "anti-affinity")), 2)
    assert found.fits == 1
    assert [change.sentence for change in found.changes] == ["without the server group (anti-affinity)"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hosts=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1000)), max_size=5),
    vcpus=st.integers(1, 12), ram=st.integers(1, 1500), count=st.integers(1, 4),
)  # fmt: skip
def test_what_is_told_is_true(world: World, hosts: list[tuple[int, int]], vcpus: int, ram: int, count: int) -> None:
    world.views = {"c1": [view(f"h{number}", vcpu=cpu, ram=free) for number, (cpu, free) in enumerate(hosts)]}
    scheduler = scheduler_of(world)
    request = ask(resources={"VCPU": vcpus, "MEMORY_MB": ram})
    found = dry_run(scheduler, request, count)

    def fits(resources: dict[str, int]) -> bool:
        wanted = replace(request, resources={name: amount for name, amount in resources.items() if amount})
        return dry_run(scheduler, wanted, count).fits == count

    assert (found.fits == count) == fits(dict(request.resources))
    for change in found.changes:
        if change.what == "resource":
            name, less = change.details["resource_class"], change.details["fits"]
            assert fits({**request.resources, name: less})
            assert not fits({**request.resources, name: less + 1})
        else:
            assert change.what == "resources" and fits({**request.resources, **change.details["resources"]})


def test_plugins_that_take_their_time_do_not_hold_it_up(world: World) -> None:
    class Slow(HostFilter):
        def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
            time.sleep(0.05)
            return ACCEPT if request.resources.get("VCPU", 0) < 9 else Verdict.reject("slow.no")

    world.conf.set_override("filter_budget", 0.2, group="scheduler")
    world.views = {"c1": [view("h1", vcpu=1000)]}
    scheduler = world.scheduler(*NAMES, filters=[Slow(world.setup)])
    found = dry_run(scheduler, ask(resources={"VCPU": 1}))
    assert 0 < found.fits < MOST and found.at_least
