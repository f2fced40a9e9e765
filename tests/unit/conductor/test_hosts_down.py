"""A host that is away holds nobody up, and what it still has is removed when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from tenter.store import cell_schema
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud
from tests.helpers.hosts import Host, set_service

FAST = {"watch_interval": 0.1, "audit_interval": 0}


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    return make_cloud(operations=FAST, fake={"vcpus": 100, "memory_mib": 128 * 4})


@pytest.fixture
def other(cloud: Cloud) -> Iterator[Host]:
    host = Host(cloud, "host-2").start()
    yield host
    host.freeze()


def _rows(cloud: Cloud, table: sa.Table) -> list[Any]:
    with cloud.cell.db.read() as connection:
        return list(connection.execute(sa.select(table)).mappings())


def _used(cloud: Cloud, node: str) -> dict[str, int]:
    return {
        row["resource_class"]: row["used"] for row in _rows(cloud, cell_schema.inventories)
        if row["provider_uuid"] == node
    }  # fmt: skip


def test_a_delete_without_its_host_goes_at_once_and_is_reaped_later(cloud: Cloud, other: Host) -> None:
    uuid = cloud.create(forced_host="host-2")
    node = cloud.active(uuid)["node_uuid"]
    before = _used(cloud, node)
    other.freeze()
    other.declare_down()
    cloud.delete(uuid, 5)
    assert cloud.ports() == set(), "the addresses can be had again at once"
    assert other.guests() == {uuid}
    (left,) = _rows(cloud, cell_schema.leftovers)
    assert (left["instance_uuid"], left["host"], len(left["vifs"])) == (uuid, "host-2", 1)
    assert _used(cloud, node) == before, "what is still there still counts"
    assert {claim["holder_kind"] for claim in _rows(cloud, cell_schema.claims)} == {"leftover"}
    other.declare_down(False)
    other.start()
    assert other.guests() == set()
    assert _rows(cloud, cell_schema.leftovers) == [] == _rows(cloud, cell_schema.claims)
    assert set(_used(cloud, node).values()) == {0}
    cloud.empty()


def test_a_delete_that_waits_for_its_host_is_taken_over_when_that_goes_down(cloud: Cloud, other: Host) -> None:
    uuid = cloud.create(forced_host="host-2")
    cloud.active(uuid)
    other.freeze()
    cloud.requests.delete(CALLER, uuid)
    time.sleep(0.3)
    assert cloud.row(uuid) is not None, "the host may be well"
    other.declare_down()
    cloud.wait(uuid, lambda row: row is None, 5)
    other.start()
    assert other.guests() == set()
    cloud.idle()


def _disable(cloud: Cloud, host: str, disabled: bool = True) -> None:
    set_service(cloud.cell.db, host, disabled=disabled)


def _stuck(cloud: Cloud, host: Host) -> tuple[str, threading.Event]:
    """Return a server whose spawn hangs on the host, for host-1 takes none, and what lets it go on."""
    _disable(cloud, "host-1")
    real, go, there = host.virt.spawn, threading.Event(), threading.Event()

    def spawn(request: Any) -> Any:
        there.set()
        go.wait(20)
        return real(request)

    host.virt.spawn = spawn
    uuid = cloud.create(zone=None)
    assert there.wait(10)
    return uuid, go


def test_a_build_whose_host_goes_down_is_made_elsewhere_and_cannot_come_back(cloud: Cloud, other: Host) -> None:
    uuid, go = _stuck(cloud, other)
    try:
        other.declare_down()
        _disable(cloud, "host-1", disabled=False)
        row = cloud.active(uuid)
        assert row["host"] == "host-1"
        assert {left["host"] for left in _rows(cloud, cell_schema.leftovers)} == {"host-2"}
        assert other.service._reaper.reap(other.service._runner.works_on) == 0, "it is still at work there"
    finally:
        go.set()
    until = time.monotonic() + 10
    while other.service._runner.works_on(uuid) and time.monotonic() < until:
        time.sleep(0.01)
    assert other.guests() == set(), "what no longer counts is removed by whoever made it"
    assert cloud.row(uuid)["network_info"] == row["network_info"] and cloud.ports() == {uuid}
    other.service._reap()
    assert _rows(cloud, cell_schema.leftovers) == []
    cloud.delete(uuid)
    cloud.empty()


def test_a_delete_during_a_build_on_a_host_that_went_down(cloud: Cloud, other: Host) -> None:
    uuid, go = _stuck(cloud, other)
    try:
        other.declare_down()
        cloud.requests.delete(CALLER, uuid)
        cloud.wait(uuid, lambda row: row is None, 5)
    finally:
        go.set()
    until = time.monotonic() + 10
    while (other.service._runner.works_on(uuid) or other.guests()) and time.monotonic() < until:
        time.sleep(0.01)
    other.service._reap()
    assert other.guests() == set() and cloud.ports() == set()
    assert _rows(cloud, cell_schema.leftovers) == [] == _rows(cloud, cell_schema.claims)


def test_other_work_on_a_host_that_is_down_fails_at_its_deadline(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations={**FAST, "lease": 1, "deadline_stop": 1})
    other = Host(cloud, "host-2").start()
    uuid = cloud.create(forced_host="host-2")
    cloud.active(uuid)
    other.freeze()
    other.declare_down()
    cloud.requests.stop(CALLER, uuid)
    row = cloud.settled(uuid, 15)
    assert row["vm_state"] == "error" and "not done within 1 s" in row["fault"]["message"]
    (operation,) = [o for o in _rows(cloud, cell_schema.operations) if o["kind"] == "stop"]
    assert (operation["state"], operation["error"]["code"]) == ("failed", "tenter.operation.deadline")
    cloud.delete(uuid, 5)
    assert len(_rows(cloud, cell_schema.leftovers)) == 1


def test_hosts_that_fail_builds_are_counted_and_weighed_down(make_cloud: MakeCloud) -> None:
    from tenter.contracts.base import PluginSetup
    from tenter.contracts.scheduling import HostView, PlacementRequest
    from tenter.scheduler.table import table_of
    from tenter_plugins.weighers.build_failure import BuildFailureWeigher

    cloud = make_cloud(operations=FAST, fake={"faults": "spawn:1.0"})
    for _ in range(3):
        assert cloud.settled(cloud.create(nics=0))["vm_state"] == "error"
    (node,) = _rows(cloud, cell_schema.compute_nodes)
    assert node["failed_builds"] == 3
    cloud.conf.register_opts(list(BuildFailureWeigher.options), group="weighers")
    weigher = BuildFailureWeigher(PluginSetup(conf=cloud.conf, state_dir=cloud.state_dir))
    request = PlacementRequest("i", "p", {})
    view = HostView(node["uuid"], "h", "h", "z", True, True, {}, failed_builds=3)
    few = replace(view, failed_builds=2)
    assert weigher.weights(table_of([view, few]), request).tolist() == [-3, 0] and weigher.multiplier() > 0
    cloud.conf.clear_override("faults", group="fake")
    cloud.conf.set_override("faults", {}, group="fake")
    cloud.active(cloud.create(nics=0))
    assert _rows(cloud, cell_schema.compute_nodes)[0]["failed_builds"] == 0


def test_a_host_that_falls_silent_is_down_after_a_while_and_not_before(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations=FAST, compute={"report_interval": 0.2, "service_down_time": 2})
    other = Host(cloud, "host-2").start()
    mine, its = cloud.create(forced_host="host-1"), cloud.create(forced_host="host-2")
    cloud.active(mine), cloud.active(its)
    other.freeze()
    cloud.requests.delete(CALLER, its)
    began = time.monotonic()
    cloud.wait(its, lambda row: row is None, 15)
    assert time.monotonic() - began > 1, "it may only have been slow"
    assert cloud.row(mine)["vm_state"] == "active"
    cloud.idle()
    assert {left["host"] for left in _rows(cloud, cell_schema.leftovers)} == {"host-2"}


def test_a_conductor_that_starts_first_gives_hosts_time_to_report(cloud: Cloud, other: Host) -> None:
    from tenter.conductor.watch import Watch
    from tenter.operations.runner import Source

    with cloud.cell.db.write() as connection:
        connection.execute(sa.update(cell_schema.services).values(last_seen=1.0))
    runner = cloud.embedded.conductor.runners[cloud.cell.uuid]
    source = Source(cloud.cell.db, cell_schema.operations, cloud.cell.uuid)
    watch = Watch(source, runner, runner._kinds, cloud.conf, threading.Event())
    assert watch._down(["host-1", "host-2"]) == {} == watch._down(["host-1", "host-2"])
    other.declare_down()
    assert watch._down(["host-1", "host-2"]) == {"host-2": True}


def test_a_dead_host_can_be_given_up_for_good(cloud: Cloud, other: Host) -> None:
    from tenter.store import services

    uuid = cloud.create(forced_host="host-2")
    cloud.active(uuid)
    other.freeze()
    other.declare_down()
    cloud.delete(uuid, 5)
    assert services.delete_service(cloud.cell.db, other.service.uuid)
    assert _rows(cloud, cell_schema.leftovers) == [] == _rows(cloud, cell_schema.claims)


def test_the_next_build_on_a_host_waits_until_what_was_left_there_is_gone(cloud: Cloud, other: Host) -> None:
    inventories = cell_schema.inventories
    set_service(cloud.cell.db, "host-1", disabled=True)
    uuids = [cloud.create(nics=0, forced_host="host-2") for _ in range(4)]
    for uuid in uuids:
        cloud.active(uuid)
    other.freeze()
    other.declare_down()
    for uuid in uuids:
        cloud.delete(uuid, 5)
    other.declare_down(False)
    row = cloud.settled(cloud.create(nics=0, forced_host="host-2"))
    assert row["vm_state"] == "error" and "ram.short" in row["fault"]["message"], "there is no room yet"
    other.start()
    cloud.active(cloud.create(nics=0, forced_host="host-2"))
    with cloud.cell.db.read() as connection:
        assert connection.execute(sa.select(sa.func.max(inventories.c.used - inventories.c.capacity))).scalar() <= 0
