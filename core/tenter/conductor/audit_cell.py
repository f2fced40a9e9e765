"""What may not fit within one cell's database: claims, inventories, instances, operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from tenter import errors
from tenter.cells import Cell
from tenter.conductor.problems import Problem, in_one_database, only_reported
from tenter.operations import delete, faults
from tenter.operations.asked import asked
from tenter.operations.findings import Finding
from tenter.operations.model import CONDUCTOR
from tenter.operations.placement import amounts
from tenter.store import claims, host_changes, instances, operations
from tenter.store.cell_schema import claims as claims_table
from tenter.store.cell_schema import compute_nodes, inventories, leftovers, providers
from tenter.store.cell_schema import instances as table
from tenter.store.cell_schema import operations as operations_table
from tenter.store.engine import now
from tenter.store.operations import OPEN

Held = set[tuple[str, str, int]]
"""Provider, resource class and amount of claims."""

_OPEN_OF = sa.exists().where(operations_table.c.instance_uuid == table.c.uuid, operations_table.c.state.in_(OPEN))
_HOLDERS = {
    claims.INSTANCE: sa.select(table.c.uuid),
    claims.LEFTOVER: sa.select(leftovers.c.uuid),
    claims.OPERATION: sa.select(operations_table.c.uuid).where(operations_table.c.state.in_(OPEN)),
}
_REPAIR = "'tenter audit --repair' repairs it."


def problems(cell: Cell, conf: cfg.ConfigOpts) -> Iterator[Problem]:
    """Yield what does not fit in the cell; each check reads anew, so that it sees what was repaired before it."""
    yield from _claims_without_holder(cell)
    yield from _wrong_claims(cell, conf)
    yield from _claims_of_nothing(cell)
    yield from _inventories(cell)
    yield from _tasks(cell, conf)
    yield from _operations_without_instance(cell)
    yield from _positions(cell)
    yield from _leftovers(cell)


def _finding(cell: Cell, code: str, subject: str, sentence: str, remedy: str = _REPAIR) -> Finding:
    return Finding(code, subject, sentence, remedy, cell.name)


def _still(query: sa.Select[Any], connection: sa.Connection) -> bool:
    return connection.execute(query).first() is not None


def _give_back(uuid: str, connection: sa.Connection) -> None:
    claims.give_back(connection, uuid)


def _claims_without_holder(cell: Cell) -> Iterator[Problem]:
    for kind, holders in _HOLDERS.items():
        orphans = (
            sa.select(claims_table.c.holder_uuid)
            .where(claims_table.c.holder_kind == kind, claims_table.c.holder_uuid.not_in(holders))
            .distinct()
        )
        with cell.db.read() as connection:
            found = connection.execute(orphans).scalars().all()
        for uuid in found:
            mine = orphans.where(claims_table.c.holder_uuid == uuid)
            yield in_one_database(
                _finding(cell, "claim.no_holder", uuid, f"Resources are claimed for the {kind} {uuid}, which is gone."),
                "They were given back.", cell.db,
                partial(_still, mine), partial(_give_back, uuid),
            )  # fmt: skip


def _quiet(connection: sa.Connection, uuids: Iterable[str] | None = None) -> list[Mapping[str, Any]]:
    """Return the instances (or those of ``uuids``) that nothing is being done to."""
    query = sa.select(table.c.uuid, table.c.node_uuid, table.c.flavor, table.c.image).where(~_OPEN_OF)
    if uuids is not None:
        query = query.where(table.c.uuid.in_(list(uuids)))
    return [dict(row) for row in connection.execute(query).mappings()]


def _held(connection: sa.Connection, uuid: str | None = None) -> dict[str, Held]:
    query = sa.select(claims_table)
    if uuid is not None:
        query = query.where(claims_table.c.holder_uuid == uuid)
    held: dict[str, Held] = {}
    for row in connection.execute(query):
        held.setdefault(row.holder_uuid, set()).add((row.provider_uuid, row.resource_class, row.amount))
    return held


def _parts(connection: sa.Connection) -> dict[str, str]:
    """Return the node of each part."""
    return {row.uuid: row.node_uuid for row in connection.execute(sa.select(providers.c.uuid, providers.c.node_uuid))}


def _due(row: Mapping[str, Any], held: Held, parts: Mapping[str, str], conf: cfg.ConfigOpts) -> Held:
    """Return what an instance should have claimed, as far as its flavor says.

    It may have any amount from its node and from the node's parts together. Of classes that the flavor does not name,
    or of which some must come from one part, what is claimed there is right: only the scheduler knew of which part.
    """
    node = row["node_uuid"]
    if not node:
        return set()
    there = {claim for claim in held if parts.get(claim[0], claim[0]) == node}
    due = set(there)
    loose = _loose(row, conf)
    for resource_class, amount in amounts(row["flavor"]).items():
        of_class = {claim for claim in there if claim[1] == resource_class}
        right = of_class if resource_class in loose else sum(claim[2] for claim in of_class) == amount
        if not right:
            due = (due - of_class) | {(node, resource_class, amount)}
    return due


def _loose(row: Mapping[str, Any], conf: cfg.ConfigOpts) -> frozenset[str]:
    """Return the resource classes of which an instance wants some from one part; all that it may have if its flavor can
    no longer be read (a PCI alias that is gone from the configuration)."""
    properties = (row["image"] or {}).get("properties") or {}
    try:
        groups = asked(row["flavor"], properties, conf.pci.alias).groups
    except errors.Invalid:
        return frozenset(amounts(row["flavor"]))
    return frozenset(name for group in groups for name in group.resources)


def _wrong_claims(cell: Cell, conf: cfg.ConfigOpts) -> Iterator[Problem]:
    with cell.db.read() as connection:
        held, parts = _held(connection), _parts(connection)
        wrong = [(row, held.get(row["uuid"], set())) for row in _quiet(connection)]
    for row, has in wrong:
        due = _due(row, has, parts, conf)
        if has == due:
            continue
        uuid = row["uuid"]
        code, what = ("claim.doubled", "more") if has > due else ("claim.differs", "something else")
        if has < due:
            code, what = "claim.missing", "less"

        def holds(connection: sa.Connection, uuid: str = uuid) -> bool:
            return _wrong(connection, uuid, conf) is not None

        def mend(connection: sa.Connection, uuid: str = uuid) -> None:
            due = _wrong(connection, uuid, conf)
            claims.give_back(connection, uuid)
            wanted: dict[str, dict[str, int]] = {}
            for provider, resource_class, amount in due or ():
                wanted.setdefault(provider, {})[resource_class] = amount
            claims.force(connection, uuid, wanted)

        sentence = f"Server {uuid} has claimed {what} than it uses: {_say(has)} instead of {_say(due)}."
        yield in_one_database(_finding(cell, code, uuid, sentence), "Its claims were set right.", cell.db, holds, mend)


def _wrong(connection: sa.Connection, uuid: str, conf: cfg.ConfigOpts) -> Held | None:
    """Return what an instance should have claimed; None if it has, or something is being done to it."""
    rows = _quiet(connection, [uuid])
    if not rows:
        return None
    has = _held(connection, uuid).get(uuid, set())
    due = _due(rows[0], has, _parts(connection), conf)
    return None if has == due else due


def _claims_of_nothing(cell: Cell) -> Iterator[Problem]:
    """Claims of what no node has: what is used of it is counted nowhere."""
    has_it = sa.exists().where(
        inventories.c.provider_uuid == claims_table.c.provider_uuid,
        inventories.c.resource_class == claims_table.c.resource_class,
    )
    query = sa.select(claims_table).where(~has_it).order_by(claims_table.c.provider_uuid, claims_table.c.holder_uuid)
    with cell.db.read() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        yield only_reported(_finding(
            cell, "claim.no_provider", row.holder_uuid,
            f"{row.amount} {row.resource_class} of {row.provider_uuid} are claimed for the {row.holder_kind} "
            f"{row.holder_uuid}, but nothing there has any.",
            "If the host's driver should report it, see why it does not; else delete the server or move it away.",
        ))  # fmt: skip


def _say(held: Held) -> str:
    return ", ".join(f"{amount} {rc} on {node}" for node, rc, amount in sorted(held)) or "nothing"


def _inventories(cell: Cell) -> Iterator[Problem]:
    same = (
        claims_table.c.provider_uuid == inventories.c.provider_uuid,
        claims_table.c.resource_class == inventories.c.resource_class,
    )
    total = sa.select(sa.func.coalesce(sa.func.sum(claims_table.c.amount), 0)).where(*same).scalar_subquery()
    query = sa.select(inventories, total.label("claimed")).where(inventories.c.used != total)
    with cell.db.read() as connection:
        found, parts = connection.execute(query).all(), _parts(connection)
    for row in found:
        key = sa.and_(
            inventories.c.provider_uuid == row.provider_uuid, inventories.c.resource_class == row.resource_class
        )

        def holds(connection: sa.Connection, key: sa.ColumnElement[bool] = key) -> bool:
            # The row's lock first: whoever claims has it until his claim can be seen.
            connection.execute(sa.select(inventories.c.used).where(key).with_for_update())
            return connection.execute(query.where(key)).first() is not None

        def mend(connection: sa.Connection, key: sa.ColumnElement[bool] = key, uuid: str = row.provider_uuid) -> None:
            connection.execute(sa.update(inventories).where(key).values(used=total))
            host_changes.of_providers(connection, [uuid])

        subject = row.provider_uuid
        what = "Part" if subject in parts else "Node"
        sentence = f"{what} {subject} counts {row.used} {row.resource_class} as used, {row.claimed} are claimed."
        yield in_one_database(
            _finding(cell, "inventory.used", subject, sentence), "What is claimed counts now.", cell.db, holds, mend
        )


def _tasks(cell: Cell, conf: cfg.ConfigOpts) -> Iterator[Problem]:
    stuck = sa.select(table).where(~_OPEN_OF, sa.or_(table.c.task_state.is_not(None), table.c.vm_state == "building"))
    with cell.db.read() as connection:
        found = connection.execute(stuck.with_only_columns(table.c.uuid, table.c.vm_state, table.c.task_state)).all()
    for row in found:
        mine = stuck.where(table.c.uuid == row.uuid)
        deleting = row.task_state == instances.DELETING
        what = row.task_state or row.vm_state
        yield in_one_database(
            _finding(cell, "task.ended", row.uuid, f"Server {row.uuid} is {what}, but nothing is being done to it."),
            "Its deletion goes on." if deleting else "It can be worked with again.", cell.db,
            partial(_still, mine), partial(_end_task, mine),
        )  # fmt: skip


def _end_task(query: sa.Select[Any], connection: sa.Connection) -> None:
    row = dict(connection.execute(query).mappings().one())
    if row["task_state"] == instances.DELETING:
        _delete_again(connection, row)
        return
    values: dict[str, Any] = {"task_state": None, "operation_uuid": None}
    if row["vm_state"] == "building" or row["task_state"] == "rebuilding":
        values["vm_state"] = "error"
        values["fault"] = faults.fault("What was being done to the server was lost; the audit set its state right.")
    instances.set_values(connection, row["uuid"], **values)


def _delete_again(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    operation = delete.anew(row, row["uuid"], "destroy" if row["host"] else "finish", row["host"])
    operations.insert(connection, operations_table, operation)
    instances.set_values(connection, row["uuid"], operation_uuid=operation.uuid)


def _operations_without_instance(cell: Cell) -> Iterator[Problem]:
    o = operations_table.c
    free = sa.or_(o.owner.is_(None), o.lease_until < now())
    query = sa.select(o.uuid, o.kind, o.instance_uuid).where(
        o.state.in_(OPEN), free, o.instance_uuid.not_in(sa.select(table.c.uuid))
    )
    with cell.db.read() as connection:
        found = connection.execute(query).all()
    for row in found:
        mine = query.where(o.uuid == row.uuid)
        yield in_one_database(
            _finding(cell, "operation.no_instance", row.uuid,
                     f"A {row.kind} is open for server {row.instance_uuid}, which is gone."),
            "It was ended.", cell.db,
            partial(_still, mine), partial(_end, row.uuid),
        )  # fmt: skip


def _end(uuid: str, connection: sa.Connection) -> None:
    mine = operations_table.c.uuid == uuid
    row = dict(connection.execute(sa.select(operations_table).where(mine)).mappings().one())
    error = faults.as_error(errors.NotFound("The server is gone."), CONDUCTOR)
    ended = operations.ended(operations.from_row(row), operations.FAILED, error)
    # Whoever held it, and comes back, has no say any more.
    values = {**ended, "updated_at": ended["ended_at"], "attempt": row["attempt"] + 1}
    connection.execute(sa.update(operations_table).where(mine).values(values))


def _positions(cell: Cell) -> Iterator[Problem]:
    have_guests = table.c.vm_state.in_(instances.HAVE_GUESTS)
    nowhere = sa.select(table.c.uuid).where(~_OPEN_OF, have_guests, table.c.host.is_(None))
    unknown = sa.select(table.c.uuid).where(
        ~_OPEN_OF, table.c.node_uuid.is_not(None), table.c.node_uuid.not_in(sa.select(compute_nodes.c.uuid))
    )
    with cell.db.read() as connection:
        for query, code, words in (
            (nowhere, "instance.no_host", "should have a guest, but has no host"),
            (unknown, "instance.unknown_node", "is on a node that nobody knows"),
        ):
            for uuid in connection.execute(query).scalars():
                sentence = f"Server {uuid} {words}."
                remedy = "Delete it, or put its host's row back from a copy of the database."
                yield only_reported(_finding(cell, code, uuid, sentence, remedy))


def _leftovers(cell: Cell) -> Iterator[Problem]:
    # Those that wait for a host that is away are in order; these the host has tried to remove.
    query = sa.select(leftovers).where(leftovers.c.trouble.is_not(None)).order_by(leftovers.c.created_at)
    with cell.db.read() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        yield only_reported(_finding(
            cell, "leftover.stuck", row.instance_uuid,
            f"Host {row.host} cannot remove what server {row.instance_uuid} left there ({row.reason}): {row.trouble}",
            "Its compute goes on trying; see what is wrong with the host. What is left stays claimed there.",
        ))  # fmt: skip
