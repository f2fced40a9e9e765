"""A database and its transactions, on oslo.db's engines. Only ``_sqlite_engine`` is particular to SQLite."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import engines, exc_filters

from tenter import errors

LOG = logging.getLogger(__name__)
_Identity = tuple[int, int] | None
"""Device and inode of a file."""

_AWAY = (
    "disk I/O error", "attempt to write a readonly database", "unable to open database file",
    "disk image is malformed", "database is locked", "file is not a database",
)  # fmt: skip
"""What SQLite says when the file or its file system is at fault, not the statement."""


def now() -> float:
    """Return the time that is written into rows: seconds since the epoch."""
    return time.time()


def usable_url(url: str) -> sa.URL:
    """Return a database's URL as SQLAlchemy has it. Raises Invalid, with what to do, if it is none or nothing here
    speaks to such a database. The URL itself is not repeated: it may hold a password."""
    try:
        found = sa.make_url(url)
        found.get_dialect().import_dbapi()
    except sa_exc.ArgumentError as exc:
        hint = "it looks like postgresql+psycopg://USER:PASSWORD@HOST/NAME."
        kind = f" of kind {found.drivername!r}" if isinstance(exc, sa_exc.NoSuchModuleError) else ""
        raise errors.Invalid(f"The URL of a database{kind} cannot be used: {hint}") from exc
    except ImportError as exc:
        raise errors.Invalid(
            f"Databases of kind {found.drivername!r} need a driver that is not installed: pip install {exc.name}."
        ) from exc
    return found


class Database:
    """One database: ``read()`` and ``write()`` give a connection inside a transaction.

    On SQLite writers of one process queue at a lock (SQLite's own busy handler sleeps in steps and is unfair), and a
    writer begins with BEGIN IMMEDIATE, so that it never fails half-way for lack of the write lock.
    """

    def __init__(self, url: str, pool_size: int = 32, create: bool = True, patience: float = 30.0) -> None:
        """``create``: a SQLite file that is missing now is made, once. ``patience``: for how many seconds a writer
        waits for others of its own process, and then for those of another."""
        self.url = usable_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._kept: _Kept | None = None
        if self.sqlite:
            self._kept = _Kept(self.url, create, patience)
            self.engine: sa.Engine = self._kept.engine
        else:
            self.engine = engines.create_engine(
                url, max_pool_size=pool_size, max_overflow=pool_size, max_retries=3, retry_interval=1
            )
            if self.url.get_backend_name() in ("mysql", "mariadb"):
                # As PostgreSQL has it: who has waited for a row's lock sees what was committed meanwhile.
                self.engine = self.engine.execution_options(isolation_level="READ COMMITTED")

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection for reading; each statement sees one consistent state.

        Raises Unavailable if the database is away.
        """
        with _translated(), self._kept.lent() if self._kept else self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection whose changes are committed together at the end, or not at all.

        Raises Unavailable if the database is away, ResourceExhausted if its disk is full.
        """
        with _translated(), self._kept.writing() if self._kept else self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        if self._kept:
            self._kept.close()
        self.engine.dispose()


class _Kept:
    """Open connections to one SQLite file. Beginning and ending a transaction by SQLAlchemy, with a connection out of
    its pool, takes 90 µs, here 15; the latest used is taken first, for its caches are warm.

    The file is looked at each time: a connection goes on in a file that was moved away or replaced, and a new one would
    make an empty file in its place. Such a database is away until its file is back.
    """

    def __init__(self, url: sa.URL, create: bool, patience: float) -> None:
        self._path = url.database if url.database and not url.database.startswith((":", "file:")) else None
        self._create, self._patience = create, patience
        self.engine = _sqlite_engine(url, patience, self._open if self._path else None)
        self._free: collections.deque[tuple[_Identity, sa.Connection]] = collections.deque()
        self._writer = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def lent(self) -> Iterator[sa.Connection]:
        """Lend a connection; one that saw an exception is not used again."""
        identity, connection = self._take(self._identity())
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._free.append((identity, connection))
        if self._closed:
            self.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Lend a connection within a transaction."""
        with self.lent() as connection, self._turn():
            driver: Any = connection.connection.dbapi_connection
            driver.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                self.engine.dialect.do_commit(driver)
            except BaseException:
                self.engine.dialect.do_rollback(driver)
                raise

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._writer.acquire(timeout=self._patience):
            raise errors.Unavailable("The database cannot be used now: another process has kept it locked.")
        try:
            yield
        finally:
            self._writer.release()

    def close(self) -> None:
        """Close what is free, and from now on whatever is given back."""
        self._closed = True
        with contextlib.suppress(IndexError):
            while True:
                self._free.pop()[1].close()

    def _take(self, identity: _Identity) -> tuple[_Identity, sa.Connection]:
        with contextlib.suppress(IndexError):
            while True:
                of, connection = self._free.pop()
                if of == identity:
                    return of, connection
                connection.close()
        connection = self.engine.connect()
        return identity or self._identity(), connection

    def _identity(self) -> _Identity:
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            if self._create:
                return None
            raise errors.Unavailable(f"The database {self._path} is missing.") from None
        self._create = False
        return found.st_dev, found.st_ino

    def _open(self) -> sqlite3.Connection:
        assert self._path is not None
        mode = "rwc" if self._create else "rw"
        return sqlite3.connect(f"file:{quote(self._path)}?mode={mode}", uri=True, check_same_thread=False)


def _sqlite_engine(url: sa.URL, patience: float, creator: Callable[[], sqlite3.Connection] | None) -> sa.Engine:
    # oslo.db would open the file anew for every transaction and begin each without the write lock.
    how: dict[str, Any] = {"creator": creator} if creator else {"connect_args": {"check_same_thread": False}}
    engine = sa.create_engine(url, poolclass=sa.NullPool, **how)
    exc_filters.register_engine(engine)

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-4000"):
            cursor.execute("PRAGMA " + pragma)
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("tenter_write"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (db_exception.DBConnectionError, db_exception.DBNonExistentDatabase) as exc:
        raise errors.Unavailable("The database cannot be reached.") from exc
    except db_exception.DBNonExistentTable as exc:
        raise errors.Unavailable(f"The database lacks the table {exc.table}; is it the right one?") from exc
    except (db_exception.DBError, sa.exc.OperationalError, sqlite3.DatabaseError) as exc:
        # What goes wrong in a COMMIT comes as SQLAlchemy's own error: oslo.db's filters see statements only.
        if "disk is full" in str(exc):
            raise errors.ResourceExhausted("The disk that holds the database is full.") from exc
        reason = next((reason for reason in _AWAY if reason in str(exc)), None)
        if reason is not None or not isinstance(exc, db_exception.DBError):
            raise errors.Unavailable(f"The database cannot be used now: {reason or 'a commit failed'}.") from exc
        raise


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file."""
    return f"sqlite:///{path}"
