"""Rows of services, compute nodes and their inventories: written by computes, read by the scheduler."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.contracts.scheduling import HostView, Resource
from tenter.contracts.virt import DriverInfo, NodeInventory
from tenter.store import claims
from tenter.store.cell_schema import compute_nodes, instances, inventories, operations, services
from tenter.store.engine import Database, now

LOG = logging.getLogger(__name__)
SERVICE_VERSION = 1

_VIEWS = (
    sa.select(
        compute_nodes.c.uuid,
        compute_nodes.c.host,
        compute_nodes.c.hypervisor_hostname,
        compute_nodes.c.availability_zone,
        compute_nodes.c.traits,
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


def report_service(db: Database, uuid: str, host: str, binary: str) -> None:
    """Sign of life of a service, registering it if it is new.

    Raises Conflict if another service of that binary already has that host's name.
    """
    at = now()
    with db.write() as connection:
        seen = sa.update(services).where(services.c.uuid == uuid, services.c.host == host).values(last_seen=at)
        if connection.execute(seen).rowcount:
            return
        other = connection.execute(
            sa.select(services.c.uuid).where(services.c.host == host, services.c.binary == binary)
        ).scalar()
        if other:
            raise errors.Conflict(
                f"Host {host!r} is already served by {binary} {other}; give this one another [DEFAULT] host, "
                "or put its identity file back into the state directory."
            )
        earlier = connection.execute(sa.select(services.c.host).where(services.c.uuid == uuid)).scalar()
        if earlier is not None:
            _rename(connection, uuid, earlier, host)
            return
        connection.execute(
            sa.insert(services).values(
                uuid=uuid, host=host, binary=binary, version=SERVICE_VERSION, last_seen=at, created_at=at
            )
        )


def _rename(connection: sa.Connection, uuid: str, earlier: str, host: str) -> None:
    """Give a service and all that is on its host another host name: the key is the same, so it is the same host."""
    LOG.info("Host %s is called %s from now on", earlier, host)
    connection.execute(sa.update(services).where(services.c.uuid == uuid).values(host=host, last_seen=now()))
    for table in (compute_nodes, instances, operations):
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
            known = sa.update(compute_nodes).where(compute_nodes.c.uuid == node.uuid).values(**values)
            if connection.execute(known).rowcount == 0:
                connection.execute(sa.insert(compute_nodes).values(uuid=node.uuid, created_at=at, **values))
            claims.set_inventory(connection, node, ratios)


def host_views(db: Database, down_after: float) -> list[HostView]:
    """Return every node of a cell as the scheduler sees it. ``down_after`` in seconds without a sign of life."""
    with db.read() as connection:
        rows = connection.execute(_VIEWS).all()
    alive_since = now() - down_after
    resources: dict[str, dict[str, Resource]] = {}
    first: dict[str, Any] = {}
    for row in rows:
        first.setdefault(row.uuid, row)
        resources.setdefault(row.uuid, {})[row.resource_class] = Resource(
            row.total, row.used, row.reserved, row.ratio
        )
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
        )
        for uuid, row in first.items()
    ]
