"""Rows of operations: queued, claimed under a lease, advanced under a fence, ended.

``seq`` orders the operations of one instance: one may run only when none before it is still open. A claim raises
``attempt``; a write with an older attempt is refused, so a worker that was taken over can do no harm.

Clocks: ``lease_until`` is written and compared by the wall clock of whoever does it (``engine.now``), renewals are
timed by the monotonic clock. A wall clock that jumps ahead ends leases early, which costs a step done twice: its first
worker's write is refused. After one that jumps back, conductors end by their monotonic clocks the leases that nobody
renews (``tenter.conductor.watch``). ``seq`` is the wall clock when nothing is open for the instance; ``append`` puts an
operation behind all that are, whatever the clock says. Deadlines are wall-clock times and move with it.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

QUEUED, RUNNING = "queued", "running"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
OPEN = (QUEUED, RUNNING)
SECRETS = "secrets"
BATCH = "batch"
"""The argument of a build that says how many equal ones were asked for at once."""
PAUSED = "paused"
"""The owner of an operation that nobody may take before a while; its lease says when."""
LONGEST_PAUSE = 60.0
"""Seconds; a pause that seems to last longer was made before the clock went back."""


@dataclass
class Operation:
    """One row. ``args`` is what was asked, ``data`` what the steps have found out, ``events`` what has happened."""

    uuid: str
    kind: str
    instance_uuid: str
    project_id: str
    user_id: str
    request_id: str
    step: str
    role: str
    deadline: float
    host: str | None = None
    state: str = QUEUED
    attempt: int = 0
    step_attempt: int = 0
    owner: str | None = None
    lease_until: float | None = None
    claimed_at: float | None = None
    cancel: bool = False
    args: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    error: Mapping[str, Any] | None = None
    seq: int = field(default_factory=lambda: time.time_ns())
    created_at: float = field(default_factory=now)
    updated_at: float = field(default_factory=now)
    ended_at: float | None = None


class Cancelled(errors.StaleAttempt):
    """The operation was cancelled by a delete; its worker stops where it is, the delete cleans up."""


_FIELDS = tuple(f.name for f in dataclasses.fields(Operation))


def from_row(row: Mapping[str, Any]) -> Operation:
    """Return the operation that a row holds."""
    return Operation(**{name: row[name] for name in _FIELDS})


class _Statements:
    """The statements of one table, built once; parameters that are no columns begin with ``p_``."""

    def __init__(self, table: sa.Table) -> None:
        c, param = table.c, sa.bindparam
        before = table.alias("before")
        blocked = sa.exists(
            sa.select(before.c.uuid).where(
                before.c.instance_uuid == c.instance_uuid, before.c.state.in_(OPEN), before.c.seq < c.seq
            )
        )
        expired = sa.or_(c.owner.is_(None), c.lease_until < param("p_now", type_=sa.Double))
        free = sa.and_(c.state.in_(OPEN), c.role == param("p_role"), expired, ~blocked)
        here = c.host == param("p_host")
        todo = sa.select(c.uuid).where(free).order_by(c.seq).limit(param("p_limit", type_=sa.Integer))
        self.todo, self.todo_here = Prepared(todo), Prepared(todo.where(here))
        self.claim, self.claim_here = (
            Prepared(
                sa.update(table)
                # MySQL does not take a subquery on the table that is updated, unless it is a derived one.
                .where(c.uuid.in_(sa.select(sa.select(c.uuid).where(mine).subquery().c.uuid)), expired)
                .values(
                    state=RUNNING,
                    owner=param("p_owner"),
                    lease_until=param("p_until", type_=sa.Double),
                    claimed_at=param("p_now", type_=sa.Double),
                    attempt=c.attempt + 1,
                    step_attempt=c.step_attempt + 1,
                )
            )
            for mine in (
                sa.and_(c.uuid == param("p_uuid"), free),
                sa.and_(c.uuid == param("p_uuid"), free, here),
            )
        )
        self.get = Prepared(sa.select(table).where(c.uuid == param("p_uuid")))
        held = sa.and_(
            c.uuid == param("p_uuid"),
            c.attempt == param("p_attempt"),
            c.owner == param("p_owner"),
            c.state == RUNNING,
        )
        self.fenced = Prepared(sa.update(table).where(held, c.cancel == sa.false()))
        self.cancelled = Prepared(sa.select(c.cancel).where(held))
        self.cancel_and_attempt = Prepared(sa.select(c.cancel, c.attempt).where(c.uuid == param("p_uuid")))
        unowned = sa.and_(c.instance_uuid == param("p_instance"), c.state.in_(OPEN), c.owner.is_(None))
        self.waiting = Prepared(sa.select(c.uuid, c.role, c.host).where(unowned))
        self.insert = Prepared(sa.insert(table))
        self.delete = Prepared(sa.delete(table).where(c.uuid == param("p_uuid")))
        of_instance = sa.and_(c.instance_uuid == param("p_instance"), c.state.in_(OPEN))
        nobodys = sa.and_(of_instance, sa.or_(c.owner.is_(None), c.owner == PAUSED))
        self.cancel_unowned = Prepared(sa.update(table).where(nobodys).values(cancel=sa.true()))
        self.cancel = Prepared(sa.update(table).where(of_instance).values(cancel=sa.true()))
        self.last = Prepared(sa.select(sa.func.max(c.seq)).where(of_instance))


@functools.cache
def _statements(table: sa.Table) -> _Statements:
    return _Statements(table)


def insert(connection: sa.Connection, table: sa.Table, *new: Operation) -> None:
    """Add operations, as they are."""
    rows = [{name: getattr(operation, name) for name in _FIELDS} for operation in new]
    _statements(table).insert.change_all(connection, rows)


def append(connection: sa.Connection, table: sa.Table, operation: Operation) -> None:
    """Add an operation behind those of its instance that are open; its ``seq`` is raised if the clock went back."""
    last = _statements(table).last.rows(connection, {"p_instance": operation.instance_uuid}).scalar()
    if last is not None:
        operation.seq = max(operation.seq, last + 1)
    insert(connection, table, operation)


def delete(connection: sa.Connection, table: sa.Table, uuid: str) -> None:
    """Remove an operation's row."""
    _statements(table).delete.change(connection, {"p_uuid": uuid})


