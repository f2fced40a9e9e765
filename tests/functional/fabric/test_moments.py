"""A process may die, and a delete may come, at any moment: no server is ever stuck and nothing is left behind."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from tenter.operations.requests import RebuildServer
from tenter.store import api_schema, cell_schema
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud
from tests.helpers.moments import Crash, Moments

Act = Callable[[Cloud, str], None]
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def _count(cloud: Cloud, prepare: bool, act: Act) -> list[str]:
    uuid = _prepared(cloud, prepare)
    moments = Moments(cloud)
    uuid = _begin(cloud, uuid, act)
    cloud.settled(uuid)
    cloud.drop()
    cloud.start()
    _clean(cloud, uuid)
    return moments.passed


def _prepared(cloud: Cloud, prepare: bool) -> str:
    if not prepare:
        return ""
    uuid = cloud.create()
    cloud.active(uuid)
    return uuid


def _begin(cloud: Cloud, uuid: str, act: Act) -> str:
    if uuid:
        # A request may write more than once: then it is the API's own thread that dies.
        with contextlib.suppress(Crash):
            act(cloud, uuid)
        return uuid
    return cloud.create()


def _clean(cloud: Cloud, uuid: str) -> None:
    cloud.check()
    if cloud.row(uuid) is not None:
        cloud.delete(uuid)
    cloud.empty()


def _rebuild(cloud: Cloud, uuid: str) -> None:
    cloud.requests.rebuild(CALLER, uuid, RebuildServer(image=cloud.image()))


SCENARIOS: dict[str, tuple[bool, Act, tuple[str | None, ...]]] = {
    "build": (False, lambda cloud, uuid: None, ("active",)),
    "delete": (True, lambda cloud, uuid: cloud.requests.delete(CALLER, uuid), (None,)),
    "stop": (True, lambda cloud, uuid: cloud.requests.stop(CALLER, uuid), ("stopped",)),
    "reboot": (True, lambda cloud, uuid: cloud.requests.reboot(CALLER, uuid, True), ("active",)),
    "rebuild": (True, _rebuild, ("active",)),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_moment(make_cloud: MakeCloud, name: str) -> None:
    prepare, act, ends = SCENARIOS[name]
    cloud = make_cloud()
    moments = _count(cloud, prepare, act)
    assert len(moments) >= 4
    for n, moment in enumerate(moments):
        uuid = _prepared(cloud, prepare)
        killed = Moments(cloud, {n: Crash})
        uuid = _begin(cloud, uuid, act)
        cloud.wait_dead(killed)
        cloud.drop()
        cloud.start()
        row = cloud.settled(uuid)
        assert (row and row["vm_state"]) in ends, (n, moment, row and row["fault"])
        _clean(cloud, uuid)


def test_killed_at_every_moment_of_a_build_that_fails(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"faults": "spawn:1.0"})
    moments = _count(cloud, False, lambda cloud, uuid: None)
    for n, moment in enumerate(moments):
        killed = Moments(cloud, {n: Crash})
        uuid = cloud.create()
        cloud.wait_dead(killed)
        cloud.drop()
        cloud.start()
        row = cloud.settled(uuid)
        assert row["vm_state"] == "error" and "1 of 1 hosts failed" in row["fault"]["message"], (n, moment, row)
        assert "host-1" in row["fault"]["details"]
        _clean(cloud, uuid)


@pytest.mark.parametrize("faults", ["", "spawn:1.0"])
def test_deleted_at_every_moment_of_a_build(make_cloud: MakeCloud, faults: str) -> None:
    cloud = make_cloud(fake={"faults": faults})
    moments = _count(cloud, False, lambda cloud, uuid: None)
    for n in range(len(moments)):
        found: list[str] = []
        Moments(cloud, {n: _deletes(cloud, found)})
        found.append(cloud.create())
        cloud.wait(found[0], lambda row: row is None)
        cloud.idle()
        cloud.empty()
        cloud.drop()
        cloud.start()


@pytest.mark.parametrize("gap", [1, 2])
def test_deleted_at_a_moment_and_killed_soon_after(make_cloud: MakeCloud, gap: int) -> None:
    cloud = make_cloud()
    moments = _count(cloud, False, lambda cloud, uuid: None)
    accepted = 0
    for n in range(len(moments)):
        found: list[str] = []
        hooks: dict[int, Any] = {n: _deletes(cloud, found), n + gap: Crash}
        killed = Moments(cloud, hooks)
        found.append(cloud.create())
        cloud.wait_dead(killed)
        cloud.drop()
        cloud.start()
        # Another thread may have come to the later moment, and died with all, before the delete was accepted.
        assert cloud.settled(found[0]) is None or len(found) == 1, (n, moments[n])
        _clean(cloud, found[0])
        accepted += len(found) - 1
    assert accepted > len(moments) / 2


def test_a_lease_lost_at_every_moment_of_a_build(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations={"lease": 1})
    moments = _count(cloud, False, lambda cloud, uuid: None)
    for n, moment in enumerate(moments):
        Moments(cloud, {n: lambda: _lose_leases(cloud)})
        uuid = cloud.create()
        row = cloud.settled(uuid)
        assert row is not None and row["vm_state"] == "active", (n, moment)
        _clean(cloud, uuid)
        cloud.drop()
        cloud.start()


def _lose_leases(cloud: Cloud) -> None:
    for db, schema in ((cloud.fabric.api_db, api_schema), (cloud.cell.db, cell_schema)):
        table = schema.operations
        with db.write() as connection:
            connection.execute(table.update().where(table.c.owner.is_not(None)).values(lease_until=0))
    time.sleep(0.5)  # the dispatchers look five times meanwhile, and take over


def _deletes(cloud: Cloud, found: list[str]) -> Callable[[], None]:
    def delete() -> None:
        cloud.requests.delete(CALLER, _uuid(found))
        found.append("accepted")

    return delete


def _uuid(found: list[str]) -> str:
    until = time.monotonic() + 5
    while not found and time.monotonic() < until:  # the build may begin before create() has returned
        time.sleep(0.001)
    return found[0]


def _update(cloud: Cloud, found: list[str], **changes: Any) -> Callable[[], None]:
    def update() -> None:
        cloud.requests.update(CALLER, _uuid(found), changes)
        found.append("accepted")

    return update


@pytest.mark.parametrize("gap", [1, 2])
def test_changed_at_a_moment_of_a_build_and_killed_soon_after(make_cloud: MakeCloud, gap: int) -> None:
    cloud = make_cloud()
    moments = _count(cloud, False, lambda cloud, uuid: None)
    for n in range(len(moments) - gap):
        found: list[str] = []
        killed = Moments(cloud, {n: _update(cloud, found, display_name="renamed", locked=True), n + gap: Crash})
        found.append(cloud.create("before"))
        cloud.wait_dead(killed)
        cloud.drop()
        cloud.start()
        row = cloud.active(found[0])
        if "accepted" in found:
            assert (row["display_name"], row["locked"]) == ("renamed", True), (n, moments[n])
        cloud.requests.update(CALLER, found[0], {"locked": False})
        _clean(cloud, found[0])


def test_changed_at_two_moments_of_a_build(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    moments = _count(cloud, False, lambda cloud, uuid: None)
    for n in range(len(moments) - 1):
        found: list[str] = []
        first = _update(cloud, found, display_name="first", tags=["kept"])
        Moments(cloud, {n: first, n + 1: _update(cloud, found, display_name="second")})
        found.append(cloud.create("before"))
        row = cloud.active(found[0])
        assert (row["display_name"], row["tags"]) == ("second", ["kept"]), (n, moments[n])
        _clean(cloud, found[0])
        cloud.drop()
        cloud.start()
