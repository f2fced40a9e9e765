"""The log of what changes for the scheduler: a row for a node, in the transaction that changes it.

Who changes what the scheduler knows of a node calls one of these, late in the transaction: on databases that number
rows before they are committed, that keeps the time short for which a number is seen to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from tenter.store.cell_schema import claims, compute_nodes, host_changes, instances, providers
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

IO_TASKS = frozenset({
    "scheduling", "networking", "block_device_mapping", "spawning",
    "rebuilding", "rebuild_block_device_mapping", "rebuild_spawning",
    "resize_prep", "resize_migrating", "resize_migrated", "resize_finish", "resize_reverting", "migrating",
    "image_snapshot", "image_snapshot_pending", "image_pending_upload", "image_uploading", "image_backup",
    "rescuing", "shelving", "shelving_image_pending_upload", "shelving_image_uploading", "unshelving",
})  # fmt: skip
"""Values of task_state with which an instance counts as one that its host is busy reading or writing for."""

_AT = sa.bindparam("p_at", type_=sa.Double)
_UUID: sa.BindParameter[str] = sa.bindparam("p_uuid", type_=sa.String)
_COLUMNS = ["node_uuid", "at"]
_NODE = sa.select(providers.c.node_uuid).where(providers.c.uuid == _UUID)
_OF_PROVIDER = Prepared(
    sa.insert(host_changes).from_select(_COLUMNS, sa.select(sa.func.coalesce(_NODE.scalar_subquery(), _UUID), _AT))
)
_NODE_OF = Prepared(sa.select(sa.func.coalesce(_NODE.scalar_subquery(), _UUID).label("node_uuid")))
_NODE_CHANGED = Prepared(sa.insert(host_changes))
_ON_NODE = sa.and_(instances.c.uuid == _UUID, instances.c.node_uuid.is_not(None))
_BUSY = instances.c.task_state.in_(sorted(IO_TASKS))
_HELD = instances.c.operation_uuid == sa.bindparam("p_operation")


def _of_instance(*conditions: sa.ColumnElement[bool]) -> Prepared:
    query = sa.select(instances.c.node_uuid, _AT).where(_ON_NODE, *conditions)
    return Prepared(sa.insert(host_changes).from_select(_COLUMNS, query))


_INSTANCE = _of_instance()
_UNCLAIMED = _of_instance(
    ~sa.exists().where(claims.c.holder_uuid == instances.c.uuid, claims.c.provider_uuid == instances.c.node_uuid)
)
_WAS_BUSY, _WAS_IDLE = _of_instance(_BUSY), _of_instance(sa.or_(instances.c.task_state.is_(None), ~_BUSY))
_WAS_BUSY_WITH = _of_instance(_BUSY, _HELD)


def node(connection: sa.Connection, uuid: str) -> None:
    """Log that a node has changed, or is gone."""
    _NODE_CHANGED.change(connection, {"node_uuid": uuid, "at": now()})


def of_providers(connection: sa.Connection, uuids: Iterable[str]) -> None:
    """Log that nodes, or those whose parts these providers are, have changed; a row a node."""
    distinct = set(uuids)
    if len(distinct) == 1:
        _OF_PROVIDER.change(connection, {"p_uuid": distinct.pop(), "p_at": now()})
        return
    nodes = {str(_NODE_OF.rows(connection, {"p_uuid": uuid}).scalar()) for uuid in distinct}
    _NODE_CHANGED.change_all(connection, [{"node_uuid": uuid, "at": now()} for uuid in sorted(nodes)])


def of_instance(connection: sa.Connection, uuid: str) -> None:
    """Log that the node of an instance has changed; it may have none."""
    _INSTANCE.change(connection, {"p_uuid": uuid, "p_at": now()})


def of_unclaimed(connection: sa.Connection, uuid: str) -> None:
    """Log that the node of an instance has changed if the instance claims nothing there, which would be logged when it
    is given back."""
    _UNCLAIMED.change(connection, {"p_uuid": uuid, "p_at": now()})


def of_task(connection: sa.Connection, uuid: str, task_state: str | None) -> None:
    """Log that an instance's node has changed if with ``task_state``, which is about to be written, the instance begins
    or ceases to count as an io op."""
    query = _WAS_IDLE if task_state in IO_TASKS else _WAS_BUSY
    query.change(connection, {"p_uuid": uuid, "p_at": now()})


def of_task_end(connection: sa.Connection, uuid: str, operation_uuid: str) -> None:
    """Log that an instance's node has changed if the instance, which is about to have no task_state, counted as an io
    op of the operation."""
    _WAS_BUSY_WITH.change(connection, {"p_uuid": uuid, "p_operation": operation_uuid, "p_at": now()})


def of_service(connection: sa.Connection, service_uuid: str) -> None:
    """Log that all nodes of a service have changed, or are about to be deleted."""
    of_host = sa.select(compute_nodes.c.uuid, sa.literal(now(), sa.Double)).where(
        compute_nodes.c.service_uuid == service_uuid
    )
    connection.execute(sa.insert(host_changes).from_select(_COLUMNS, of_host))


def purge(db: Database, older_than: float) -> int:
    """Remove the rows written before then (seconds since the epoch), but never the newest; return how many."""
    with db.write() as connection:
        newest = connection.execute(sa.select(sa.func.max(host_changes.c.seq))).scalar()
        if newest is None:
            return 0
        old = sa.delete(host_changes).where(host_changes.c.at < older_than, host_changes.c.seq < newest)
        return connection.execute(old).rowcount
