"""A step that no longer counts ends late: whatever became of its server, it leaves nothing and takes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.contracts.network import NetworkScope
from tenter.operations.requests import RebuildServer
from tenter.store import cell_schema, leftovers, operations
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud
from tests.helpers.hosts import Host, set_service


class Late:
    """Replaces a method of an object; its first call waits before the real one until it may go on."""

    def __init__(self, of: Any, method: str, before: bool = True) -> None:
        self._real, self._before = getattr(of, method), before
        self._first, self._go = True, threading.Event()
        self.there = threading.Event()
        self.running = self.most = 0
        setattr(of, method, self)

    def __call__(self, *args: Any) -> Any:
        first, self._first = self._first, False
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if first and self._before:
                self._wait()
            result = self._real(*args)
            if first and not self._before:
                self._wait()
            return result
        finally:
            self.running -= 1

    def _wait(self) -> None:
        self.there.set()
        assert self._go.wait(30)

    def go(self) -> None:
        self._go.set()


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    return make_cloud(operations={"watch_interval": 0.1, "audit_interval": 0})


@pytest.fixture
def other(cloud: Cloud) -> Iterator[Host]:
    host = Host(cloud, "host-2", compute={"report_interval": 0.2}).start()
    yield host
    host.freeze()


def _enable(cloud: Cloud, enabled: bool) -> None:
    set_service(cloud.cell.db, "host-1", disabled=not enabled)


def _until(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def _quiet(host: Host, uuid: str) -> None:
    _until(lambda: not host.service._runner.works_on(uuid))


def _bound(cloud: Cloud, uuid: str) -> set[str]:
    network: Any = cloud.embedded.network
    return {port.host for port in network.list_ports(NetworkScope("", is_admin=True), {"device_id": [uuid]})}


def _built_elsewhere(cloud: Cloud, other: Host, late: Late) -> Any:
    """Return the row of a server that was built on host-1 while the second host is stuck in its build."""
    _enable(cloud, False)
    uuid = cloud.create()
    assert late.there.wait(10)
    other.declare_down()
    _enable(cloud, True)
    row = cloud.active(uuid)
    assert row["host"] == "host-1" and _bound(cloud, uuid) == {"host-1"}
    return row


@pytest.mark.parametrize("method", ["spawn", "allocate"])
@pytest.mark.parametrize("ports_stay", [False, True])
def test_a_spawn_that_ends_when_another_host_has_the_server(
    cloud: Cloud, other: Host, method: str, ports_stay: bool
) -> None:
    network: Any = cloud.embedded.network
    late = Late(other.virt if method == "spawn" else other.service._guests._network, method)
    give_back = network.deallocate

    def fail(*args: Any) -> None:
        raise errors.NetworkFailed("Out of order.")

    if ports_stay:  # the conductor cannot give back what the first host has
        cloud.embedded.conductor._network.deallocate = fail  # type: ignore[union-attr]
    row = _built_elsewhere(cloud, other, late)
    network.deallocate = give_back
    late.go()
    _quiet(other, row["uuid"])
    assert other.guests() == set(), "whoever made it removes it"
    assert _bound(cloud, row["uuid"]) == {"host-1"}, "and nothing that is another's by now"
    assert cloud.row(row["uuid"])["network_info"] == row["network_info"]
    cloud.reaped()
    assert _bound(cloud, row["uuid"]) == {"host-1"} and cloud.guests() == {row["uuid"]}
    cloud.delete(row["uuid"])
    cloud.empty()


@pytest.mark.parametrize("before", [True, False])
def test_a_spawn_that_ends_when_its_server_is_in_error(cloud: Cloud, other: Host, before: bool) -> None:
    late = Late(other.virt, "spawn", before)
    _enable(cloud, False)
    uuid = cloud.create()
    assert late.there.wait(10)
    other.declare_down()
    row = cloud.settled(uuid)
    assert (row["vm_state"], row["host"]) == ("error", None)
    late.go()
    _quiet(other, uuid)
    assert other.guests() == set() == cloud.ports()
    cloud.reaped()
    cloud.check()
    cloud.delete(uuid)
    cloud.empty()


def test_what_cannot_be_removed_then_is_removed_later(cloud: Cloud, other: Host) -> None:
    late = Late(other.virt, "spawn")
    row = _built_elsewhere(cloud, other, late)
    with cloud.cell.db.write() as connection:  # as if the host had been asked already
        left = cell_schema.leftovers
        holder = connection.execute(sa.select(left.c.uuid)).scalar_one()
    other.service._reaper._guests._virt.destroy, real = _broken, other.virt.destroy
    late.go()
    _until(lambda: "Out of order." in _troubles(cloud))
    with cloud.cell.db.read() as connection:
        assert connection.execute(sa.select(left.c.uuid)).scalars().all() == [holder], "one record is enough"
    other.virt.destroy = real
    cloud.reaped()
    assert other.guests() == set()
    assert _bound(cloud, row["uuid"]) == {"host-1"}
    cloud.delete(row["uuid"])
    cloud.empty()


def test_a_guest_of_nobody_that_cannot_be_removed_is_a_leftover_without_claims(cloud: Cloud, other: Host) -> None:
    late = Late(other.virt, "spawn")
    row = _built_elsewhere(cloud, other, late)
    uuid = row["uuid"]
    with cloud.cell.db.read() as connection:
        left = connection.execute(sa.select(cell_schema.leftovers.c.uuid)).scalar_one()
    leftovers.reaped(cloud.cell.db, left)
    real, other.virt.destroy = other.virt.destroy, _broken
    late.go()
    _until(lambda: bool(cloud.leftovers()))
    assert other.guests() == {uuid}
    cloud.check()
    other.virt.destroy = real
    cloud.reaped()
    assert other.guests() == set() and _bound(cloud, uuid) == {"host-1"}
    cloud.delete(uuid)
    cloud.empty()


def test_the_same_host_begins_anew_only_when_the_first_attempt_has_ended(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "renew", lambda *args: None)
    cloud = make_cloud(operations={"watch_interval": 0.1, "lease": 1, "deadline_rebuild": 1, "audit_interval": 0})
    uuid = cloud.create()
    cloud.active(uuid)
    late = Late(cloud.virt, "spawn")
    cloud.requests.rebuild(CALLER, uuid, RebuildServer(image=cloud.image()))
    assert late.there.wait(10)
    cloud.wait(uuid, lambda row: row["vm_state"] == "error" and row["task_state"] is None)
    cloud.conf.set_override("deadline_rebuild", 60.0, group="operations")
    cloud.conf.set_override("lease", 60.0, group="operations")
    cloud.requests.rebuild(CALLER, uuid, RebuildServer(image=cloud.image()))
    time.sleep(2)
    assert late.most == 1 and cloud.row(uuid)["task_state"] == "rebuilding"
    late.go()
    row = cloud.active(uuid)
    assert late.most == 1 and cloud.guests() == {uuid} and row["fault"] is None
    cloud.delete(uuid)
    cloud.empty()


def _broken(request: Any) -> None:
    raise errors.HypervisorUnavailable("Out of order.")


def _troubles(cloud: Cloud) -> list[str | None]:
    with cloud.cell.db.read() as connection:
        return list(connection.execute(sa.select(cell_schema.leftovers.c.trouble)).scalars())
