"""Claims: atomic reservations of resources, each naming its holder.

One conditional UPDATE a resource class decides: ``used + asked <= capacity``; never a read before a write.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from tenter.contracts.scheduling import Resource
from tenter.contracts.virt import NodeInventory
from tenter.store.cell_schema import claims, inventories

INSTANCE = "instance"


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
        enough = sa.and_(
            inventories.c.provider_uuid == provider_uuid,
            inventories.c.resource_class == resource_class,
            inventories.c.used + amount <= inventories.c.capacity,
        )
        change = sa.update(inventories).where(enough).values(used=inventories.c.used + amount)
        if connection.execute(change).rowcount != 1:
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
        connection.execute(sa.insert(claims), rows)


def give_back(connection: sa.Connection, holder_uuid: str) -> None:
    """Give back all that the holder claimed. Nothing to give back is no error."""
    held = connection.execute(sa.select(claims).where(claims.c.holder_uuid == holder_uuid)).mappings().all()
    for row in held:
        connection.execute(
            sa.update(inventories)
            .where(
                inventories.c.provider_uuid == row["provider_uuid"],
                inventories.c.resource_class == row["resource_class"],
            )
            .values(used=inventories.c.used - row["amount"])
        )
    if held:
        connection.execute(sa.delete(claims).where(claims.c.holder_uuid == holder_uuid))


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
        key = sa.and_(
            inventories.c.provider_uuid == node.uuid, inventories.c.resource_class == resource_class
        )
        if connection.execute(sa.update(inventories).where(key).values(**values)).rowcount == 0:
            connection.execute(
                sa.insert(inventories).values(
                    provider_uuid=node.uuid, resource_class=resource_class, used=0, **values
                )
            )
