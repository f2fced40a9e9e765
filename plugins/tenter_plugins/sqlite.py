"""A SQLite file of a plugin's own, through SQLAlchemy Core: WAL, one writer at a time, safe in threads and
after fork."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from tenter import errors

BUSY_SECONDS = 30
OPENINGS = 20
"""How often a connection is tried, 50 ms apart."""

_BEGIN = "tenter_begin"


class Database:
    """Tables in a file readable by its owner only. ``version`` is that of the tables (kept as
    ``user_version``)."""

    def __init__(self, path: Path, tables: sa.MetaData, version: int = 1, synchronous: str = "FULL") -> None:
        """Open the file, making what is missing. Raises Unavailable if it was made by a newer release.

        ``synchronous`` NORMAL is faster; a power cut (not a crash of ours) may then undo the last moments.
        """
        if not path.exists():  # whoever closes a file gives up this process's locks on it, SQLite's own too
            path.touch(0o600)
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})
        event.listen(self._engine, "connect", functools.partial(_on_connect, synchronous))
        event.listen(self._engine, "begin", _on_begin)
        self._writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        _ENGINES.add(self._engine)
        with self.writing() as conn:
            found = conn.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found > version:
                raise errors.Unavailable(
                    f"{path} was made by a newer release (tables {found}, known {version})."
                )
            tables.create_all(conn)
            conn.exec_driver_sql(f"PRAGMA user_version = {int(version)}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection that sees one moment of the file. Raises Unavailable, ResourceExhausted."""
        with _translated(), self._engine.begin() as conn:
            yield conn

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give the writer's connection, committed at the end and on disk then, rolled back at an exception.

        Raises Unavailable if others kept it for longer than ``BUSY_SECONDS``, ResourceExhausted on a full
        disk. IntegrityError of SQLAlchemy passes through: callers know what it means.
        """
        with _translated(), self._writer.begin() as conn:
            yield conn

    def close(self) -> None:
        """Close all connections. Safe to call twice."""
        self._engine.dispose()


_ENGINES: weakref.WeakSet[sa.Engine] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in list(_ENGINES):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_after_fork)


def _on_connect(synchronous: str, connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _on_begin says, not where sqlite3 guesses
    for left in reversed(range(OPENINGS)):
        try:
            for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            return
        except sqlite3.OperationalError:
            # Whoever closes the file last takes its log away: who opens it at that moment reads a "disk I/O error".
            if not left:
                raise
            time.sleep(0.05)


def _on_begin(conn: sa.Connection) -> None:
    # By the driver: SQLAlchemy's way around these few microseconds is ten times as long.
    driver: Any = conn.connection.dbapi_connection
    driver.execute(conn.get_execution_options().get(_BEGIN, "BEGIN"))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.OperationalError as error:
        words = str(error.orig)
        if "disk is full" in words:
            raise errors.ResourceExhausted("The disk that holds the service's database is full.") from error
        raise errors.Unavailable(f"The service's database cannot be used now: {words}") from error
