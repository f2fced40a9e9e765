"""Who gets which address and MAC. The primary key of ``allocations`` decides; nothing is promised by a
read."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from tenter import errors
from tenter.contracts.network import PortAddress
from tenter_plugins.network.local import addresses
from tenter_plugins.network.local.database import allocations, now, ports, subnets

_SUBNETS = (
    sa.select(subnets)
    .where(subnets.c.network_id == sa.bindparam("network_id"))
    .order_by(subnets.c.created_at, sa.text("subnets.rowid"))
)
_TAKE = insert(allocations).on_conflict_do_nothing()
_ADD_PORT = insert(ports).on_conflict_do_nothing(index_elements=["mac"])
_used, _next = allocations.alias("used"), allocations.alias("next")
_START: sa.BindParameter[int] = sa.bindparam("start", type_=sa.BigInteger)
_LAST: sa.BindParameter[int] = sa.bindparam("last", type_=sa.BigInteger)
_SUBNET: sa.BindParameter[str] = sa.bindparam("subnet", type_=sa.String)
_GAP = (
    sa.select(_used.c.address + 1)
    .where(
        _used.c.subnet_id == _SUBNET,
        _used.c.address >= _START,
        _used.c.address < _LAST,
        ~sa.exists().where(_next.c.subnet_id == _SUBNET, _next.c.address == _used.c.address + 1),
    )
    .order_by(_used.c.address)
    .limit(1)
)
"""The first free address that follows used ones, from ``start`` (itself used) on."""


class Allocator:
    """Gives out addresses and MACs inside of a caller's write transaction.

    Addresses go round: one that was given back is used again as late as possible, so that nobody's neighbour
    still thinks it is someone else's.
    """

    def __init__(self) -> None:
        self._hints: dict[str, int] = {}

    def add_port(self, conn: sa.Connection, values: dict[str, Any], wanted: tuple[PortAddress, ...]) -> str:
        """Add a port's row with its addresses (none asked: one, any) and return its id.

        ``values`` are columns of ``ports``; ``mac`` None: one is made up. Raises Conflict (MAC or address in
        use), Invalid (an address that cannot be had), ResourceExhausted.
        """
        time = now()
        row = {**values, "id": str(uuid.uuid4()), "created_at": time, "updated_at": time}
        asked = row["mac"]
        for _ in range(1 if asked else 16):
            row["mac"] = asked or "fa:16:3e:" + secrets.token_bytes(3).hex(":")
            if conn.execute(_ADD_PORT, row).rowcount == 1:
                break
        else:
            raise errors.Conflict(f"MAC address {row['mac']} is in use.")
        for address in wanted or (PortAddress(),):
            self._take(conn, row["network_id"], row["id"], address)
        return str(row["id"])

    def _take(self, conn: sa.Connection, network_id: str, port_id: str, wanted: PortAddress) -> None:
        parts = conn.execute(_SUBNETS, {"network_id": network_id}).all()
        if wanted.subnet_id is not None:
            parts = [part for part in parts if part.id == wanted.subnet_id]
            if not parts:
                raise errors.Invalid(f"Subnet {wanted.subnet_id} is not part of network {network_id}.")
        if not parts:
            raise errors.Invalid(f"Network {network_id} has no subnet.")
        if wanted.address is not None:
            subnet_id, number = self.locate(parts, wanted.address)
            if not self._insert(conn, subnet_id, number, port_id):
                raise errors.Conflict(f"IP address {wanted.address} already allocated in subnet {subnet_id}.")
            return
        for part in parts:
            for number in self._free(conn, part):
                if self._insert(conn, part.id, number, port_id):
                    self._hints[part.id] = number
                    return
        raise errors.ResourceExhausted(f"No more IP addresses available on network {network_id}.")

    def locate(self, parts: Any, address: str) -> tuple[str, int]:
        """Return the subnet of ``parts`` (rows) that an address is in, and it as a number.

        Raises Invalid if it is in none, or is one that a guest cannot have.
        """
        number = addresses.parse_address(address)
        for part in parts:
            network = addresses.parse_cidr(part.cidr)
            if not int(network.network_address) < number < int(network.broadcast_address):
                continue
            if number == part.server:
                break
            return str(part.id), number
        raise errors.Invalid(f"{address} is not an address that a port of this network can have.")

    def subnet_rows(self, conn: sa.Connection, network_id: str) -> Any:
        """Return the rows of a network's subnets, oldest first."""
        return conn.execute(_SUBNETS, {"network_id": network_id}).all()

    def _free(self, conn: sa.Connection, part: Any) -> Iterator[int]:
        """Yield addresses worth trying: the one after the last given, the next gap, and both from the
        start."""
        after_last = self._hints.get(part.id, part.first - 1) + 1
        for start in dict.fromkeys(
            (after_last if part.first <= after_last <= part.last else part.first, part.first)
        ):
            yield start
            gap = conn.execute(
                _GAP, {"subnet": part.id, "start": start, "last": part.last}
            ).scalar_one_or_none()
            if gap is not None:
                yield gap

    @staticmethod
    def _insert(conn: sa.Connection, subnet_id: str, number: int, port_id: str) -> bool:
        taken = conn.execute(_TAKE, {"subnet_id": subnet_id, "address": number, "port_id": port_id})
        return taken.rowcount == 1
