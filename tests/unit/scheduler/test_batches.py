"""A batch of equal instances is placed as that many single decisions would place them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter.contracts.scheduling import PlacementRequest, Resource, ServerGroup
from tenter.scheduler.table import table_of
from tenter.scheduler.usage import claimed
from tests.unit.scheduler.test_pipeline import World, ask, view, world

__all__ = ["world"]


def one_by_one(world: World, request: PlacementRequest, count: int, names: tuple[str, ...]) -> list[str | None]:
    scheduler, found = world.scheduler(*names, seed=3), []
    for _ in range(count):
        best = next(scheduler.select(request).candidates, None)
        found.append(best.view.host if best else None)
        if best is None:
            break
        table = table_of(world.views["c1"])
        row = table.host.index(best.view.host)
        changed = claimed(table, row, request)
        old = world.views["c1"][row]
        resources = {
            name: Resource(one.total, int(changed.resources[name].used[row]), one.reserved, one.ratio)
            for name, one in old.resources.items()
        }
        world.views["c1"][row] = replace(old, resources=resources, instances=old.instances + 1, io_ops=old.io_ops + 1)
        if request.server_group is not None:
            members = {**request.server_group.members}
            members[best.view.host] = members.get(best.view.host, 0) + 1
            request = replace(request, server_group=replace(request.server_group, members=members))
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 900)), min_size=1, max_size=8),
    count=st.integers(1, 12), subset=st.integers(1, 3), grouped=st.booleans(),
)  # fmt: skip
def test_as_many_single_decisions(
    world: World, sizes: list[tuple[int, int]], count: int, subset: int, grouped: bool
) -> None:
    world.conf.set_override("host_subset_size", subset, group="scheduler")
    hosts = [view(f"h{number}", vcpu=cpus, used=used) for number, (cpus, used) in enumerate(sizes)]
    group = ServerGroup("g", "anti-affinity", 2) if grouped else None
    request = ask(server_group=group)
    names = ("compute", "resources", "cpu", "ram", "disk")
    world.views = {"c1": list(hosts)}
    batch = world.scheduler(*names, seed=3).select_many(request, count)
    placed = [next((c.view.host for c in decision.candidates), None) for decision in batch]
    world.views = {"c1": list(hosts)}
    assert placed == one_by_one(world, request, count, names)
    assert len({id(decision.table) for decision in batch}) == len(batch)