def todo(db: Database, table: sa.Table, role: str, host: str | None, limit: int) -> list[str]:
    """Return the UUIDs of operations that ``role`` (on ``host``, if not None) could claim now, oldest first."""
    prepared = _statements(table)
    values = {"p_now": now(), "p_role": role, "p_host": host, "p_limit": limit}
    with db.read() as connection:
        return list((prepared.todo if host is None else prepared.todo_here).rows(connection, values).scalars())


def hosts_with_work(db: Database, table: sa.Table, role: str) -> list[str]:
    """Return the hosts on which operations of ``role`` are open."""
    query = sa.select(table.c.host).where(table.c.state.in_(OPEN), table.c.role == role, table.c.host.is_not(None))
    with db.read() as connection:
        return list(connection.execute(query.distinct()).scalars())


def claim(
    db: Database, table: sa.Table, uuid: str, role: str, host: str | None, owner: str, lease: float
) -> Operation | None:
    """Take the operation for ``owner`` and return it; None if it is not to be had (taken, ended, not its turn)."""
    prepared, at = _statements(table), now()
    values = {
        "p_uuid": uuid, "p_now": at, "p_role": role, "p_host": host, "p_owner": owner, "p_until": at + lease,
    }  # fmt: skip
    if host is None:
        del values["p_host"]
    with db.write() as connection:
        if (prepared.claim if host is None else prepared.claim_here).change(connection, values) != 1:
            return None
        row = prepared.get.rows(connection, {"p_uuid": uuid}).one()
    return from_row(row._asdict())


def waiting(connection: sa.Connection, table: sa.Table, instance_uuid: str) -> list[tuple[str, str, str | None]]:
    """Return uuid, role and host of the instance's open operations that nobody has."""
    rows = _statements(table).waiting.rows(connection, {"p_instance": instance_uuid})
    return [(row.uuid, row.role, row.host) for row in rows]


def renew(db: Database, table: sa.Table, owner: str, uuids: Iterable[str], lease: float) -> None:
    """Lengthen the leases that ``owner`` still holds."""
    with db.write() as connection:
        connection.execute(
            sa.update(table)
            .where(table.c.uuid.in_(list(uuids)), table.c.owner == owner, table.c.state == RUNNING)
            .values(lease_until=now() + lease)
        )


def release_of_host(db: Database, table: sa.Table, role: str, host: str | None, but_owner: str) -> int:
    """Free what other processes of this role (on this host) hold, whom the caller knows to be dead. Return how many."""
    change = sa.update(table).where(
        table.c.role == role, table.c.state == RUNNING, table.c.owner.is_not(None), table.c.owner != but_owner
    )
    if host is not None:
        change = change.where(table.c.host == host)
    with db.write() as connection:
        return connection.execute(change.values(owner=None, lease_until=None)).rowcount


def release(db: Database, table: sa.Table, uuid: str, owner: str) -> None:
    """Free an operation that ``owner`` holds; what that one still writes is refused."""
    mine = sa.and_(table.c.uuid == uuid, table.c.owner == owner, table.c.state == RUNNING)
    with db.write() as connection:
        connection.execute(sa.update(table).where(mine).values(owner=None, lease_until=None))


