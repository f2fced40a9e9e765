"""The driver's own SQLite file: tables, connections and transactions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from tenter import errors

VERSION = 1
METADATA = sa.MetaData()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, default="")


def _common() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.String(36), primary_key=True),
        _text("project_id"),
        _text("name"),
        _text("description"),
        _text("created_at"),
        _text("updated_at"),
    ]


schema_version = sa.Table("schema_version", METADATA, sa.Column("version", sa.Integer, nullable=False))
networks = sa.Table(
    "networks",
    METADATA,
    *_common(),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("mtu", sa.Integer, nullable=False),
)
subnets = sa.Table(
    "subnets",
    METADATA,
    *_common(),
    sa.Column("network_id", sa.ForeignKey("networks.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("cidr", sa.Text, nullable=False),
    sa.Column("gateway", sa.BigInteger),
    sa.Column("server", sa.BigInteger, nullable=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("dns", sa.Text, nullable=False),
    sa.Column("dhcp", sa.Boolean, nullable=False),
)
ports = sa.Table(
    "ports",
    METADATA,
    *_common(),
    sa.Column("network_id", sa.ForeignKey("networks.id"), nullable=False, index=True),
    sa.Column("mac", sa.String(17), nullable=False, unique=True),
    sa.Column("device_id", sa.Text, nullable=False, index=True),
    sa.Column("device_owner", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("hostname", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("managed", sa.Boolean, nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
)
allocations = sa.Table(
    "allocations",
    METADATA,
    sa.Column("subnet_id", sa.ForeignKey("subnets.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("address", sa.BigInteger, primary_key=True),
    sa.Column("port_id", sa.ForeignKey("ports.id", ondelete="CASCADE"), index=True),
)
"""The primary key decides who has an address. A row without a port holds the host's own address in the
subnet."""


def now() -> str:
    """Return the time as rows keep it, such as ``2026-01-31T12:00:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # pysqlite would begin by itself, and late; see SQLAlchemy's page on the SQLite dialect.
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as exc:
        words = str(exc.orig)
        if "full" in words:
            raise errors.ResourceExhausted(f"The network database cannot grow: {words}") from exc
        raise errors.Unavailable(f"The network database failed: {words}") from exc
    except sa.exc.SQLAlchemyError as exc:
        raise errors.Unavailable(f"The network database failed: {exc}") from exc


class Database:
    """Transactions on one SQLite file. Any number of threads and processes may use it at once."""

    def __init__(self, path: Path, seed: Callable[[sa.Connection], None] = lambda conn: None) -> None:
        """Open the file; at the first start make its tables and call ``seed``, all or nothing.

        Raises Unavailable; PluginBroken if another release wrote it.
        """
        self._engine = sa.create_engine(
            f"sqlite:///{path}",
            connect_args={"timeout": 30, "check_same_thread": False},
            pool_size=16,
            max_overflow=-1,
        )
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        self._lock = threading.Lock()
        with self.write() as conn:
            if not sa.inspect(conn).has_table(schema_version.name):
                METADATA.create_all(conn)
                conn.execute(schema_version.insert().values(version=VERSION))
                seed(conn)
            found = conn.execute(sa.select(schema_version.c.version)).scalar_one()
        if found != VERSION:
            self.close()
            raise errors.PluginBroken(f"{path} has schema version {found}, this release knows {VERSION}.")

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection inside of a transaction that sees one state of the database."""
        with _translated(), self._engine.begin() as conn:
            yield conn

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give a connection inside of a transaction that nobody else writes beside; an error undoes all of
        it."""
        # SQLite waits by sleeping and polling; threads of this process wait for each other here instead.
        with _translated(), self._lock, self._writer.begin() as conn:
            yield conn

    def close(self) -> None:
        """Close all connections. Safe to call twice."""
        self._engine.dispose()
