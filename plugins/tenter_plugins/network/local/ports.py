"""Ports as rows: made by users or for instances, bound and unbound."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.contracts.network import (
    VIF,
    AllocateRequest,
    CreatePort,
    FixedIP,
    NetworkScope,
    PortAddress,
    PortRecord,
    RequestedNetwork,
    Subnet,
)
from tenter_plugins.network.local import addresses
from tenter_plugins.network.local.allocator import Allocator
from tenter_plugins.network.local.database import NetworkDatabase, allocations, networks, now, ports, subnets
from tenter_plugins.network.local.names import bridge_name, tap_name
from tenter_plugins.network.local.networks import Where, narrowed, require_network

VIF_TYPES = {"bridge": "bridge", "user": "user", "none": "other"}
OWNER = "compute:nova"
"""What ``device_owner`` of an instance's port is; clients look for the prefix ``compute:``."""

_BOUND = sa.and_(
    ports.c.device_id == sa.bindparam("device"),
    sa.or_(sa.bindparam("at", type_=sa.Text).is_(None), ports.c.host == sa.bindparam("at", type_=sa.Text)),
)
_VIFS = (
    sa.select(
        ports.c.id,
        ports.c.network_id,
        ports.c.mac,
        networks.c.name,
        networks.c.mtu,
        allocations.c.address,
        allocations.c.subnet_id,
        subnets.c.cidr,
        subnets.c.gateway,
        subnets.c.dns,
        subnets.c.dhcp,
    )
    .join(networks, networks.c.id == ports.c.network_id)
    .outerjoin(allocations, allocations.c.port_id == ports.c.id)
    .outerjoin(subnets, subnets.c.id == allocations.c.subnet_id)
    .where(_BOUND)
    .order_by(ports.c.position, ports.c.id, allocations.c.address)
)
_DELETE_MANAGED = ports.delete().where(_BOUND, ports.c.managed)
_UNBOUND = {"device_id": "", "device_owner": "", "host": "", "hostname": "", "position": 0}
_UNBIND = ports.update().where(_BOUND).values(**_UNBOUND)
_HOSTS = sa.select(ports.c.host).distinct().where(ports.c.device_id == sa.bindparam("device"))
_MOVE = ports.update().where(ports.c.device_id == sa.bindparam("device")).values(host=sa.bindparam("to"))


