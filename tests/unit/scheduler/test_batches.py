"""A batch of equal instances is placed as that many single decisions would place them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter.contracts.filter import Filter
from tenter.contracts.fit import Fit, fit
from tenter.contracts.scheduling import HostView, PlacementRequest, Provider, Resource, ServerGroup
from tenter.contracts.weigher import Weigher
from tenter.plugins import enabled, load_all
from tenter.scheduler import pipeline
from tests.unit.scheduler import fabrics
from tests.unit.scheduler.test_pipeline import World, ask, view, world

__all__ = ["world"]
POLICIES = (None, *fabrics.POLICIES)


def plus(resources: Mapping[str, Resource], amounts: Mapping[str, int]) -> dict[str, Resource]:
    return {name: replace(one, used=one.used + amounts.get(name, 0)) for name, one in resources.items()}


def after(host: HostView, request: PlacementRequest) -> HostView:
    """Return a host as it reports itself once an instance was claimed on it."""
    found = fit(host, request)
    assert isinstance(found, Fit)
    parts: list[Provider] = [
        replace(part, resources=plus(part.resources, found.wanted.get(part.uuid, {}))) for part in host.providers
    ]
    resources = plus(host.resources, found.wanted.get(host.provider_uuid, {}))
    return fabrics.shown(
        replace(
            host,
            resources=resources,
            providers=tuple(parts),
            instances=host.instances + 1,
            io_ops=host.io_ops + 1,
        )
    )


def one_by_one(world: World, request: PlacementRequest, count: int, plugins: dict[str, Any]) -> list[str | None]:
    scheduler, found = world.scheduler(**plugins, seed=3), []
    for _ in range(count):
        best = next(scheduler.select(request).candidates, None)
        found.append(best.view.provider_uuid if best else None)
        if best is None:
            break
        hosts = world.views["c1"]
        row = next(row for row, host in enumerate(hosts) if host.provider_uuid == best.view.provider_uuid)
        hosts[row] = after(hosts[row], request)
        if request.server_group is not None:
            members = {**request.server_group.members}
            members[best.view.host] = members.get(best.view.host, 0) + 1
            request = replace(request, server_group=replace(request.server_group, members=members))
    return found


def compare(
    world: World, hosts: list[HostView], request: PlacementRequest, count: int, plugins: dict[str, Any]
) -> list[str | None]:
    """Place by a batch and one by one, compare, and return the UUIDs of the nodes."""
    world.views = {"c1": list(hosts)}
    batch = world.scheduler(**plugins, seed=3).select_many(request, count)
    placed = [next((c.view.provider_uuid for c in decision.candidates), None) for decision in batch]
    world.views = {"c1": list(hosts)}
    assert placed == one_by_one(world, request, count, plugins)
    assert len({id(decision.table) for decision in batch}) == len(batch)
    return placed


@pytest.fixture
def default(world: World) -> dict[str, Any]:
    """The filters and weighers of the default configuration."""
    conf, directory = world.conf, world.setup.state_dir
    filters = load_all("filter", enabled("filter", conf), Filter, conf, directory)
    weighers = load_all("weigher", enabled("weigher", conf), Weigher, conf, directory)
    return {"filters": [one for _, one in filters], "weighers": [one for _, one in weighers]}


few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(
    sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 900)), min_size=1, max_size=8),
    count=st.integers(1, 12), subset=st.integers(1, 3), policy=st.sampled_from(POLICIES), most=st.integers(1, 3),
)  # fmt: skip
def test_as_many_single_decisions(
    world: World, default: dict[str, Any], sizes: list[tuple[int, int]], count: int, subset: int, policy: str | None,
    most: int,
) -> None:  # fmt: skip
    world.conf.set_override("host_subset_size", subset, group="scheduler")
    hosts = [view(f"h{number}", vcpu=cpus, used=used) for number, (cpus, used) in enumerate(sizes)]
    request = ask(server_group=ServerGroup("g", policy, most) if policy else None)
    placed = compare(world, hosts, request, count, default)
    there = [placed.count(host.provider_uuid) for host in hosts]
    assert policy != "affinity" or sum(map(bool, there)) <= 1
    assert policy != "anti-affinity" or max(there) <= most


@few
@given(
    hosts=st.lists(fabrics.hosts(), min_size=1, max_size=6).map(fabrics.fabric), request=fabrics.requests(),
    count=st.integers(1, 8),
)  # fmt: skip
def test_on_parts_of_hosts(
    world: World, default: dict[str, Any], hosts: list[HostView], request: PlacementRequest, count: int
) -> None:
    compare(world, hosts, request, count, default)


def test_parts_fill_up_one_after_the_other(world: World, default: dict[str, Any]) -> None:
    def part(name: str) -> Provider:
        return Provider(f"{name}-uuid", name, "", {"PCI_DEVICE": Resource(1, 0), "VCPU": Resource(4, 0)})

    hosts = [
        fabrics.shown(replace(view(f"h{number}", vcpu=8), providers=tuple(part(f"h{number}p{p}") for p in range(2))))
        for number in range(3)
    ]
    request = ask(resources={"MEMORY_MB": 10}, groups=(fabrics.group("pci0", PCI_DEVICE=1, VCPU=2),))
    placed = compare(world, hosts, request, 8, default)
    assert placed[6:] == [None] and all(placed.count(host.provider_uuid) == 2 for host in hosts)


def test_the_instances_of_a_batch_take_their_shares(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "AT_ONCE", 3)
    world.views = {"c1": [view("h1", vcpu=2), view("h2", vcpu=2)]}
    scheduler, request = world.scheduler("compute", "resources", "cpu"), ask(resources={"VCPU": 1})
    passes, real = [], scheduler.select_many

    def counted(*args: Any) -> Any:
        passes.append(args[1])
        return real(*args)

    monkeypatch.setattr(scheduler, "select_many", counted)
    found = [scheduler.select_of(replace(request, instance_uuid=str(n)), "batch", 4) for n in range(3)]
    assert passes == [3] and [decision.request.instance_uuid for decision in found] == ["0", "1", "2"]
    first = sorted(next(decision.candidates).view.host for decision in found)
    assert first in (["h1", "h1", "h2"], ["h1", "h2", "h2"])
    scheduler.select_of(request, "batch", 4)
    scheduler.select_of(request, "another", 2)
    scheduler.select_of(request, "alone", 1)
    assert passes == [3, 3, 2, 1]
