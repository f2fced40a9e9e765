"""Operations that their own worker will not end: it is dead, its host is away, or the deadline has passed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from tenter.store import operations
from tenter.store.engine import Database, now
from tenter.store.operations import CANCELLED, OPEN, QUEUED, RUNNING, Operation


class Lease(NamedTuple):
    """Who has an operation and until when; each renewal makes it another lease."""

    uuid: str
    attempt: int
    owner: str
    until: float


def leases(db: Database, table: sa.Table) -> list[Lease]:
    """Return the leases that have not run out by the wall clock; pauses only if they are longer than any."""
    columns = (table.c.uuid, table.c.attempt, table.c.owner, table.c.lease_until)
    at = now()
    pause = sa.and_(table.c.state == QUEUED, table.c.lease_until > at + operations.LONGEST_PAUSE)
    running = sa.and_(table.c.state == RUNNING, table.c.lease_until >= at)
    query = sa.select(*columns).where(table.c.owner.is_not(None), sa.or_(running, pause))
    with db.read() as connection:
        return [Lease(*row) for row in connection.execute(query)]


def end_lease(db: Database, table: sa.Table, lease: Lease) -> bool:
    """Let a lease run out now, if it is still as read; return whether it was.

    It is as any that ran out: whoever may do the step takes it over, unless its owner wakes up before and renews it.
    """
    same = sa.and_(
        table.c.uuid == lease.uuid, table.c.attempt == lease.attempt, table.c.owner == lease.owner,
        table.c.lease_until == lease.until, table.c.state.in_(OPEN),
    )  # fmt: skip
    with db.write() as connection:
        return connection.execute(sa.update(table).where(same).values(lease_until=0.0)).rowcount == 1


def _free(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.owner.is_(None), table.c.lease_until < now())


def of_table(db: Database, table: sa.Table, which: sa.ColumnElement[bool]) -> list[Operation]:
    """Return the operations that a condition lets through, the oldest first."""
    with db.read() as connection:
        rows = connection.execute(sa.select(table).where(which).order_by(table.c.seq)).mappings().all()
    return [operations.from_row(dict(row)) for row in rows]


def on_hosts(db: Database, table: sa.Table, hosts: Iterable[str], role: str, held: bool) -> list[Operation]:
    """Return the open operations of ``role`` on some hosts; ``held``: also those whose lease still runs."""
    which = sa.and_(table.c.state.in_(OPEN), table.c.role == role, table.c.host.in_(list(hosts)))
    return of_table(db, table, which if held else sa.and_(which, _free(table)))


def overdue(db: Database, table: sa.Table, kinds: Iterable[str], grace: float) -> list[Operation]:
    """Return the open operations of some kinds whose deadline passed ``grace`` seconds ago and that nobody works on."""
    late = sa.and_(table.c.kind.in_(list(kinds)), table.c.deadline < now() - grace)
    return of_table(db, table, sa.and_(table.c.state.in_(OPEN), late, _free(table)))


def _change(table: sa.Table, operation: Operation) -> sa.Update:
    """Return an update of the operation as it was read, which makes whoever still works on it a stale one."""
    same = sa.and_(table.c.uuid == operation.uuid, table.c.attempt == operation.attempt, table.c.state.in_(OPEN))
    same = sa.and_(same, table.c.step == operation.step, table.c.role == operation.role)
    return sa.update(table).where(same).values(attempt=table.c.attempt + 1, updated_at=now())


def move(db: Database, table: sa.Table, operation: Operation, step: str, role: str) -> bool:
    """Queue the operation at another step of another role; return whether it was still as read."""
    change = _change(table, operation).where(table.c.cancel == sa.false())
    values = {"step": step, "role": role, "state": QUEUED, "owner": None, "lease_until": None, "step_attempt": 0}
    with db.write() as connection:
        return connection.execute(change.values(values)).rowcount == 1


def cancel(db: Database, table: sa.Table, operation: Operation) -> bool:
    """End an operation that was cancelled; return whether it was still as read."""
    values = {**operations.ended(operation, CANCELLED), "updated_at": now()}
    with db.write() as connection:
        return connection.execute(_change(table, operation).values(values)).rowcount == 1


def take(db: Database, table: sa.Table, operation: Operation, owner: str, lease: float) -> Operation | None:
    """Take the operation over, whatever its role and host, and return it; None if it is no longer as read."""
    values = {"owner": owner, "lease_until": now() + lease, "state": RUNNING}
    with db.write() as connection:
        if connection.execute(_change(table, operation).where(_free(table)).values(values)).rowcount != 1:
            return None
        row = connection.execute(sa.select(table).where(table.c.uuid == operation.uuid)).mappings().one()
    return operations.from_row(dict(row))
