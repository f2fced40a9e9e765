"""Which nodes a compute may report: neither those of a host that lives, nor one in place of one with servers."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import sqlalchemy as sa

from tenter import errors
from tenter.contracts.virt import NodeInventory
from tenter.store import host_changes
from tenter.store.cell_schema import claims, compute_nodes, instances, inventories, leftovers, providers, services
from tenter.store.engine import Database, now

LOG = logging.getLogger(__name__)
_ROWS = sa.select(
    compute_nodes.c.uuid, compute_nodes.c.service_uuid, compute_nodes.c.hypervisor_hostname, services.c.host,
    sa.and_(services.c.forced_down == sa.false(), services.c.last_seen >= sa.bindparam("p_since")).label("up"),
).outerjoin(services, services.c.uuid == compute_nodes.c.service_uuid)  # fmt: skip


def admit(db: Database, service_uuid: str, nodes: Sequence[NodeInventory], down_after: float) -> None:
    """Check that the service may report these nodes. An empty node that a new one of the same name replaces is removed.

    ``down_after`` in seconds without a sign of life. Raises Conflict if a node is another service's that is up, or if a
    new node has the name of one of this service that is not reported and has servers: then the driver's key is lost.
    """
    reported = {node.uuid: node.name for node in nodes}
    ours = sa.or_(compute_nodes.c.uuid.in_(list(reported)), compute_nodes.c.service_uuid == service_uuid)
    with db.read() as connection:
        rows = connection.execute(_ROWS.where(ours), {"p_since": now() - down_after}).all()
    for row in rows:
        if row.service_uuid != service_uuid and row.up:
            raise errors.Conflict(
                f"Node {row.uuid} is host {row.host}'s, which is up: this state directory is a copy; start this host "
                "with an empty one."
            )
    known = {row.uuid for row in rows}
    for uuid in reported.keys() - known:
        for row in rows:
            if row.uuid not in reported and row.hypervisor_hostname == reported[uuid]:
                _replace(db, row.uuid, uuid)


def withdraw(db: Database, service_uuid: str) -> None:
    """Remove a service that was not admitted, if it has no nodes."""
    has_nodes = sa.exists(sa.select(compute_nodes.c.uuid).where(compute_nodes.c.service_uuid == service_uuid))
    with db.write() as connection:
        connection.execute(sa.delete(services).where(services.c.uuid == service_uuid, ~has_nodes))


def _replace(db: Database, before: str, new: str) -> None:
    with db.write() as connection:
        # First what new claims need, so that none is made while the others are looked for.
        parts = connection.execute(sa.select(providers.c.uuid).where(providers.c.node_uuid == before)).scalars()
        of_node = [before, *parts]
        connection.execute(sa.delete(inventories).where(inventories.c.provider_uuid.in_(of_node)))
        connection.execute(sa.delete(providers).where(providers.c.node_uuid == before))
        connection.execute(sa.delete(compute_nodes).where(compute_nodes.c.uuid == before))
        host_changes.node(connection, before)
        for column in (instances.c.node_uuid, claims.c.provider_uuid, leftovers.c.node_uuid):
            if connection.execute(sa.select(column).where(column.in_(of_node)).limit(1)).first():
                raise errors.Conflict(
                    f"The driver reports node {new}, but this host's servers are on node {before} of the same name; "
                    "put its node id back (the log says where the driver keeps it)."
                )
    LOG.warning("Node %s, which had no servers, is replaced by node %s", before, new)
