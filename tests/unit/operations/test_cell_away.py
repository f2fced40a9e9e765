"""Builds while a cell is away: other cells take them, and nobody waits for it for long."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.cells.asking import Asking
from tenter.operations.fabric import add_cell, shared_dir
from tenter.operations.model import CONDUCTOR
from tenter.operations.requests import RebuildServer
from tenter.store import api_schema, cell_schema, instances, operations
from tenter.store.engine import now, sqlite_url
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud, any_uuid
from tests.helpers.databases import MoodyDatabase
from tests.helpers.moments import Crash, Moments

TIMEOUT = 1.0


def with_second_cell(cloud: Cloud) -> MoodyDatabase:
    """Give the running cloud a second cell, without hosts; return its database."""
    made = add_cell(cloud.conf, cloud.fabric.api_db, "cell2")
    made.db.close()
    db = MoodyDatabase(sqlite_url(shared_dir(cloud.conf) / "cell2.sqlite"))
    cells = cloud.fabric.cells
    cells.asking = Asking(TIMEOUT, retry=60)
    cells._cells[made.uuid] = dataclasses.replace(made, db=db)
    return db


@pytest.mark.parametrize("trouble", ["away", "slow"])
def test_builds_go_to_the_other_cells(cloud: Cloud, trouble: str) -> None:
    second = with_second_cell(cloud)
    if trouble == "away":
        second.away = True
    else:
        second.hang()
    try:
        began = time.monotonic()
        made = [cloud.create(f"vm-{number}") for number in range(3)]
        for uuid in made:
            cloud.active(uuid, timeout=15)
        assert time.monotonic() - began < 15
        cloud.requests.delete(CALLER, made[0])
        assert cloud.settled(made[0]) is None
    finally:
        second.recover()


def test_a_server_in_the_cell_that_is_away_waits_unharmed(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    with_second_cell(cloud)
    cell, cells = cloud.cell, cloud.fabric.cells
    moody = MoodyDatabase(str(cell.db.url))
    cells._cells[cell.uuid] = dataclasses.replace(cell, db=moody)
    moody.away = True
    with pytest.raises(errors.Unavailable, match="Nothing is lost"):
        cloud.requests.stop(CALLER, uuid)
    moody.recover()
    cells.asking = Asking(TIMEOUT)
    assert cloud.row(uuid)["vm_state"] == "active"
    cloud.requests.delete(CALLER, uuid)
    assert cloud.settled(uuid) is None
    moody.close()


class CellMoments(Moments):
    """Counts also what is written in a cell from the threads that ask cells."""

    def _counts(self) -> bool:
        return super()._counts() or threading.current_thread().name.startswith("ask-")


def _patient(make_cloud: MakeCloud) -> Cloud:
    return make_cloud(cells={"retry_interval": 0.1, "timeout": TIMEOUT}, operations={"audit_interval": 0})


def _wanted_while_away(cloud: Cloud) -> tuple[str, MoodyDatabase]:
    """Return a server that was deleted while its cell was away, which it still is, and the cell's database."""
    uuid = cloud.create()
    cloud.active(uuid)
    moody = MoodyDatabase.made_of(cloud.cell.db)
    moody.away = True
    cloud.requests.delete(CALLER, uuid)
    return uuid, moody


def _operations(cloud: Cloud) -> list[tuple[str, str, str]]:
    with cloud.fabric.api_db.read() as connection:
        table = api_schema.operations
        return [tuple(row) for row in connection.execute(sa.select(table.c.kind, table.c.step, table.c.state))]


def _owner(cloud: Cloud) -> str | None:
    with cloud.fabric.api_db.read() as connection:
        return connection.execute(sa.select(api_schema.operations.c.owner)).scalar()


def _deletes_in_cell(cloud: Cloud) -> list[str]:
    with cloud.cell.db.read() as connection:
        table = cell_schema.operations
        return list(connection.execute(sa.select(table.c.state).where(table.c.kind == "delete")).scalars())


def test_a_delete_is_carried_into_its_cell_when_that_is_back(make_cloud: MakeCloud) -> None:
    cloud = _patient(make_cloud)
    uuid, moody = _wanted_while_away(cloud)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cloud.requests.delete(CALLER, uuid), range(16)))
    assert [(kind, step) for kind, step, state in _operations(cloud)] == [("delete", "carry")]
    with pytest.raises(errors.Conflict, match="deleting"):
        cloud.requests.stop(CALLER, uuid)
    time.sleep(1)
    place = instances.place_of(cloud.fabric.api_db, uuid)
    assert place is not None and place["delete_wanted"] is not None
    with cloud.fabric.api_db.read() as connection:
        (events,) = connection.execute(sa.select(api_schema.operations.c.events)).scalars()
        used = connection.execute(sa.select(api_schema.quota_usages.c.used)).scalars().all()
    assert events == [] and 1 in used, "it counts until it is gone, and waiting is nothing to be told"
    moody.recover()
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    assert _operations(cloud) == [] and _deletes_in_cell(cloud) == ["done"]
    with pytest.raises(errors.NotFound):
        cloud.requests.delete(CALLER, uuid)
    cloud.empty()


