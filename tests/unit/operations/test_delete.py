"""A delete that was accepted never fails: what goes wrong is tried again, and in the end left to the host."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.conductor.audit import Auditor
from tenter.store import api_schema, cell_schema
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud
from tests.helpers.moments import Crash, Moments

REAPS = {"report_interval": 0.2}


def _fail(driver: Any, method: str, times: int = 10**6) -> list[str]:
    """Let a driver's method fail some times; return the list that its calls are put into."""
    real, calls = getattr(driver, method), []

    def fails(*args: Any) -> Any:
        calls.append(method)
        if len(calls) <= times:
            raise errors.HypervisorUnavailable("Out of order.")
        return real(*args)

    setattr(driver, method, fails)
    return calls


def _rows(cloud: Cloud, table: sa.Table) -> list[Any]:
    with cloud.cell.db.read() as connection:
        return list(connection.execute(sa.select(table)).mappings())


def _audit(cloud: Cloud) -> list[tuple[str, str]]:
    network: Any = cloud.embedded.network
    found = Auditor(cloud.conf, cloud.fabric.api_db, cloud.fabric.cells, network).run(repair=False)
    return [(finding.code, finding.subject) for finding in found]


def test_a_host_that_fails_once_is_asked_again_and_nobody_sees_it(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    calls = _fail(cloud.virt, "destroy", 1)
    cloud.requests.delete(CALLER, uuid)
    row = cloud.wait(uuid, lambda row: calls != [])
    assert (row["vm_state"], row["task_state"], row["fault"]) == ("active", "deleting", None)
    cloud.requests.delete(CALLER, uuid)
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    assert len(calls) == 2 and cloud.leftovers() == {}
    cloud.empty()


def test_a_pause_ends_although_the_clock_went_back(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations={"lease": 1, "watch_interval": 0.1})
    uuid = cloud.create()
    cloud.active(uuid)
    calls, table = _fail(cloud.virt, "destroy", 1), cell_schema.operations
    cloud.requests.delete(CALLER, uuid)
    cloud.wait(uuid, lambda row: calls != [])
    paused, until = sa.and_(table.c.owner == "paused", table.c.state == "queued"), time.monotonic() + 5
    hour = sa.update(table).where(paused).values(lease_until=time.time() + 3600)
    moved = 0
    while not moved and time.monotonic() < until:
        with cloud.cell.db.write() as connection:
            moved = connection.execute(hour).rowcount
    assert moved == 1
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    cloud.empty()


def test_a_host_that_goes_on_failing_keeps_what_it_has_until_it_can_remove_it(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations={"delete_retries": 1, "audit_interval": 0}, compute=REAPS)
    uuid = cloud.create()
    cloud.active(uuid)
    claimed = {row["amount"] for row in _rows(cloud, cell_schema.claims)}
    cloud.conf.set_override("faults", {"destroy": "1.0"}, group="fake")
    cloud.delete(uuid)
    (left,) = _rows(cloud, cell_schema.leftovers)
    assert (left["instance_uuid"], left["host"], len(left["vifs"])) == (uuid, "host-1", 1)
    assert {(row["holder_uuid"], row["holder_kind"]) for row in _rows(cloud, cell_schema.claims)} == {
        (left["uuid"], "leftover")
    }
    assert {row["amount"] for row in _rows(cloud, cell_schema.claims)} == claimed
    assert cloud.guests() == {uuid} == cloud.ports(), "nobody else gets the addresses of a guest that may run"
    assert _audit(cloud) == [("leftover.stuck", uuid)]
    cloud.check()
    with pytest.raises(errors.NotFound):
        cloud.requests.delete(CALLER, uuid)
    cloud.conf.clear_override("faults", group="fake")
    cloud.reaped()
    cloud.empty()
    assert _audit(cloud) == []


def test_a_destroy_that_kills_its_process_again_and_again_is_given_up(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations={"max_takeovers": 1}, compute=REAPS)
    uuid = cloud.create()
    cloud.active(uuid)
    killed = Moments(cloud)

    def destroy(request: Any) -> Any:
        killed.dead.set()
        raise Crash("in destroy")

    cloud.virt.destroy = destroy  # type: ignore[method-assign]
    cloud.requests.delete(CALLER, uuid)
    assert killed.dead.wait(10)
    cloud.drop()
    cloud.start()
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    cloud.reaped()
    with cloud.cell.db.read() as connection:
        query = sa.select(cell_schema.operations.c.events).where(cell_schema.operations.c.kind == "delete")
        events = connection.execute(query).scalar_one()
    assert [event["step"] for event in events] == ["destroy", "abandon"]
    cloud.empty()


@pytest.mark.parametrize("host", ["host-1", None])
def test_a_network_driver_that_fails_holds_no_delete_up(make_cloud: MakeCloud, host: str | None) -> None:
    faults = {} if host else {"faults": "spawn:1.0"}
    cloud = make_cloud(operations={"delete_retries": 0, "audit_interval": 0}, compute=REAPS, fake=faults)
    uuid = cloud.create()
    assert cloud.settled(uuid)["host"] == host
    network: Any = cloud.embedded.network
    real = network.deallocate
    calls = _fail(network, "deallocate")
    cloud.delete(uuid)
    assert calls
    cloud.check()
    network.deallocate = real
    cloud.reaped()
    cloud.empty()


def test_a_busy_database_ends_no_delete(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    real, left = cloud.fabric.api_db.write, [2]

    def busy() -> Any:
        if left[0]:
            left[0] -= 1
            raise errors.Unavailable("The database cannot be used now: database is locked.")
        return real()

    cloud.fabric.api_db.write = busy  # type: ignore[method-assign]
    cloud.requests.delete(CALLER, uuid)
    began = time.monotonic()
    cloud.wait(uuid, lambda row: row is None)
    assert time.monotonic() - began > 2 and left == [0], "one pause of 1 s, and one of 2 s"
    cloud.idle()
    states = {(row["kind"], row["state"]) for row in _rows(cloud, cell_schema.operations)}
    assert states == {("build", "done"), ("delete", "done")}
    cloud.empty()


def test_a_build_that_never_began_keeps_no_secret(cloud: Cloud) -> None:
    for runner in cloud.embedded.conductor.runners.values():
        runner.stop(0)
    uuid = cloud.create(admin_password="geheim")
    table = api_schema.operations
    with cloud.fabric.api_db.read() as connection:
        assert "geheim" in str(connection.execute(sa.select(table.c.args)).all())
    cloud.requests.delete(CALLER, uuid)
    with cloud.fabric.api_db.read() as connection:
        (row,) = connection.execute(sa.select(table)).mappings()
    assert (row["state"], row["args"]) == ("cancelled", {})
