"""What the disk does to a database is one of our errors, at a statement and at the commit alike."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.store.engine import Database, sqlite_url


@pytest.fixture
def db(tmp_path: Path) -> Database:
    found = Database(sqlite_url(tmp_path / "x.sqlite"))
    with found.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a TEXT)")
    return found


def _insert(db: Database, length: int = 1) -> None:
    with db.write() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (:a)"), {"a": "x" * length})


def _count(db: Database) -> int:
    with db.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM t").scalar_one())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("database or disk is full", errors.ResourceExhausted),
        ("disk I/O error", errors.Unavailable),
        ("attempt to write a readonly database", errors.Unavailable),
        ("server closed the connection unexpectedly", errors.Unavailable),
    ],
)
def test_at_the_commit(
    db: Database, monkeypatch: pytest.MonkeyPatch, words: str, expected: type[errors.TenterError]
) -> None:
    def fail(connection: object) -> None:
        raise sqlite3.OperationalError(words)

    with monkeypatch.context() as broken:
        broken.setattr(db.engine.dialect, "do_commit", fail)
        with pytest.raises(expected):
            _insert(db)
    assert _count(db) == 0
    _insert(db)
    assert _count(db) == 1


def test_at_a_statement(db: Database) -> None:
    with db.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(errors.ResourceExhausted):
        _insert(db, 100_000)
    with pytest.raises(errors.Unavailable), db.write() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql("INSERT INTO t VALUES ('a')")
