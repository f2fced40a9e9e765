"""Rows of decisions, and of the host tables that they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tenter.store.api_schema import decisions, host_snapshots
from tenter.store.engine import Database
from tenter.store.prepared import Prepared

_INSERT = Prepared(sa.insert(decisions))
_C = decisions.c


@dataclass(frozen=True)
class DecisionRow:
    """One decision; ``body`` is what ``tenter.scheduler.record`` made of it."""

    uuid: str
    operation_uuid: str
    instance_uuid: str
    project_id: str
    made_at: float
    snapshot_uuid: str | None
    body: bytes


def insert(connection: sa.Connection, row: DecisionRow) -> None:
    """Write a decision."""
    _INSERT.change(connection, row.__dict__)


def insert_snapshot(db: Database, uuid: str, made_at: float, body: bytes) -> None:
    """Write a host table, in a transaction of its own."""
    with db.write() as connection:
        connection.execute(sa.insert(host_snapshots).values(uuid=uuid, made_at=made_at, body=body))


def complete_snapshot(db: Database, uuid: str, body: bytes) -> bool:
    """Write all of a host table of which only a part was there; return whether the row is still there."""
    with db.write() as connection:
        mine = sa.update(host_snapshots).where(host_snapshots.c.uuid == uuid).values(body=body)
        return connection.execute(mine).rowcount == 1


def snapshots_kept(db: Database, uuids: Sequence[str]) -> set[str]:
    """Return which of some host tables are there."""
    query = sa.select(host_snapshots.c.uuid).where(host_snapshots.c.uuid.in_(uuids))
    with db.read() as connection:
        return set(connection.execute(query).scalars())


def of_instance(db: Database, instance_uuid: str) -> Sequence[DecisionRow]:
    """Return the decisions for an instance, the latest last."""
    return _rows(db, _C.instance_uuid == instance_uuid)


def of_operation(db: Database, operation_uuid: str) -> Sequence[DecisionRow]:
    """Return the decisions for an operation, the latest last."""
    return _rows(db, _C.operation_uuid == operation_uuid)


def _rows(db: Database, which: sa.ColumnElement[bool]) -> Sequence[DecisionRow]:
    with db.read() as connection:
        found = connection.execute(sa.select(decisions).where(which).order_by(_C.made_at, _C.uuid)).mappings()
        return [DecisionRow(**row) for row in found]


def snapshot(db: Database, uuid: str) -> bytes | None:
    """Return a recorded host table; None if there is none."""
    with db.read() as connection:
        found: bytes | None = connection.scalar(sa.select(host_snapshots.c.body).where(host_snapshots.c.uuid == uuid))
    return found


def purge(db: Database, older_than: float, unused_since: float) -> int:
    """Remove decisions made before ``older_than``, and host tables made before ``unused_since`` to which no decision
    refers (both seconds since the epoch); return how many decisions."""
    referred = sa.exists(sa.select(_C.uuid).where(_C.snapshot_uuid == host_snapshots.c.uuid))
    with db.write() as connection:
        count = connection.execute(sa.delete(decisions).where(_C.made_at < older_than)).rowcount
        connection.execute(sa.delete(host_snapshots).where(host_snapshots.c.made_at < unused_since, ~referred))
    return count
