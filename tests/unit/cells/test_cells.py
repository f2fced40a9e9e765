"""Cells that are added, disabled and away while a process runs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.cells import Cell, Cells
from tenter.cells.asking import Asking
from tenter.cells.database import CellDatabase
from tenter.conf import new_conf
from tenter.operations import fabric
from tenter.store import cells as rows
from tenter.store import migrate
from tenter.store.cell_schema import services
from tenter.store.engine import Database, sqlite_url

QUERY = sa.select(services.c.uuid)


@pytest.fixture
def api_db(tmp_path: Path) -> Database:
    db = Database(sqlite_url(tmp_path / "api.sqlite"))
    migrate.upgrade(db, "api")
    return db


def _read(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.execute(QUERY).scalars())


def _make(path: Path) -> str:
    db = Database(sqlite_url(path))
    migrate.upgrade(db, "cell")
    db.close()
    return sqlite_url(path)


def test_a_database_that_is_away_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cell.sqlite"
    db = CellDatabase("north", sqlite_url(path), retry=0.0)
    caplog.set_level(logging.INFO)
    for _ in range(3):
        with pytest.raises(errors.Unavailable, match="north.*missing"):
            _read(db)
    assert not path.exists(), "an empty database must not be made in the place of one that is away"
    assert len([r for r in caplog.records if "is away" in r.message]) == 1
    _make(path)
    assert _read(db) == []
    assert any("is back" in r.message for r in caplog.records)


def test_a_cell_that_is_away_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cell = Cell("u", "south", CellDatabase("south", sqlite_url(tmp_path / "cell.sqlite"), retry=0.0))
    caplog.set_level(logging.INFO)
    asking, probe = Asking(retry=0.0), Asking(retry=0.0, kind="Database")
    for one in (asking, probe, asking):
        assert one.ask([cell], lambda cell: _read(cell.db)).away == ["u"]
    assert [record.message.split(":")[0] for record in caplog.records] == ["The database of cell south is away"]
    _make(tmp_path / "made")
    (tmp_path / "made").rename(tmp_path / "cell.sqlite")
    assert asking.ask([cell], lambda cell: _read(cell.db)).found == {"u": []}
    said = [record.message for record in caplog.records if "answers again" in record.message]
    assert said == [] and "The database of cell south is back" in caplog.text


def test_in_between_nobody_waits(tmp_path: Path) -> None:
    path = tmp_path / "cell.sqlite"
    db = CellDatabase("north", sqlite_url(path), retry=3600)
    with pytest.raises(errors.Unavailable):
        _read(db)
    _make(path)
    with pytest.raises(errors.Unavailable, match="missing"):
        _read(db)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "cell.sqlite"
    path.write_bytes(os.urandom(8192))
    with pytest.raises(errors.Unavailable, match="north"):
        _read(CellDatabase("north", sqlite_url(path)))


def test_a_database_of_a_newer_release_says_so(tmp_path: Path) -> None:
    url = _make(tmp_path / "cell.sqlite")
    db = Database(url)
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'cell999'")
    with pytest.raises(errors.Unavailable, match="cell999"):
        _read(CellDatabase("north", url))


def test_new_and_disabled_cells_are_noticed(api_db: Database, tmp_path: Path) -> None:
    cells = Cells(api_db, (), lambda row: CellDatabase(row.name, str(row.database_url)), refresh=0.0)
    assert cells.all() == []
    north = rows.add_cell(api_db, "north", _make(tmp_path / "north.sqlite"))
    rows.add_cell(api_db, "south", _make(tmp_path / "south.sqlite"))
    assert [cell.name for cell in cells.all()] == ["north", "south"]
    kept = cells.get(north.uuid).db
    rows.set_disabled(api_db, "north", True)
    assert [cell.name for cell in cells.enabled()] == ["south"]
    assert cells.get(north.uuid).disabled and cells.get(north.uuid).db is kept
    with pytest.raises(errors.NotFound, match="'east'.*north, south"):
        cells.named("east")
    with pytest.raises(errors.NotFound, match="'east'.*north, south"):
        rows.set_disabled(api_db, "east", True)
    with pytest.raises(errors.Conflict, match="'north'"):
        rows.add_cell(api_db, "north", None)


def test_a_cell_added_since_is_found_by_its_key(api_db: Database) -> None:
    cells = Cells(api_db, (), lambda row: CellDatabase(row.name, "sqlite:////nowhere/x"), refresh=3600)
    assert cells.all() == []
    row = rows.add_cell(api_db, "late", None)
    cells._looked -= 1  # half a second later
    assert cells.get(row.uuid).name == "late"


def test_another_process_brings_the_database_up_to_date(api_db: Database, tmp_path: Path) -> None:
    conf = new_conf(state_dir=tmp_path)
    first = fabric.add_cell(conf, api_db, "north")
    again = fabric.add_cell(conf, api_db, "north")
    assert again.uuid == first.uuid
    first.db.close()
    again.db.close()
