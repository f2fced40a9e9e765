"""The tables, and the counter that says when anything in them changed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import sqlalchemy as sa

from tenter_plugins.sqlite import Database

METADATA = sa.MetaData()


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(64), primary_key=True)


def _reference(table: str) -> sa.Column[str]:
    key = sa.ForeignKey(f"{table}s.id", ondelete="CASCADE")
    return sa.Column(f"{table}_id", sa.String(64), key, primary_key=True, index=True)


PROJECTS = sa.Table(
    "projects",
    METADATA,
    _id(),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
)
USERS = sa.Table(
    "users",
    METADATA,
    _id(),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("email", sa.String(255)),
    sa.Column("default_project_id", sa.String(64)),
    sa.Column("password_hash", sa.String(255)),
    # Part of every token of the user: counting it up makes them all invalid, whatever the clock does.
    sa.Column("epoch", sa.Integer, nullable=False),
)
ROLES = sa.Table(
    "roles",
    METADATA,
    _id(),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("description", sa.Text, nullable=False),
)
ASSIGNMENTS = sa.Table("assignments", METADATA, _reference("user"), _reference("project"), _reference("role"))
REVOCATIONS = sa.Table(
    "revocations",
    METADATA,
    sa.Column("audit_id", sa.String(32), primary_key=True),
    sa.Column("expires_at", sa.Float, nullable=False),
)
STATE = sa.Table(
    "state",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
)


class Store:
    """The database, with a generation that grows with every change.

    A change made through this object is seen at once; one made by another process after at most ``interval``
    seconds.
    """

    def __init__(self, database: Database, interval: float) -> None:
        self.reading = database.reading
        self.close = database.close
        self._database = database
        self._interval = interval
        self._lock = threading.Lock()
        self._generation = 0
        self._next_look = 0.0
        with database.writing() as conn:
            conn.execute(sa.insert(STATE).prefix_with("OR IGNORE"), {"id": 1, "generation": 1})

    def generation(self) -> int:
        """Return the newest generation known; looks into the database at most every ``interval`` seconds."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + self._interval
            with self._database.reading() as conn:
                self._seen(conn.execute(sa.select(STATE.c.generation)).scalar_one())
        return self._generation

    @contextlib.contextmanager
    def changing(self) -> Iterator[sa.Connection]:
        """Give the writer's connection; at the end the generation has grown, if nothing was raised."""
        with self._database.writing() as conn:
            yield conn
            grown = sa.update(STATE).values(generation=STATE.c.generation + 1).returning(STATE.c.generation)
            generation = conn.execute(grown).scalar_one()
        self._seen(generation)

    def _seen(self, generation: int) -> None:
        with self._lock:
            self._generation = max(self._generation, generation)
