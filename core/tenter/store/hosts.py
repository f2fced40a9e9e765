"""Rows of services, compute nodes and their inventories: written by computes, read by the scheduler."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tenter.contracts.scheduling import HostView, Resource
from tenter.contracts.virt import DriverInfo, NodeInventory
from tenter.store import claims
from tenter.store.cell_schema import compute_nodes, instances, inventories, leftovers, operations, services
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

LOG = logging.getLogger(__name__)

_VIEWS = Prepared(
    sa.select(
        compute_nodes.c.uuid,
        compute_nodes.c.host,
        compute_nodes.c.hypervisor_hostname,
        compute_nodes.c.availability_zone,
        compute_nodes.c.traits,
        compute_nodes.c.failed_builds,
        services.c.disabled,
        services.c.disabled_reason,
        services.c.forced_down,
        services.c.last_seen,
        inventories.c.resource_class,
        inventories.c.total,
        inventories.c.used,
        inventories.c.reserved,
        inventories.c.ratio,
    )
    .join(services, services.c.uuid == compute_nodes.c.service_uuid)
    .join(inventories, inventories.c.provider_uuid == compute_nodes.c.uuid)
    .order_by(compute_nodes.c.uuid)
)
_SUCCEEDED = Prepared(
    sa.update(compute_nodes)
    .where(compute_nodes.c.uuid == sa.bindparam("p_uuid"), compute_nodes.c.failed_builds > 0)
    .values(failed_builds=0)
)
_SIGN = Prepared(
    sa.select(services.c.forced_down, services.c.last_seen).where(
        services.c.host == sa.bindparam("p_host"), services.c.binary == sa.bindparam("p_binary")
    )
)


def rename(connection: sa.Connection, earlier: str, host: str) -> None:
    """Give all that is on a host another host name: its key is the same, so it is the same host."""
    LOG.info("Host %s is called %s from now on", earlier, host)
    for table in (compute_nodes, instances, leftovers, operations):
        connection.execute(sa.update(table).where(table.c.host == earlier).values(host=host))


def report_nodes(
    db: Database,
    service_uuid: str,
    host: str,
    zone: str,
    info: DriverInfo,
    nodes: Sequence[NodeInventory],
    ratios: Mapping[str, float],
) -> None:
    """Write the nodes of a host and what they have."""
    at = now()
    with db.write() as connection:
        for node in nodes:
            values = {
                "service_uuid": service_uuid,
                "host": host,
                "hypervisor_hostname": node.name,
                "hypervisor_type": info.hypervisor_type,
                "hypervisor_version": info.hypervisor_version,
                "host_ip": node.host_ip,
                "availability_zone": zone,
                "cpu_info": dict(node.cpu_info),
                "traits": sorted(node.traits),
                "updated_at": at,
            }
            _rename_node(connection, node)
            known = sa.update(compute_nodes).where(compute_nodes.c.uuid == node.uuid).values(**values)
            if connection.execute(known).rowcount == 0:
                connection.execute(sa.insert(compute_nodes).values(uuid=node.uuid, created_at=at, **values))
            claims.set_inventory(connection, node, ratios)


def _rename_node(connection: sa.Connection, node: NodeInventory) -> None:
    """Let the instances on a node whose name is new bear it."""
    name = connection.execute(
        sa.select(compute_nodes.c.hypervisor_hostname).where(compute_nodes.c.uuid == node.uuid)
    ).scalar()
    if name not in (None, node.name):
        connection.execute(sa.update(instances).where(instances.c.node_uuid == node.uuid).values(node=node.name))


def host_views(db: Database, down_after: float) -> list[HostView]:
    """Return every node of a cell as the scheduler sees it. ``down_after`` in seconds without a sign of life."""
    with db.read() as connection:
        rows = _VIEWS.rows(connection, {}).all()
    alive_since = now() - down_after
    resources: dict[str, dict[str, Resource]] = {}
    first: dict[str, Any] = {}
    for row in rows:
        first.setdefault(row.uuid, row)
        resources.setdefault(row.uuid, {})[row.resource_class] = Resource(row.total, row.used, row.reserved, row.ratio)
    return [
        HostView(
            provider_uuid=uuid,
            host=row.host,
            node=row.hypervisor_hostname,
            zone=row.availability_zone,
            enabled=not row.disabled,
            up=not row.forced_down and row.last_seen >= alive_since,
            resources=resources[uuid],
            disabled_reason=row.disabled_reason,
            traits=frozenset(row.traits),
            failed_builds=row.failed_builds,
        )
        for uuid, row in first.items()
    ]


def build_failed(connection: sa.Connection, instance_uuid: str) -> None:
    """Count one more build in a row that the instance's node failed."""
    node = sa.select(instances.c.node_uuid).where(instances.c.uuid == instance_uuid).scalar_subquery()
    count = compute_nodes.c.failed_builds
    connection.execute(sa.update(compute_nodes).where(compute_nodes.c.uuid == node).values(failed_builds=count + 1))


def build_succeeded(connection: sa.Connection, node_uuid: str) -> None:
    """Forget the builds that the node failed before."""
    _SUCCEEDED.change(connection, {"p_uuid": node_uuid})


def is_down(connection: sa.Connection, host: str, binary: str, down_after: float) -> bool:
    """Return whether nobody serves the host: no such service, declared down, or not seen for ``down_after`` seconds."""
    row = _SIGN.rows(connection, {"p_host": host, "p_binary": binary}).first()
    return row is None or row.forced_down or row.last_seen < now() - down_after


def signs_of_life(db: Database, binary: str) -> dict[str, tuple[float, bool]]:
    """Return, of each host that has such a service, when it was last seen and whether it was declared down."""
    query = sa.select(services.c.host, services.c.last_seen, services.c.forced_down)
    with db.read() as connection:
        rows = connection.execute(query.where(services.c.binary == binary)).all()
    return {row.host: (row.last_seen, bool(row.forced_down)) for row in rows}
