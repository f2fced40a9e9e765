"""Networks and subnets as rows."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.contracts.network import (
    CreateNetwork,
    CreateSubnet,
    NetworkRecord,
    NetworkScope,
    SubnetRecord,
)
from tenter_plugins.network.local import addresses
from tenter_plugins.network.local.database import NetworkDatabase, allocations, networks, now, ports, subnets

Where = Mapping[str, Sequence[str]]
_BY_ID = sa.select(networks).where(networks.c.id == sa.bindparam("network_id"))
_USABLE = (
    sa.select(networks.c.id, networks.c.project_id, networks.c.shared, networks.c.is_default)
    .where(
        sa.or_(networks.c.shared, networks.c.project_id == sa.bindparam("project_id")),
        sa.exists().where(subnets.c.network_id == networks.c.id),
    )
    .order_by(networks.c.created_at, sa.text("networks.rowid"))
)
"""The networks with subnets that a project may use, oldest first."""

_FILTERS = frozenset({"id", "name", "network_id", "project_id", "device_id", "mac", "cidr"})


def narrowed(table: sa.Table, where: Where) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that ``where`` puts on a table; names that are no plain text columns are passed
    over."""
    return [
        table.c[name].in_(list(values))
        for name, values in where.items()
        if name in _FILTERS & {*table.c.keys()}
    ]


def visible(scope: NetworkScope) -> sa.ColumnElement[bool]:
    """Return the condition that the scope may see a network."""
    if scope.is_admin:
        return sa.true()
    return sa.or_(networks.c.shared, networks.c.project_id == scope.project_id)


def require_network(conn: sa.Connection, scope: NetworkScope, network_id: str, own: bool) -> sa.Row[Any]:
    """Return a network's row. Raises NotFound if the scope may not see it, Forbidden if ``own`` and it may
    not change it."""
    row = conn.execute(_BY_ID, {"network_id": network_id}).one_or_none()
    if row is None or not (row.shared or scope.is_admin or row.project_id == scope.project_id):
        raise errors.NotFound(f"Network {network_id} could not be found.")
    if own and not (scope.is_admin or row.project_id == scope.project_id):
        raise errors.Forbidden(f"Network {network_id} belongs to another project.")
    return row