def test_deletes_do_not_wait_long_once_their_cell_is_back(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(cells={"retry_interval": 50}, operations={"audit_interval": 0, "watch_interval": 0.1})
    uuid, moody = _wanted_while_away(cloud)
    until = time.monotonic() + 10
    while _owner(cloud) != operations.PAUSED and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)
    began = time.monotonic()
    moody.recover()
    cloud.wait(uuid, lambda row: row is None)
    assert time.monotonic() - began < 5
    cloud.idle()
    cloud.empty()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_at_every_moment_of_a_delete_that_waits_for_its_cell(make_cloud: MakeCloud) -> None:
    cloud = _patient(make_cloud)
    seen: set[str] = set()
    for n in range(12):
        uuid, moody = _wanted_while_away(cloud)
        killed = CellMoments(cloud, {n: Crash})
        moody.away = False
        cloud.wait_dead(killed)
        seen.update(killed.passed)
        cloud.drop()
        cloud.start()
        cloud.wait(uuid, lambda row: row is None, 15)
        cloud.idle()
        assert _deletes_in_cell(cloud) and set(_deletes_in_cell(cloud)) == {"done"}, (n, killed.passed)
        cloud.empty()
    assert {"after commit api", "after commit cell", "after destroy", "after deallocate"} <= seen


def test_a_delete_in_a_slow_cell_takes_no_longer_than_configured(make_cloud: MakeCloud) -> None:
    cloud = _patient(make_cloud)
    uuid = cloud.create()
    cloud.active(uuid)
    moody = MoodyDatabase.made_of(cloud.cell.db)
    moody.hang()
    try:
        began = time.monotonic()
        cloud.requests.delete(CALLER, uuid)
        assert TIMEOUT <= time.monotonic() - began < TIMEOUT + 2
    finally:
        moody.recover()
    # Now both the thread that was not waited for and the conductor bring it into the cell.
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    assert _deletes_in_cell(cloud) == ["done"] and _operations(cloud) == []
    cloud.empty()


def test_a_carried_delete_waits_for_what_began_in_the_cell_meanwhile(make_cloud: MakeCloud) -> None:
    cloud = _patient(make_cloud)
    uuid = cloud.create()
    cloud.active(uuid)
    moody = MoodyDatabase.made_of(cloud.cell.db)
    cloud.conf.set_override("retry_interval", 2.0, group="cells")
    placed = cloud.requests._placed
    real, there, go = cloud.virt.spawn, threading.Event(), threading.Event()

    def spawn(request: Any) -> Any:
        there.set()
        assert go.wait(20)
        return real(request)

    def overtaken(*args: Any) -> Any:
        found = placed(*args)
        moody.away = True
        cloud.requests.delete(CALLER, uuid)
        until = time.monotonic() + 10
        while _owner(cloud) != operations.PAUSED and time.monotonic() < until:
            time.sleep(0.01)
        moody.away = False
        cloud.fabric.cells.asking._health.clear()  # as another worker of the API sees it
        return found

    cloud.virt.spawn = spawn  # type: ignore[method-assign]
    cloud.requests._placed = overtaken  # type: ignore[method-assign]
    cloud.requests.rebuild(CALLER, uuid, RebuildServer(image=cloud.image()))
    try:
        assert there.wait(10)
        until = time.monotonic() + 10
        while not _deletes_in_cell(cloud) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.5)
        assert _deletes_in_cell(cloud) == ["queued"] and cloud.guests() == set()
        with cloud.cell.db.read() as connection:
            table = cell_schema.operations
            kinds = connection.execute(sa.select(table.c.kind).order_by(table.c.seq)).scalars().all()
        assert kinds == ["build", "rebuild", "delete"], "each waits for those before it"
    finally:
        go.set()
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    cloud.empty()


def test_a_cell_that_is_back_without_the_server_is_asked_until_somebody_decides(make_cloud: MakeCloud) -> None:
    cloud = _patient(make_cloud)
    uuid, moody = _wanted_while_away(cloud)
    other = sqlite3.connect(str(cloud.cell.db.url.database), timeout=30)
    with other:
        row = other.execute("select * from instances where uuid = ?", [uuid]).fetchone()
        other.execute("delete from instances where uuid = ?", [uuid])
    moody.recover()
    time.sleep(1)
    assert instances.place_of(cloud.fabric.api_db, uuid) is not None, "an old copy of the database, perhaps"
    with other:
        other.execute(f"insert into instances values ({','.join('?' * len(row))})", row)
    other.close()
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    cloud.empty()


def _forget_where(cloud: Cloud, uuid: str) -> None:
    """Make the API database an old copy, from when the server was about to be built."""
    table, row = api_schema.places, {str(name): value for name, value in (cloud.row(uuid) or {}).items()}
    asked = now() - 2 * cloud.conf.operations.lease
    build = operations.Operation(
        uuid=any_uuid(), kind="build", instance_uuid=uuid, project_id=CALLER.project_id, user_id=CALLER.user_id,
        request_id=CALLER.request_id, role=CONDUCTOR, step="schedule", created_at=asked, deadline=asked + 1800,
    )  # fmt: skip
    with cloud.fabric.api_db.write() as connection:
        unplaced = sa.update(table).where(table.c.instance_uuid == uuid)
        connection.execute(unplaced.values(state=instances.UNSCHEDULED, cell_uuid=None, record=row))
        operations.insert(connection, api_schema.operations, build)


def test_a_cell_that_goes_away_after_it_said_that_it_has_the_server_is_waited_for(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = _patient(make_cloud)
    uuid = cloud.create()
    cloud.active(uuid)
    moody, gone = MoodyDatabase.made_of(cloud.cell.db), threading.Event()
    exists = instances.exists

    def last_words(db: Any, uuid: str) -> bool:
        found = exists(db, uuid)
        if not gone.is_set():
            moody.away = True
            gone.set()
        return found

    monkeypatch.setattr(instances, "exists", last_words)
    _forget_where(cloud, uuid)
    assert gone.wait(10)
    time.sleep(0.5)
    place = instances.place_of(cloud.fabric.api_db, uuid)
    assert place is not None and place["state"] == instances.UNSCHEDULED, place
    moody.recover()
    assert cloud.active(uuid)["host"] == "host-1"
    assert _operations(cloud) == []
    cloud.check()
