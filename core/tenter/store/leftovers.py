"""Leftovers: what may still be on a host that was away when an instance went, and the claims that cover it."""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tenter.store import claims, host_changes
from tenter.store.cell_schema import compute_nodes, instances, leftovers
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

_OF_SERVICE = (
    sa.select(leftovers)
    .where(
        leftovers.c.node_uuid.in_(
            sa.select(compute_nodes.c.uuid).where(compute_nodes.c.service_uuid == sa.bindparam("p_service"))
        )
    )
    .order_by(leftovers.c.created_at)
)
_ALL = Prepared(_OF_SERVICE)
_OF_INSTANCE = Prepared(_OF_SERVICE.where(leftovers.c.instance_uuid == sa.bindparam("p_instance")))


def leave(
    connection: sa.Connection,
    instance_uuid: str,
    reason: str,
    vifs: Sequence[Mapping[str, Any]],
    trouble: str | None = None,
) -> None:
    """Record that the instance's host may still have its guest and ``vifs`` (as JSON), and give its claims to that
    record. The instance has no host from then on. Without a host there is nothing to record. ``trouble``: why the host
    could not remove them, if it has tried."""
    columns = (instances.c.host, instances.c.node_uuid, instances.c.handle, instances.c.network_info)
    row = connection.execute(sa.select(*columns).where(instances.c.uuid == instance_uuid)).first()
    if row is None or row.host is None or row.node_uuid is None:
        return
    values = {
        "uuid": str(uuidlib.uuid4()), "instance_uuid": instance_uuid, "host": row.host, "node_uuid": row.node_uuid,
        "handle": row.handle, "vifs": list(vifs) or row.network_info, "reason": reason, "trouble": trouble,
        "created_at": now(),
    }  # fmt: skip
    connection.execute(sa.insert(leftovers).values(values))
    claims.hand_over(connection, instance_uuid, values["uuid"], claims.LEFTOVER)
    host_changes.node(connection, row.node_uuid)
    nowhere: dict[str, Any] = dict.fromkeys(("host", "node", "node_uuid", "handle"))
    nowhere.update(network_info=[], updated_at=now())
    connection.execute(sa.update(instances).where(instances.c.uuid == instance_uuid).values(nowhere))


def note(db: Database, service_uuid: str, instance_uuid: str, reason: str, trouble: str) -> None:
    """Record that a compute service's host may still have a guest that was made for an instance after that had moved
    on. It claims nothing. If the same is recorded already, only ``trouble`` is new."""
    with db.write() as connection:
        nodes = sa.select(compute_nodes.c.uuid, compute_nodes.c.host).order_by(compute_nodes.c.uuid)
        rows = connection.execute(nodes.where(compute_nodes.c.service_uuid == service_uuid)).all()
        mine = sa.and_(
            leftovers.c.instance_uuid == instance_uuid, leftovers.c.node_uuid.in_([row.uuid for row in rows])
        )
        if not rows or connection.execute(sa.update(leftovers).where(mine).values(trouble=trouble)).rowcount:
            return
        connection.execute(sa.insert(leftovers).values(
            uuid=str(uuidlib.uuid4()), instance_uuid=instance_uuid, host=rows[0].host, node_uuid=rows[0].uuid,
            handle=None, vifs=[], reason=reason, trouble=trouble, created_at=now(),
        ))  # fmt: skip


def failed(db: Database, uuid: str, trouble: str) -> None:
    """Record why a leftover could not be removed."""
    new = sa.or_(leftovers.c.trouble.is_(None), leftovers.c.trouble != trouble)
    with db.write() as connection:
        connection.execute(sa.update(leftovers).where(leftovers.c.uuid == uuid, new).values(trouble=trouble))


def of_service(db: Database, service_uuid: str, instance_uuid: str | None = None) -> list[dict[str, Any]]:
    """Return the leftovers (of one instance, if given) on the nodes of a compute service."""
    query = _ALL if instance_uuid is None else _OF_INSTANCE
    values = {"p_service": service_uuid, "p_instance": instance_uuid}
    with db.read() as connection:
        return [dict(row) for row in query.rows(connection, values).mappings()]


def hosts_of(db: Database, instance_uuid: str) -> set[str]:
    """Return the hosts that may still have something of an instance which has moved on."""
    with db.read() as connection:
        query = sa.select(leftovers.c.host).where(leftovers.c.instance_uuid == instance_uuid)
        return set(connection.execute(query).scalars())


def reaped(db: Database, uuid: str) -> None:
    """Forget a leftover that is no longer there, and give back what it claimed."""
    with db.write() as connection:
        claims.give_back(connection, uuid)
        connection.execute(sa.delete(leftovers).where(leftovers.c.uuid == uuid))


def give_up(connection: sa.Connection, node_uuids: sa.Select[Any]) -> None:
    """Forget the leftovers of nodes that will never come back, with what they claimed."""
    gone = sa.select(leftovers.c.uuid).where(leftovers.c.node_uuid.in_(node_uuids))
    for uuid in connection.execute(gone).scalars().all():
        claims.give_back(connection, uuid)
        connection.execute(sa.delete(leftovers).where(leftovers.c.uuid == uuid))
