"""The driver's own SQLite file: tables, connections and transactions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tenter_plugins.sqlite import Database

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


seeded = sa.Table("seeded", METADATA, sa.Column("at", sa.Text, nullable=False))
"""One row, once the first start has made its network."""
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


class NetworkDatabase(Database):
    """The file. Threads of this process wait for each other in a lock, for SQLite waits by sleeping and polling."""

    def __init__(self, path: Path, seed: Callable[[sa.Connection], None] = lambda conn: None) -> None:
        """Open the file; at the first start call ``seed`` in a transaction that is never made twice.

        Raises Unavailable, also if a newer release made the file.
        """
        self._lock = threading.Lock()
        super().__init__(path, METADATA, VERSION, synchronous="NORMAL")
        with self.reading() as conn:
            known = conn.execute(sa.select(seeded)).first()
        if known is None:
            self._seed(seed)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection inside of a transaction that nobody else writes beside; an error undoes all of it."""
        with self._lock, super().writing() as conn:
            yield conn

    def _seed(self, seed: Callable[[sa.Connection], None]) -> None:
        with self.writing() as conn:
            if conn.execute(sa.select(seeded)).first() is None:
                seed(conn)
                conn.execute(seeded.insert().values(at=now()))
