"""Which process may report for a service, and its signs of life. Changes only by compare-and-swap of ``session``."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter.store import cell_schema, host_changes
from tenter.store.engine import Database, now

VERSION = 1
COMPUTE, CONDUCTOR = "tenter-compute", "tenter-conductor"
"""What the services are called in their rows (``binary``)."""


@dataclass(frozen=True)
class Presence:
    """What is known of a service: its host's name, its session, and when it was last seen (seconds since the epoch)."""

    host: str
    session: str | None
    last_seen: float


def look(db: Database, table: sa.Table, uuid: str) -> Presence | None:
    """Return what is known of a service, None if nothing is."""
    query = sa.select(table.c.host, table.c.session, table.c.last_seen).where(table.c.uuid == uuid)
    with db.read() as connection:
        row = connection.execute(query).first()
    return None if row is None else Presence(*row)


def holder_of(db: Database, table: sa.Table, host: str, binary: str) -> str | None:
    """Return the key of the service that has a host's name, None if none has."""
    query = sa.select(table.c.uuid).where(table.c.host == host, table.c.binary == binary)
    with db.read() as connection:
        return connection.execute(query).scalar()


def insert(db: Database, table: sa.Table, uuid: str, host: str, binary: str, session: str) -> bool:
    """Add a service that is new; return whether key and host's name were free."""
    at = now()
    values = {
        "uuid": uuid, "host": host, "binary": binary, "version": VERSION, "disabled": False, "forced_down": False,
        "session": session, "last_seen": at, "created_at": at,
    }  # fmt: skip
    try:
        with db.write() as connection:
            connection.execute(sa.insert(table).values(values))
    except db_exception.DBDuplicateEntry:
        return False
    return True


def take(connection: sa.Connection, table: sa.Table, uuid: str, before: str | None, session: str) -> bool:
    """Take the service over from the session ``before``; return whether it still had it."""
    change = sa.update(table).where(table.c.uuid == uuid, table.c.session.is_not_distinct_from(before))
    taken = connection.execute(change.values(session=session, last_seen=now())).rowcount == 1
    if taken and table is cell_schema.services:
        host_changes.of_service(connection, uuid)  # the scheduler looks for mere signs of life only now and then
    return taken


def report(db: Database, table: sa.Table, uuid: str, session: str) -> bool:
    """Write a sign of life; return whether the service is still this session's."""
    change = sa.update(table).where(table.c.uuid == uuid, table.c.session == session)
    with db.write() as connection:
        return connection.execute(change.values(last_seen=now())).rowcount == 1


def leave(db: Database, table: sa.Table, uuid: str, session: str) -> None:
    """End a session in good order, so that the next begins at once."""
    with db.write() as connection:
        connection.execute(
            sa.update(table).where(table.c.uuid == uuid, table.c.session == session).values(session=None)
        )


def alive(db: Database, table: sa.Table, down_after: float) -> list[tuple[str, str, float, bool, bool]]:
    """Return binary, host, age of the last sign of life in seconds, whether it counts as up, and whether it is enabled,
    of every service."""
    columns = (table.c.binary, table.c.host, table.c.last_seen, table.c.forced_down, table.c.disabled)
    with db.read() as connection:
        rows = connection.execute(sa.select(*columns).order_by(table.c.binary, table.c.host)).all()
    at = now()
    return [
        (row.binary, row.host, at - row.last_seen, not row.forced_down and at - row.last_seen <= down_after,
         not row.disabled)
        for row in rows
    ]  # fmt: skip