def fenced(connection: sa.Connection, table: sa.Table, operation: Operation, **values: Any) -> None:
    """Write ``values`` into the operation's row, if its holder is still the one that ``operation`` names.

    Raises Cancelled or StaleAttempt, upon which the caller's transaction must not be committed.
    """
    prepared = _statements(table)
    holder = {"p_uuid": operation.uuid, "p_attempt": operation.attempt, "p_owner": operation.owner}
    values.setdefault("updated_at", now())
    if prepared.fenced.change(connection, {**holder, **values}) == 1:
        return
    cancelled = prepared.cancelled.rows(connection, holder).scalar()
    if cancelled:
        raise Cancelled(f"The operation {operation.kind} was cancelled.")
    raise errors.StaleAttempt(f"Attempt {operation.attempt} of {operation.kind} no longer counts.")


def ended(operation: Operation, state: str, error: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the values that end an operation; secrets in its arguments go with it."""
    return {
        "state": state,
        "error": error,
        "owner": None,
        "lease_until": None,
        "ended_at": now(),
        "args": {k: v for k, v in operation.args.items() if k != SECRETS},
    }


def paused(seconds: float) -> dict[str, Any]:
    """Return the values that queue an operation to be taken by whoever comes first after some seconds."""
    return {"state": QUEUED, "owner": PAUSED, "lease_until": now() + seconds, "step_attempt": 0}


def postpone(db: Database, table: sa.Table, operation: Operation, seconds: float) -> None:
    """Give an operation back that was taken too soon, for some seconds; that it was taken does not count."""
    values = {**paused(seconds), "step_attempt": max(0, operation.step_attempt - 1)}
    with db.write() as connection:
        mine = sa.and_(table.c.uuid == operation.uuid, table.c.owner == operation.owner, table.c.state == RUNNING)
        connection.execute(sa.update(table).where(mine, table.c.attempt == operation.attempt).values(values))


def resume(db: Database, table: sa.Table, kind: str) -> int:
    """End the pauses of all operations of a kind; return how many."""
    mine = sa.and_(table.c.state == QUEUED, table.c.owner == PAUSED, table.c.kind == kind)
    with db.write() as connection:
        return connection.execute(sa.update(table).where(mine).values(owner=None, lease_until=None)).rowcount


def is_open(connection: sa.Connection, table: sa.Table, instance_uuid: str) -> bool:
    """Return whether anything is being done to the instance."""
    query = sa.select(table.c.uuid).where(table.c.instance_uuid == instance_uuid, table.c.state.in_(OPEN)).limit(1)
    return connection.execute(query).first() is not None


def exists(connection: sa.Connection, table: sa.Table, uuid: str) -> bool:
    """Return whether there is such an operation."""
    return _statements(table).get.rows(connection, {"p_uuid": uuid}).first() is not None


def cancel_unowned(connection: sa.Connection, table: sa.Table, instance_uuid: str) -> None:
    """End every open operation of the instance that nobody works on now; what was asked, which may hold secrets, goes
    with it."""
    at = now()
    values = {"p_instance": instance_uuid, "state": CANCELLED, "ended_at": at, "updated_at": at, "args": {}}
    _statements(table).cancel_unowned.change(connection, values)


def cancel_others(connection: sa.Connection, table: sa.Table, instance_uuid: str) -> None:
    """Cancel every open operation of the instance: those nobody works on end now, the others at their next write."""
    cancel_unowned(connection, table, instance_uuid)
    _statements(table).cancel.change(connection, {"p_instance": instance_uuid})


def finish_cancelled(db: Database, table: sa.Table, operation: Operation) -> None:
    """End an operation whose worker has seen that it was cancelled."""
    with db.write() as connection:
        connection.execute(
            sa.update(table)
            .where(table.c.uuid == operation.uuid, table.c.attempt == operation.attempt, table.c.state == RUNNING)
            .values(**ended(operation, CANCELLED), updated_at=now())
        )


def is_cancelled(db: Database, table: sa.Table, operation: Operation) -> bool:
    """Return whether the operation was cancelled, or taken over by somebody else."""
    with db.read() as connection:
        row = _statements(table).cancel_and_attempt.rows(connection, {"p_uuid": operation.uuid}).one_or_none()
    return row is None or bool(row.cancel) or row.attempt != operation.attempt


def purge(db: Database, table: sa.Table, older_than: float) -> int:
    """Remove operations that ended before ``older_than`` (seconds since the epoch); return how many."""
    with db.write() as connection:
        return connection.execute(sa.delete(table).where(table.c.ended_at < older_than)).rowcount
