"""A SQLite file that is moved, replaced or locked under the processes that have it open."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tenter import errors
from tenter.cells.database import CellDatabase
from tenter.store import migrate
from tenter.store.engine import Database, sqlite_url


def _made(path: Path, value: str, patience: float = 30.0) -> Database:
    db = Database(sqlite_url(path), patience=patience)
    with db.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a TEXT)")
        connection.exec_driver_sql(f"INSERT INTO t VALUES ('{value}')")
    return db


def _read(db: Database) -> str:
    with db.read() as connection:
        return str(connection.exec_driver_sql("SELECT a FROM t").scalar_one())


def _moved(path: Path, to: Path) -> None:
    for part in path.parent.glob(path.name + "*"):
        shutil.move(part, to.parent / part.name.replace(path.name, to.name))


def test_a_file_that_is_moved_away_is_away_and_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a file #1.sqlite"
    db = _made(path, "x")
    assert _read(db) == "x" and path.exists()
    _moved(path, tmp_path / "elsewhere")
    for _ in range(3):
        with pytest.raises(errors.Unavailable, match="is missing"):
            _read(db)
        with pytest.raises(errors.Unavailable), db.write():
            pass
    assert not path.exists()
    _moved(tmp_path / "elsewhere", path)
    assert _read(db) == "x"
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE t SET a = 'y'")
    assert _read(db) == "y"


def test_a_file_that_is_replaced_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "db"
    db = _made(path, "old")
    _made(tmp_path / "other", "new").close()
    with db.read() as connection:
        assert connection.exec_driver_sql("SELECT a FROM t").scalar() == "old"
        _moved(path, tmp_path / "kept")
        _moved(tmp_path / "other", path)
    assert _read(db) == "new"


def test_only_who_may_makes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with pytest.raises(errors.Unavailable, match="is missing"):
        _read(Database(sqlite_url(path), create=False))
    assert not path.exists()


def test_an_empty_file_is_no_cells_database(tmp_path: Path) -> None:
    path = tmp_path / "north.sqlite"
    path.touch()
    with pytest.raises(errors.Unavailable, match="none of the tables"):
        CellDatabase("north", sqlite_url(path)).opened()
    assert path.stat().st_size == 0 or migrate.current(Database(sqlite_url(path))) is None


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"garbage " * 1000)
    with pytest.raises(errors.Unavailable):
        _read(Database(sqlite_url(path)))


def test_writers_do_not_wait_one_after_another(tmp_path: Path) -> None:
    db = _made(tmp_path / "db", "x", patience=0.5)
    other = sqlite3.connect(tmp_path / "db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waited = []

    def write() -> None:
        began = time.monotonic()
        with pytest.raises(errors.Unavailable), db.write():
            pass
        waited.append(time.monotonic() - began)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waited) == 6 and max(waited) < 2.5
    other.execute("COMMIT")
    with db.write():
        pass
