"""Claims: atomic reservations of resources, each naming its holder.

One conditional UPDATE a resource class decides: ``used + asked <= capacity``; never a read before a write.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from tenter.contracts.scheduling import Resource
from tenter.contracts.virt import NodeInventory
from tenter.store.cell_schema import claims, inventories
from tenter.store.prepared import Prepared

INSTANCE, OPERATION, LEFTOVER = "instance", "operation", "leftover"

_AMOUNT = sa.bindparam("p_amount", type_=sa.BigInteger)
_OF_PROVIDER = sa.and_(
    inventories.c.provider_uuid == sa.bindparam("p_provider"),
    inventories.c.resource_class == sa.bindparam("p_class"),
)
_TAKE = Prepared(
    sa.update(inventories)
    .where(_OF_PROVIDER, inventories.c.used + _AMOUNT <= inventories.c.capacity)
    .values(used=inventories.c.used + _AMOUNT)
)
_GIVE_BACK = Prepared(sa.update(inventories).where(_OF_PROVIDER).values(used=inventories.c.used - _AMOUNT))
_RECORD = Prepared(sa.insert(claims))
_HELD = Prepared(sa.select(claims).where(claims.c.holder_uuid == sa.bindparam("p_holder")))
_FORGET = Prepared(sa.delete(claims).where(claims.c.holder_uuid == sa.bindparam("p_holder")))


class ClaimLost(Exception):
    """The provider has no longer enough of a resource class. Roll the transaction back and try another provider."""

    def __init__(self, provider_uuid: str, resource_class: str) -> None:
        super().__init__(f"{provider_uuid} lacks {resource_class}")
        self.provider_uuid = provider_uuid
        self.resource_class = resource_class


def take(connection: sa.Connection, holder_uuid: str, provider_uuid: str, amounts: Mapping[str, int]) -> None:
    """Claim ``amounts`` of one provider for an instance. Raises ClaimLost; then nothing may be committed."""
    rows = []
    for resource_class, amount in amounts.items():
        if not amount:
            continue
        values = {"p_provider": provider_uuid, "p_class": resource_class, "p_amount": amount}
        if _TAKE.change(connection, values) != 1:
            raise ClaimLost(provider_uuid, resource_class)
        rows.append(
            {
                "holder_uuid": holder_uuid,
                "provider_uuid": provider_uuid,
                "resource_class": resource_class,
                "holder_kind": INSTANCE,
                "amount": amount,
            }
        )
    if rows:
        _RECORD.change_all(connection, rows)


def give_back(connection: sa.Connection, holder_uuid: str) -> None:
    """Give back all that the holder claimed. Nothing to give back is no error."""
    held = _HELD.rows(connection, {"p_holder": holder_uuid}).all()
    for row in held:
        values = {"p_provider": row.provider_uuid, "p_class": row.resource_class, "p_amount": row.amount}
        _GIVE_BACK.change(connection, values)
    if held:
        _FORGET.change(connection, {"p_holder": holder_uuid})


def force(connection: sa.Connection, holder_uuid: str, provider_uuid: str, amounts: Mapping[str, int]) -> None:
    """Record that an instance uses ``amounts`` of a provider, whether or not there is room: it does use them."""
    for resource_class, amount in amounts.items():
        values = {"p_provider": provider_uuid, "p_class": resource_class, "p_amount": -amount}
        _GIVE_BACK.change(connection, values)
        row = {
            "holder_uuid": holder_uuid, "provider_uuid": provider_uuid, "resource_class": resource_class,
            "holder_kind": INSTANCE, "amount": amount,
        }  # fmt: skip
        _RECORD.change(connection, row)


def hand_over(connection: sa.Connection, holder_uuid: str, to_uuid: str, to_kind: str) -> None:
    """Give all that the holder claimed to another holder; what is used does not change."""
    change = sa.update(claims).where(claims.c.holder_uuid == holder_uuid)
    connection.execute(change.values(holder_uuid=to_uuid, holder_kind=to_kind))


def set_inventory(connection: sa.Connection, node: NodeInventory, ratios: Mapping[str, float]) -> None:
    """Write what a node has; what is used stays as the claims say. ``ratios`` are defaults by resource class."""
    totals = {"VCPU": node.vcpus, "MEMORY_MB": node.memory_mib, "DISK_GB": node.disk_gib}
    for resource_class, total in totals.items():
        ratio = node.allocation_ratios.get(resource_class, ratios.get(resource_class, 1.0))
        reserved = min(node.reserved.get(resource_class, 0), total)
        values = {
            "total": total,
            "reserved": reserved,
            "ratio": ratio,
            "capacity": Resource(total, 0, reserved, ratio).capacity,
        }
        key = sa.and_(inventories.c.provider_uuid == node.uuid, inventories.c.resource_class == resource_class)
        if connection.execute(sa.update(inventories).where(key).values(**values)).rowcount == 0:
            connection.execute(
                sa.insert(inventories).values(provider_uuid=node.uuid, resource_class=resource_class, used=0, **values)
            )
