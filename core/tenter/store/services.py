"""What the API shows of the hosts of one cell: services, nodes and what is on them; and of the services of no cell.
One query each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from os_resource_classes import DISK_GB, MEMORY_MB, VCPU

from tenter import errors
from tenter.store import api_schema, host_changes, leftovers
from tenter.store.cell_schema import claims, compute_nodes, instances, inventories, providers, services
from tenter.store.engine import Database, now

_AT_ONCE = 500


def list_services(
    db: Database, down_after: float, host: str | None = None, binary: str | None = None
) -> list[dict[str, Any]]:
    """Return the services by host and binary: the row's columns, ``zone`` (None: no compute) and ``up``.

    ``down_after`` in seconds without a sign of life.
    """
    zone = (
        sa.select(sa.func.max(compute_nodes.c.availability_zone))
        .where(compute_nodes.c.service_uuid == services.c.uuid)
        .scalar_subquery()
    )
    query = sa.select(services, zone.label("zone")).order_by(services.c.host, services.c.binary)
    if host:
        query = query.where(services.c.host == host)
    if binary:
        query = query.where(services.c.binary == binary)
    alive_since = now() - down_after
    with db.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [{**row, "up": is_up(row, alive_since)} for row in rows]


def list_conductors(api_db: Database, down_after: float) -> list[dict[str, Any]]:
    """Return the services of the API database, which are those of no cell, as ``list_services`` does."""
    conductors = api_schema.services
    alive_since = now() - down_after
    with api_db.read() as connection:
        rows = connection.execute(sa.select(conductors).order_by(conductors.c.host)).mappings().all()
    return [{**row, "zone": None, "up": is_up(row, alive_since)} for row in rows]


def delete_conductor(api_db: Database, uuid: str) -> bool:
    """Delete a service of no cell; return whether there was such a one. A process that still runs registers itself
    anew."""
    with api_db.write() as connection:
        mine = sa.delete(api_schema.services).where(api_schema.services.c.uuid == uuid)
        return connection.execute(mine).rowcount == 1


def is_up(row: Mapping[str, Any] | sa.RowMapping, alive_since: float) -> bool:
    """Return whether a service is alive and not declared down."""
    return not row["forced_down"] and row["last_seen"] >= alive_since


def update_service(db: Database, uuid: str, **values: Any) -> bool:
    """Change columns of a service (disabled, disabled_reason, forced_down); return whether it exists."""
    with db.write() as connection:
        update = sa.update(services).where(services.c.uuid == uuid)
        exists = bool(connection.execute(update.values(updated_at=now(), **values)).rowcount)
        host_changes.of_service(connection, uuid)
    return exists


def list_nodes(db: Database, down_after: float) -> list[dict[str, Any]]:
    """Return the nodes by UUID, as os-hypervisors shows them.

    Each has the node's columns; ``disabled``, ``disabled_reason`` and ``up`` of its service;
    ``vcpus``, ``memory_mb`` (MiB), ``local_gb`` (GiB) and the same with ``_used`` (what is reserved counts as
    used); ``running_vms`` and ``current_workload`` (instances, and those something is being done to).
    """
    query = sa.select(
        compute_nodes,
        services.c.disabled,
        services.c.disabled_reason,
        services.c.forced_down,
        services.c.last_seen,
        *_amounts(),
        _count().label("running_vms"),
        _count(instances.c.task_state.is_not(None)).label("current_workload"),
    )
    query = query.join(services, services.c.uuid == compute_nodes.c.service_uuid)
    alive_since = now() - down_after
    with db.read() as connection:
        rows = connection.execute(query.order_by(compute_nodes.c.uuid)).mappings().all()
    return [{**row, "up": is_up(row, alive_since)} for row in rows]


def servers_on_nodes(db: Database, node_uuids: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """Return the instances on each of the nodes, as ``{"uuid": …, "name": …}``."""
    found: dict[str, list[dict[str, str]]] = {}
    query = (
        sa.select(instances.c.node_uuid, instances.c.uuid, instances.c.display_name)
        .where(instances.c.node_uuid.in_(list(node_uuids)))
        .order_by(instances.c.created_at, instances.c.uuid)
    )
    with db.read() as connection:
        for node_uuid, uuid, name in connection.execute(query):
            found.setdefault(node_uuid, []).append({"uuid": uuid, "name": name})
    return found


def zones_and_instances(db: Database, hosts: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return, of those hosts that there are, the zone of their own configuration and how many instances they have."""
    found: dict[str, tuple[str, int]] = {}
    with db.read() as connection:
        for start in range(0, len(hosts), _AT_ONCE):
            query = sa.select(compute_nodes.c.host, compute_nodes.c.availability_zone, _count().label("count"))
            query = query.where(compute_nodes.c.host.in_(hosts[start : start + _AT_ONCE]))
            for host, zone, count in connection.execute(query):
                found[host] = (zone, found.get(host, (zone, 0))[1] + count)
    return found


def _amounts() -> list[sa.ColumnElement[Any]]:
    columns: list[sa.ColumnElement[Any]] = []
    for name, resource_class in (("vcpus", VCPU), ("memory_mb", MEMORY_MB), ("local_gb", DISK_GB)):
        of_class = (
            inventories.c.provider_uuid == compute_nodes.c.uuid,
            inventories.c.resource_class == resource_class,
        )
        used = inventories.c.used + inventories.c.reserved
        for label, value in ((name, inventories.c.total), (f"{name}_used", used)):
            columns.append(sa.func.coalesce(sa.select(value).where(*of_class).scalar_subquery(), 0).label(label))
    return columns


def _count(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    on_node = instances.c.node_uuid == compute_nodes.c.uuid
    return sa.select(sa.func.count()).select_from(instances).where(on_node, *conditions).scalar_subquery()


def delete_service(db: Database, uuid: str) -> bool:
    """Delete a service with its nodes, their parts and inventories; return whether there was such a service.

    A process that still runs registers itself anew. Raises Conflict if instances are on its host.
    """
    nodes = sa.select(compute_nodes.c.uuid).where(compute_nodes.c.service_uuid == uuid)
    with db.write() as connection:
        host = connection.execute(sa.select(services.c.host).where(services.c.uuid == uuid)).scalar()
        if host is None:
            return False
        held = sa.select(instances.c.uuid).where(instances.c.node_uuid.in_(nodes)).limit(1)
        leftovers.give_up(connection, nodes)
        parts = sa.select(providers.c.uuid).where(providers.c.node_uuid.in_(nodes))
        claimed = sa.select(claims.c.holder_uuid).where(_of(claims, nodes, parts)).limit(1)
        if connection.execute(held).first() or connection.execute(claimed).first():
            raise errors.Conflict(f"Host {host} has instances; delete them or move them away first.")
        connection.execute(sa.delete(inventories).where(_of(inventories, nodes, parts)))
        connection.execute(sa.delete(providers).where(providers.c.node_uuid.in_(nodes)))
        host_changes.of_service(connection, uuid)
        connection.execute(sa.delete(compute_nodes).where(compute_nodes.c.service_uuid == uuid))
        connection.execute(sa.delete(services).where(services.c.uuid == uuid))
        return True


def _of(table: sa.Table, nodes: sa.Select[Any], parts: sa.Select[Any]) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.provider_uuid.in_(nodes), table.c.provider_uuid.in_(parts))
