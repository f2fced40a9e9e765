"""Rows of services, compute nodes and their inventories: written by computes, read by the scheduler."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from tenter.contracts.virt import DriverInfo, NodeInventory
from tenter.store import host_changes, inventory, reported
from tenter.store.cell_schema import claims as claims_table
from tenter.store.cell_schema import compute_nodes, instances, leftovers, operations, providers, services
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

LOG = logging.getLogger(__name__)

_NODE = Prepared(sa.select(compute_nodes).where(compute_nodes.c.uuid == sa.bindparam("p_uuid")))
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
    for uuid in connection.execute(sa.select(compute_nodes.c.uuid).where(compute_nodes.c.host == host)).scalars().all():
        host_changes.node(connection, uuid)


def report_nodes(
    db: Database,
    service_uuid: str,
    host: str,
    zone: str,
    info: DriverInfo,
    nodes: Sequence[NodeInventory],
    ratios: Mapping[str, float],
) -> None:
    """Write the nodes of a host and what they have, where that is not what is written already."""
    of_host = {
        "service_uuid": service_uuid, "host": host, "availability_zone": zone, "hypervisor_type": info.hypervisor_type,
        "hypervisor_version": info.hypervisor_version,
    }  # fmt: skip
    reports = []
    for node in nodes:
        found = reported.check(node, ratios)
        inventory.complain(node.name, found)
        reports.append(({**of_host, **_columns(node, found)}, found))
    with db.read() as connection:
        new = [report for report in reports if _differs(connection, *report)]
    if not new:
        return
    with db.write() as connection:
        for values, found in new:
            _write_node(connection, values, found)


def _columns(node: NodeInventory, found: reported.Reported) -> dict[str, Any]:
    return {
        "hypervisor_hostname": node.name, "host_ip": node.host_ip, "traits": found.traits, "metrics": found.metrics,
        # As it will be read: what JSON has no words for, such as tuples, would differ each time.
        "cpu_info": orjson.loads(orjson.dumps(dict(node.cpu_info))),
    }  # fmt: skip


def _differs(connection: sa.Connection, values: Mapping[str, Any], found: reported.Reported) -> bool:
    row = _NODE.rows(connection, {"p_uuid": found.node_uuid}).mappings().first()
    same = row is not None and all(row[name] == value for name, value in values.items())
    return not same or inventory.differs(connection, found)


def _write_node(connection: sa.Connection, values: Mapping[str, Any], found: reported.Reported) -> None:
    uuid, at = found.node_uuid, now()
    _rename_node(connection, uuid, values["hypervisor_hostname"])
    known = sa.update(compute_nodes).where(compute_nodes.c.uuid == uuid).values(updated_at=at, **values)
    if connection.execute(known).rowcount == 0:
        connection.execute(sa.insert(compute_nodes).values(uuid=uuid, created_at=at, updated_at=at, **values))
    inventory.write(connection, found)
    host_changes.node(connection, uuid)


def _rename_node(connection: sa.Connection, uuid: str, name: str) -> None:
    """Let the instances on a node whose name is new bear it."""
    before = connection.execute(
        sa.select(compute_nodes.c.hypervisor_hostname).where(compute_nodes.c.uuid == uuid)
    ).scalar()
    if before not in (None, name):
        connection.execute(sa.update(instances).where(instances.c.node_uuid == uuid).values(node=name))


def traits_serving(connection: sa.Connection, node_uuid: str, instance_uuid: str) -> frozenset[str]:
    """Return the traits of a node, and of those of its parts that an instance has claimed something of."""
    of_node = sa.select(compute_nodes.c.traits).where(compute_nodes.c.uuid == node_uuid)
    held = sa.select(claims_table.c.provider_uuid).where(claims_table.c.holder_uuid == instance_uuid)
    of_parts = sa.select(providers.c.traits).where(providers.c.node_uuid == node_uuid, providers.c.uuid.in_(held))
    lists = [*connection.execute(of_node).scalars(), *connection.execute(of_parts).scalars()]
    return frozenset(trait for traits in lists for trait in traits)


def build_failed(connection: sa.Connection, instance_uuid: str) -> None:
    """Count one more build in a row that the instance's node failed."""
    node = sa.select(instances.c.node_uuid).where(instances.c.uuid == instance_uuid).scalar_subquery()
    count = compute_nodes.c.failed_builds
    connection.execute(sa.update(compute_nodes).where(compute_nodes.c.uuid == node).values(failed_builds=count + 1))
    host_changes.of_instance(connection, instance_uuid)


def build_succeeded(connection: sa.Connection, node_uuid: str) -> None:
    """Forget the builds that the node failed before."""
    if _SUCCEEDED.change(connection, {"p_uuid": node_uuid}):
        host_changes.node(connection, node_uuid)


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