def subnet_record(row: sa.Row[Any]) -> SubnetRecord:
    """Return what the API shows of a subnet's row."""
    return SubnetRecord(
        id=row.id,
        network_id=row.network_id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        cidr=row.cidr,
        gateway=None if row.gateway is None else addresses.text(row.gateway),
        dns=tuple(json.loads(row.dns)),
        dhcp=row.dhcp,
        first=addresses.text(row.first),
        last=addresses.text(row.last),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


class Networks:
    """What can be done to networks and subnets."""

    def __init__(self, database: NetworkDatabase, default_mtu: int) -> None:
        self._db = database
        self._mtu = default_mtu

    def find(self, scope: NetworkScope, where: Where) -> list[NetworkRecord]:
        """Return the networks that the scope may see, oldest first."""
        found = sa.select(networks).where(visible(scope), *narrowed(networks, where))
        with self._db.reading() as conn:
            rows = conn.execute(found.order_by(networks.c.created_at, sa.text("networks.rowid"))).all()
            parts = defaultdict(list)
            for network_id, subnet_id in conn.execute(
                sa.select(subnets.c.network_id, subnets.c.id).order_by(sa.text("subnets.rowid"))
            ):
                parts[network_id].append(subnet_id)
        return [NetworkRecord(**row._mapping, subnet_ids=tuple(parts[row.id])) for row in rows]

    def get(self, network_id: str) -> NetworkRecord:
        """Return one network, whoever owns it. Raises NotFound."""
        found = self.find(NetworkScope("", is_admin=True), {"id": (network_id,)})
        if not found:
            raise errors.NotFound(f"Network {network_id} could not be found.")
        return found[0]

    def create(self, request: CreateNetwork) -> str:
        """Make a network and return its id."""
        with self._db.writing() as conn:
            return insert_network(conn, request, self._mtu)

    def delete(self, scope: NetworkScope, network_id: str) -> None:
        """Remove a network and its subnets. Raises NotFound, Forbidden, Conflict if it has ports."""
        with self._db.writing() as conn:
            require_network(conn, scope, network_id, own=True)
            if conn.execute(sa.select(ports.c.id).where(ports.c.network_id == network_id).limit(1)).first():
                raise errors.Conflict(
                    f"Unable to complete operation on network {network_id}. There are one or more ports "
                    "still in use on the network."
                )
            conn.execute(networks.delete().where(networks.c.id == network_id))

    def find_subnets(self, scope: NetworkScope, where: Where) -> list[SubnetRecord]:
        """Return the subnets of the networks that the scope may see, oldest first."""
        found = sa.select(subnets).join(networks, networks.c.id == subnets.c.network_id)
        found = found.where(visible(scope), *narrowed(subnets, where))
        with self._db.reading() as conn:
            rows = conn.execute(found.order_by(subnets.c.created_at, sa.text("subnets.rowid"))).all()
        return [subnet_record(row) for row in rows]

    def create_subnet(self, scope: NetworkScope, request: CreateSubnet) -> str:
        """Add a subnet and return its id. Raises Invalid, NotFound, Forbidden."""
        with self._db.writing() as conn:
            require_network(conn, scope, request.network_id, own=True)
            return insert_subnet(conn, request)

    def delete_subnet(self, scope: NetworkScope, subnet_id: str) -> str:
        """Remove a subnet and return its network's id. Raises NotFound, Forbidden, Conflict if an address is
        in use."""
        with self._db.writing() as conn:
            network_id = self._subnet_owner(conn, scope, subnet_id)
            used = sa.select(allocations.c.address).where(
                allocations.c.subnet_id == subnet_id, allocations.c.port_id.is_not(None)
            )
            if conn.execute(used.limit(1)).first():
                raise errors.Conflict(
                    f"Unable to complete operation on subnet {subnet_id}: One or more ports have an IP "
                    "allocation from this subnet."
                )
            conn.execute(subnets.delete().where(subnets.c.id == subnet_id))
        return network_id

    def update(self, scope: NetworkScope, network_id: str, changes: Mapping[str, Any]) -> None:
        """Set attributes of a network. Raises NotFound, Forbidden, Conflict."""
        with self._db.writing() as conn:
            row = require_network(conn, scope, network_id, own=True)
            if changes.get("shared", row.shared) != row.shared:
                self._check_sharing(conn, scope, row)
            conn.execute(
                networks.update().where(networks.c.id == network_id).values(**changes, updated_at=now())
            )

    def update_subnet(self, scope: NetworkScope, subnet_id: str, changes: Mapping[str, Any]) -> None:
        """Set attributes of a subnet. Raises NotFound, Forbidden."""
        with self._db.writing() as conn:
            self._subnet_owner(conn, scope, subnet_id)
            conn.execute(
                subnets.update().where(subnets.c.id == subnet_id).values(**changes, updated_at=now())
            )

    def default_for(self, project_id: str) -> str:
        """Return the network of a project that did not name one. Raises Invalid if there is none, Conflict if
        there are several and none is the shared default."""
        with self._db.reading() as conn:
            usable = conn.execute(_USABLE, {"project_id": project_id}).all()
        own = [network.id for network in usable if network.project_id == project_id and not network.shared]
        if len(own) == 1:
            return str(own[0])
        for network in usable:
            if network.is_default and network.shared:
                return str(network.id)
        if len(usable) == 1:
            return str(usable[0].id)
        if usable:
            raise errors.Conflict("Multiple possible networks found, use a Network ID to be more specific.")
        raise errors.Invalid(
            "There is no network with a subnet that this project may use; make one or ask for none."
        )

    @staticmethod
    def _subnet_owner(conn: sa.Connection, scope: NetworkScope, subnet_id: str) -> str:
        network_id = conn.execute(
            sa.select(subnets.c.network_id).where(subnets.c.id == subnet_id)
        ).scalar_one_or_none()
        try:
            if network_id is None:
                raise errors.NotFound(f"Subnet {subnet_id} could not be found.")
            require_network(conn, scope, network_id, own=True)
        except errors.NotFound as exc:
            raise errors.NotFound(f"Subnet {subnet_id} could not be found.") from exc
        return str(network_id)

    @staticmethod
    def _check_sharing(conn: sa.Connection, scope: NetworkScope, row: sa.Row[Any]) -> None:
        if not scope.is_admin:
            raise errors.Forbidden("Only an administrator may share a network or end that.")
        others = sa.select(ports.c.id).where(
            ports.c.network_id == row.id, ports.c.project_id != row.project_id
        )
        if row.shared and conn.execute(others.limit(1)).first():
            raise errors.Conflict(
                f"Unable to reconfigure sharing settings for network {row.name}. Multiple tenants are "
                "using it."
            )


def insert_network(
    conn: sa.Connection, request: CreateNetwork, default_mtu: int, is_default: bool = False
) -> str:
    """Add a network's row and return its id."""
    new_id, time = str(uuid.uuid4()), now()
    values = {**vars(request), "mtu": request.mtu or default_mtu, "is_default": is_default}
    conn.execute(networks.insert().values(id=new_id, created_at=time, updated_at=time, **values))
    return new_id


def insert_subnet(conn: sa.Connection, request: CreateSubnet) -> str:
    """Add a subnet's row, reserve the host's address in it, and return its id. Raises Invalid."""
    plan = addresses.plan(request.cidr, request.gateway, request.pool)
    for address in request.dns:
        addresses.parse_address(address)
    mine = IPv4Network(plan.cidr)
    for (other,) in conn.execute(sa.select(subnets.c.cidr).where(subnets.c.network_id == request.network_id)):
        if mine.overlaps(IPv4Network(other)):
            raise errors.Invalid(
                f"Requested subnet with cidr: {mine} for network: {request.network_id} overlaps with "
                f"another subnet ({other})."
            )
    new_id, time = str(uuid.uuid4()), now()
    conn.execute(
        subnets.insert().values(
            id=new_id,
            network_id=request.network_id,
            project_id=request.project_id,
            name=request.name,
            description=request.description,
            created_at=time,
            updated_at=time,
            dns=json.dumps([str(IPv4Address(address)) for address in request.dns]),
            dhcp=request.dhcp,
            **vars(plan),
        )
    )
    conn.execute(allocations.insert().values(subnet_id=new_id, address=plan.server, port_id=None))
    return new_id
