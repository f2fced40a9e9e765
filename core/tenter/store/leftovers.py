"""Leftovers: what may still be on a host that was away when an instance went, and the claims that cover it."""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tenter.store import claims
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


def leave(connection: sa.Connection, instance_uuid: str, reason: str, vifs: Sequence[Mapping[str, Any]]) -> None:
    """Record that the instance's host may still have its guest and ``vifs`` (as JSON), and give its claims to that
    record. The instance has no host from then on. Without a host there is nothing to record."""
    columns = (instances.c.host, instances.c.node_uuid, instances.c.handle, instances.c.network_info)
    row = connection.execute(sa.select(*columns).where(instances.c.uuid == instance_uuid)).first()
    if row is None or row.host is None or row.node_uuid is None:
        return
    values = {
        "uuid": str(uuidlib.uuid4()), "instance_uuid": instance_uuid, "host": row.host, "node_uuid": row.node_uuid,
        "handle": row.handle, "vifs": list(vifs) or row.network_info, "reason": reason, "created_at": now(),
    }  # fmt: skip
    connection.execute(sa.insert(leftovers).values(values))
    claims.hand_over(connection, instance_uuid, values["uuid"], claims.LEFTOVER)
    nowhere: dict[str, Any] = dict.fromkeys(("host", "node", "node_uuid", "handle"))
    nowhere.update(network_info=[], updated_at=now())
    connection.execute(sa.update(instances).where(instances.c.uuid == instance_uuid).values(nowhere))


def of_service(db: Database, service_uuid: str, instance_uuid: str | None = None) -> list[dict[str, Any]]:
    """Return the leftovers (of one instance, if given) on the nodes of a compute service."""
    query = _ALL if instance_uuid is None else _OF_INSTANCE
    values = {"p_service": service_uuid, "p_instance": instance_uuid}
    with db.read() as connection:
        return [dict(row) for row in query.rows(connection, values).mappings()]


def exist(db: Database, instance_uuid: str) -> bool:
    """Return whether any host may still have something of the instance."""
    query = sa.select(leftovers.c.uuid).where(leftovers.c.instance_uuid == instance_uuid).limit(1)
    with db.read() as connection:
        return connection.execute(query).first() is not None


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