class Ports:
    """What can be done to ports. ``mode`` is bridge, user or none."""

    def __init__(self, database: NetworkDatabase, mode: str) -> None:
        self._db = database
        self._mode = mode
        self._allocator = Allocator()

    def vifs(self, instance_uuid: str, host: str | None = None) -> tuple[VIF, ...]:
        """Return the VIFs bound to an instance (on one host, if given), in order."""
        with self._db.reading() as conn:
            return self._vifs(conn, instance_uuid, host)

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        """Bind or make a port for each network asked for; those that are bound already are returned as they
        are, and taken over from the hosts that the request says.

        Raises NetworkFailed, ResourceExhausted.
        """
        with self._db.writing() as conn:
            vifs = self._vifs(conn, request.instance_uuid)
            if vifs:
                self._take_over(conn, request)
            if vifs or not request.networks:
                return vifs
            for position, wanted in enumerate(request.networks):
                self._allocate_one(conn, request, wanted, position)
            return self._vifs(conn, request.instance_uuid)

    def deallocate(self, instance_uuid: str, host: str | None = None) -> None:
        """Delete the ports made by ``allocate`` for an instance (on one host, if given) and unbind those that a
        user made."""
        if not instance_uuid:
            return
        which = {"device": instance_uuid, "at": host}
        with self._db.writing() as conn:
            conn.execute(_DELETE_MANAGED, which)
            conn.execute(_UNBIND, which)

    def check(self, project_id: str, wanted: RequestedNetwork, instances: int) -> RequestedNetwork:
        """Return what was asked for with its network decided. Raises Invalid, Conflict."""
        with self._db.reading() as conn:
            if wanted.port_id is not None:
                return self._check_port(conn, project_id, wanted, instances)
            if wanted.network_id is None:
                raise errors.Invalid("A requested network needs a network id or a port id.")
            try:
                require_network(conn, NetworkScope(project_id), wanted.network_id, own=False)
            except errors.NotFound as exc:
                raise errors.Invalid(exc.message) from exc
            parts = self._allocator.subnet_rows(conn, wanted.network_id)
            if not parts:
                raise errors.Invalid(
                    f"Network {wanted.network_id} requires a subnet in order to boot instances on."
                )
            if wanted.fixed_ip is not None:
                if instances > 1:
                    raise errors.Invalid("Several servers cannot be created with one fixed IP address.")
                subnet_id, number = self._allocator.locate(parts, wanted.fixed_ip)
                used = sa.select(allocations.c.address).where(
                    allocations.c.subnet_id == subnet_id, allocations.c.address == number
                )
                if conn.execute(used).first():
                    raise errors.Conflict(f"Fixed IP address {wanted.fixed_ip} is already in use.")
        return wanted

    def find(self, scope: NetworkScope, where: Where) -> list[PortRecord]:
        """Return the scope's ports, oldest first."""
        mine = sa.true() if scope.is_admin else ports.c.project_id == scope.project_id
        found = sa.select(ports).where(mine, *narrowed(ports, where))
        held = sa.select(allocations).where(allocations.c.port_id.in_(found.with_only_columns(ports.c.id)))
        with self._db.reading() as conn:
            rows = conn.execute(found.order_by(ports.c.created_at, sa.text("ports.rowid"))).all()
            fixed: dict[str, list[PortAddress]] = {}
            for row in conn.execute(held.order_by(allocations.c.address)):
                fixed.setdefault(row.port_id, []).append(
                    PortAddress(row.subnet_id, addresses.text(row.address))
                )
        return [self._record(row, tuple(fixed.get(row.id, ()))) for row in rows]

    def create(self, scope: NetworkScope, request: CreatePort) -> str:
        """Make an unbound port and return its id. Raises Invalid, NotFound, Conflict."""
        values = {key: value for key, value in vars(request).items() if key != "fixed_ips"}
        with self._db.writing() as conn:
            require_network(conn, scope, request.network_id, own=False)
            try:
                return self._allocator.add_port(
                    conn, {**values, **_UNBOUND, "managed": False}, request.fixed_ips
                )
            except errors.ResourceExhausted as exc:
                raise errors.Conflict(exc.message, **exc.details) from exc

    def delete(self, scope: NetworkScope, port_id: str) -> None:
        """Remove an unbound port. Raises NotFound, Conflict."""
        with self._db.writing() as conn:
            row = self._require(conn, scope, port_id)
            if row.device_id:
                raise errors.Conflict(
                    f"Unable to complete operation on port {port_id}: it is in use by instance "
                    f"{row.device_id}."
                )
            conn.execute(ports.delete().where(ports.c.id == port_id))

    def update(self, scope: NetworkScope, port_id: str, changes: Mapping[str, Any]) -> None:
        """Set attributes of a port. Raises NotFound."""
        with self._db.writing() as conn:
            self._require(conn, scope, port_id)
            conn.execute(ports.update().where(ports.c.id == port_id).values(**changes, updated_at=now()))

    def any_bound(self) -> bool:
        """Return whether any port is bound to an instance."""
        with self._db.reading() as conn:
            return (
                conn.execute(sa.select(ports.c.id).where(ports.c.device_id != "").limit(1)).first()
                is not None
            )

    def reservations(self, network_id: str, port_id: str | None = None) -> list[tuple[str, str, str, str]]:
        """Return (port id, MAC, first address, host name) of a network's bound ports, or of one of them, for
        DHCP."""
        found = (
            sa.select(ports.c.id, ports.c.mac, sa.func.min(allocations.c.address), ports.c.hostname)
            .join(allocations, allocations.c.port_id == ports.c.id)
            .where(ports.c.network_id == network_id, ports.c.device_id != "")
            .where(sa.true() if port_id is None else ports.c.id == port_id)
            .group_by(ports.c.id)
        )
        with self._db.reading() as conn:
            return [(row[0], row[1], addresses.text(row[2]), row[3]) for row in conn.execute(found)]

    def _take_over(self, conn: sa.Connection, request: AllocateRequest) -> None:
        hosts = set(conn.execute(_HOSTS, {"device": request.instance_uuid}).scalars()) - {request.host}
        if not hosts:
            return
        if request.replaces is not None and not hosts <= set(request.replaces):
            raise errors.NetworkFailed(
                f"The ports of instance {request.instance_uuid} are in use on {', '.join(sorted(hosts))}."
            )
        conn.execute(_MOVE, {"device": request.instance_uuid, "to": request.host})

    def _allocate_one(
        self, conn: sa.Connection, request: AllocateRequest, wanted: RequestedNetwork, position: int
    ) -> None:
        bound = {
            "device_id": request.instance_uuid,
            "device_owner": OWNER,
            "host": request.host,
            "hostname": request.hostname,
            "position": position,
        }
        if wanted.port_id is not None:
            mine = ports.update().where(
                ports.c.id == wanted.port_id,
                ports.c.device_id == "",
                ports.c.project_id == request.project_id,
            )
            if conn.execute(mine.values(**bound)).rowcount != 1:
                raise errors.NetworkFailed(f"Port {wanted.port_id} is gone or in use.")
            return
        made = {
            **bound,
            "network_id": wanted.network_id,
            "project_id": request.project_id,
            "mac": None,
            "managed": True,
            "admin_state_up": True,
        }
        try:
            require_network(conn, NetworkScope(request.project_id), wanted.network_id or "", own=False)
            self._allocator.add_port(conn, made, (PortAddress(address=wanted.fixed_ip),))
        except (errors.Invalid, errors.Conflict, errors.NotFound) as exc:
            raise errors.NetworkFailed(exc.message) from exc

    def _check_port(
        self, conn: sa.Connection, project_id: str, wanted: RequestedNetwork, instances: int
    ) -> RequestedNetwork:
        if wanted.fixed_ip is not None:
            raise errors.Invalid("A fixed IP address cannot be asked for together with a port.")
        if instances > 1:
            raise errors.Invalid("Several servers cannot be created with one port.")
        row = conn.execute(
            sa.select(ports).where(ports.c.id == wanted.port_id, ports.c.project_id == project_id)
        ).one_or_none()
        if row is None:
            raise errors.Invalid(f"Port {wanted.port_id} could not be found.")
        if row.device_id:
            raise errors.Conflict(f"Port {wanted.port_id} is still in use.")
        return RequestedNetwork(network_id=row.network_id, port_id=row.id, tag=wanted.tag)

    def _require(self, conn: sa.Connection, scope: NetworkScope, port_id: str) -> sa.Row[Any]:
        row = conn.execute(sa.select(ports).where(ports.c.id == port_id)).one_or_none()
        if row is None or not (scope.is_admin or row.project_id == scope.project_id):
            raise errors.NotFound(f"Port {port_id} could not be found.")
        return row

    def _vifs(self, conn: sa.Connection, instance_uuid: str, host: str | None = None) -> tuple[VIF, ...]:
        which = {"device": instance_uuid, "at": host}
        rows = conn.execute(_VIFS, which).all() if instance_uuid else []
        return tuple(self._vif(list(group)) for _, group in groupby(rows, key=lambda row: row.id))

    def _vif(self, rows: Sequence[Any]) -> VIF:
        port = rows[0]
        bridged = self._mode == "bridge"
        return VIF(
            id=port.id,
            network_id=port.network_id,
            network_label=port.name,
            mac=port.mac,
            type=VIF_TYPES[self._mode],
            fixed_ips=tuple(_fixed_ip(row) for row in rows if row.address is not None),
            devname=tap_name(port.id) if bridged else None,
            mtu=port.mtu,
            details={"bridge": bridge_name(port.network_id)} if bridged else {},
        )

    def _record(self, row: sa.Row[Any], fixed_ips: tuple[PortAddress, ...]) -> PortRecord:
        return PortRecord(
            id=row.id,
            network_id=row.network_id,
            project_id=row.project_id,
            name=row.name,
            description=row.description,
            mac=row.mac,
            admin_state_up=row.admin_state_up,
            device_id=row.device_id,
            device_owner=row.device_owner,
            host=row.host,
            vif_type=VIF_TYPES[self._mode] if row.device_id else "unbound",
            created_at=row.created_at,
            updated_at=row.updated_at,
            fixed_ips=fixed_ips,
        )


def _fixed_ip(row: sa.Row[Any]) -> FixedIP:
    gateway = None if row.gateway is None else addresses.text(row.gateway)
    subnet = Subnet(row.subnet_id, row.cidr, gateway, tuple(json.loads(row.dns)), row.dhcp)
    return FixedIP(addresses.text(row.address), subnet)
