"""A wall clock that jumps, ahead or back: what is under way goes on, in order, and dead workers hold nobody up."""

from __future__ import annotations

import time
import uuid as uuidlib
from typing import Any

import pytest
import sqlalchemy as sa

from tenter.conductor.watch import Leases
from tenter.store import cell_schema, lost, operations
from tenter.store.engine import now
from tenter.store.lost import Lease
from tenter.store.operations import Operation
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud

HOUR = 3600.0
FAST = {"watch_interval": 0.1, "audit_interval": 0, "lease": 1}


class Clock:
    """The wall clock of this process; the monotonic one is left as it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real, real_ns = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(self.ahead * 1e9))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _operation(uuid: str, kind: str = "reboot", **values: Any) -> Operation:
    new: dict[str, Any] = {
        "uuid": str(uuidlib.uuid4()), "kind": kind, "instance_uuid": uuid, "project_id": CALLER.project_id,
        "user_id": "u", "request_id": "req-x", "step": kind, "role": "compute", "host": "host-1",
        "deadline": now() + 1800, **values,
    }  # fmt: skip
    return Operation(**new)


def _add(cloud: Cloud, operation: Operation) -> None:
    with cloud.cell.db.write() as connection:
        operations.append(connection, cell_schema.operations, operation)


def _state(cloud: Cloud, uuid: str) -> Any:
    table = cell_schema.operations
    with cloud.cell.db.read() as connection:
        return connection.execute(sa.select(table).where(table.c.uuid == uuid)).one()


def _held_by_a_dead_worker(cloud: Cloud, uuid: str) -> str:
    """Return an operation that a process took which will never be heard of again."""
    operation = _operation(uuid, state="running", owner="compute:host-1:dead", attempt=1)
    operation.lease_until = now() + 1
    _add(cloud, operation)
    return operation.uuid


def _wait_done(cloud: Cloud, uuid: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while _state(cloud, uuid).state != "done":
        assert time.monotonic() < until, _state(cloud, uuid)
        time.sleep(0.02)


def test_a_dead_workers_step_is_taken_over_although_the_clock_went_back(make_cloud: MakeCloud, clock: Clock) -> None:
    cloud = make_cloud(operations=FAST)
    uuid = cloud.create()
    cloud.active(uuid)
    held = _held_by_a_dead_worker(cloud, uuid)
    clock.ahead = -HOUR
    began = time.monotonic()
    _wait_done(cloud, held, 5)
    assert time.monotonic() - began > 0.9, "its worker may only have been slow"
    assert _state(cloud, held).attempt == 2
    cloud.delete(uuid)
    cloud.empty()


@pytest.mark.parametrize("ahead", [-HOUR, 600.0])
def test_a_worker_that_lives_keeps_its_step_when_the_clock_jumps(
    make_cloud: MakeCloud, clock: Clock, ahead: float
) -> None:
    cloud = make_cloud(operations=FAST, compute={"report_interval": 0.2})
    real, calls = cloud.virt.spawn, []

    def spawn(request: Any) -> Any:
        calls.append(request.uuid)
        clock.ahead = ahead
        time.sleep(2.5)
        return real(request)

    cloud.virt.spawn = spawn  # type: ignore[method-assign]
    uuid = cloud.create()
    cloud.active(uuid)
    assert calls == [uuid]
    table = cell_schema.operations
    with cloud.cell.db.read() as connection:
        steps = connection.execute(sa.select(table.c.events).where(table.c.instance_uuid == uuid)).scalar_one()
    assert [step["result"] for step in steps] == ["Success"] * len(steps)
    cloud.check()
    cloud.delete(uuid)
    cloud.empty()


def test_what_a_jump_beyond_the_deadline_fails_ends_cleanly(make_cloud: MakeCloud, clock: Clock) -> None:
    cloud = make_cloud(operations=FAST, compute={"report_interval": 0.2})
    real = cloud.virt.spawn

    def spawn(request: Any) -> Any:
        clock.ahead = 2 * HOUR
        time.sleep(2.5)
        return real(request)

    cloud.virt.spawn = spawn  # type: ignore[method-assign]
    uuid = cloud.create()
    row = cloud.settled(uuid, 15)
    assert row["vm_state"] == "error" and "not done within 1800 s" in row["fault"]["message"]
    until = time.monotonic() + 10
    while cloud.embedded.compute._runner.works_on(uuid) and time.monotonic() < until:
        time.sleep(0.02)
    cloud.check()
    cloud.delete(uuid)
    cloud.idle()
    cloud.reaped()
    cloud.empty()


def test_a_delete_waits_for_what_was_begun_before_the_clock_went_back(make_cloud: MakeCloud, clock: Clock) -> None:
    cloud = make_cloud(operations={**FAST, "lease": 60})
    real, order = cloud.virt.spawn, []

    def spawn(request: Any) -> Any:
        clock.ahead = -HOUR
        cloud.requests.delete(CALLER, request.uuid)
        time.sleep(0.5)
        try:
            return real(request)
        finally:
            order.append("spawned")

    destroy = cloud.virt.destroy

    def destroyed(*args: Any, **kwargs: Any) -> Any:
        order.append("destroyed")
        return destroy(*args, **kwargs)

    cloud.virt.spawn, cloud.virt.destroy = spawn, destroyed  # type: ignore[method-assign]
    uuid = cloud.create()
    cloud.wait(uuid, lambda row: row is None, 10)
    assert order[0] == "spawned", "the delete ran beside the build"
    cloud.idle()
    cloud.empty()


def test_an_operation_is_behind_all_that_are_open_whatever_the_clock_says(make_cloud: MakeCloud, clock: Clock) -> None:
    cloud = make_cloud(operations={"watch_interval": 3600, "audit_interval": 0})
    uuid = str(uuidlib.uuid4())
    first, second, ended = (_operation(uuid, host="host-gone") for _ in range(3))
    _add(cloud, first)
    clock.ahead = -HOUR
    second.seq = time.time_ns()
    _add(cloud, second)
    assert _state(cloud, second.uuid).seq == first.seq + 1
    db, table = cloud.cell.db, cell_schema.operations
    assert operations.todo(db, table, "compute", "host-gone", 10) == [first.uuid]
    other = _operation(str(uuidlib.uuid4()), host="host-gone", seq=5)
    ended.state, ended.instance_uuid = "done", other.instance_uuid
    _add(cloud, ended)
    _add(cloud, other)
    assert _state(cloud, other.uuid).seq == 5, "what has ended is not waited for"


def test_leases_stand_still_only_by_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    at = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    seen = Leases(10)
    dead, renewed = Lease("a", 1, "x", 50.0), Lease("b", 1, "y", 50.0)
    assert seen.still([dead, renewed]) == []
    at[0] += 9.9
    assert seen.still([dead, renewed]) == []
    renewed = renewed._replace(until=60.0)
    at[0] += 0.1
    assert seen.still([dead, renewed]) == [dead]
    assert seen.still([dead._replace(attempt=2), renewed]) == [], "somebody has taken it over"
    at[0] += 9
    seen.forget()
    assert seen.still([renewed]) == []
    at[0] += 9
    assert seen.still([renewed]) == [], "nobody knows what happened while it was not looked at"


def test_a_lease_is_ended_only_if_it_is_still_as_read(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations={"watch_interval": 3600, "audit_interval": 0})
    operation = _operation(str(uuidlib.uuid4()), host="host-gone", state="running", owner="o", attempt=1)
    operation.lease_until = now() + 50
    _add(cloud, operation)
    db, table = cloud.cell.db, cell_schema.operations
    (lease,) = lost.leases(db, table)
    operations.renew(db, table, "o", [operation.uuid], 100)
    assert not lost.end_lease(db, table, lease), "it was renewed meanwhile"
    (lease,) = lost.leases(db, table)
    assert lost.end_lease(db, table, lease) and lost.leases(db, table) == []
    assert operations.todo(db, table, "compute", "host-gone", 10) == [operation.uuid]
    operations.renew(db, table, "o", [operation.uuid], 100)
    assert len(lost.leases(db, table)) == 1, "whoever wakes up first has it"
