"""Claims: atomic reservations of resources, each naming its holder.

One conditional UPDATE a resource class decides: ``used + asked <= capacity``; never a read before a write. They come in
one order (by provider and class), so that claims in parallel wait for each other and never lock each other out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tenter.store import host_changes
from tenter.store.cell_schema import claims, inventories
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

INSTANCE, OPERATION, LEFTOVER = "instance", "operation", "leftover"
GONE, UNIT, FULL = "gone", "unit", "full"
Wanted = Mapping[str, Mapping[str, int]]
"""Amounts by resource class, by the UUID of the provider: a node or a part of one."""

_AMOUNT = sa.bindparam("p_amount", type_=sa.BigInteger)
_OF_PROVIDER = sa.and_(
    inventories.c.provider_uuid == sa.bindparam("p_provider"),
    inventories.c.resource_class == sa.bindparam("p_class"),
)
_TAKE = Prepared(
    sa.update(inventories)
    .where(
        _OF_PROVIDER,
        inventories.c.used + _AMOUNT <= inventories.c.capacity,
        inventories.c.min_unit <= _AMOUNT,
        inventories.c.max_unit >= _AMOUNT,
        _AMOUNT % inventories.c.step_size == 0,
    )
    .values(used=inventories.c.used + _AMOUNT)
)
_GIVE_BACK = Prepared(sa.update(inventories).where(_OF_PROVIDER).values(used=inventories.c.used - _AMOUNT))
_RECORD = Prepared(sa.insert(claims))
_HELD = Prepared(sa.select(claims).where(claims.c.holder_uuid == sa.bindparam("p_holder")))
_FORGET = Prepared(sa.delete(claims).where(claims.c.holder_uuid == sa.bindparam("p_holder")))
_INVENTORY = Prepared(sa.select(inventories).where(_OF_PROVIDER))
_NEWEST = Prepared(
    sa.select(claims.c.holder_uuid, claims.c.holder_kind)
    .where(
        claims.c.provider_uuid == sa.bindparam("p_provider"),
        claims.c.resource_class == sa.bindparam("p_class"),
        claims.c.taken_at.is_not(None),
    )
    .order_by(claims.c.taken_at.desc())
    .limit(1)
)


@dataclass(frozen=True)
class Holder:
    """Who holds a claim: an instance, an operation or a leftover."""

    uuid: str
    kind: str


class ClaimLost(Exception):
    """A provider does not give what was asked. Roll the transaction back and try another provider.

    ``reason``: ``full`` (others hold too much of it; ``holder`` is who claimed last), ``unit`` (it is not given in this
    amount) or ``gone`` (it has none any more).
    """

    def __init__(
        self, provider_uuid: str, resource_class: str, reason: str = FULL, holder: Holder | None = None
    ) -> None:
        last = f"; last claimed by {holder.kind} {holder.uuid}" if holder else ""
        super().__init__(f"{provider_uuid} lacks {resource_class} ({reason}{last})")
        self.provider_uuid = provider_uuid
        self.resource_class = resource_class
        self.reason = reason
        self.holder = holder


def take(connection: sa.Connection, holder_uuid: str, wanted: Wanted) -> None:
    """Claim all that is wanted for an instance. Raises ClaimLost; then nothing may be committed."""
    at, rows = now(), []
    for provider_uuid, resource_class, amount in _in_order(wanted):
        if not amount:
            continue
        values = {"p_provider": provider_uuid, "p_class": resource_class, "p_amount": amount}
        if _TAKE.change(connection, values) != 1:
            raise _lost(connection, provider_uuid, resource_class, amount)
        rows.append(_row(holder_uuid, provider_uuid, resource_class, amount, at))
    if rows:
        _RECORD.change_all(connection, rows)
        host_changes.of_providers(connection, [row["provider_uuid"] for row in rows])


def give_back(connection: sa.Connection, holder_uuid: str) -> None:
    """Give back all that the holder claimed. Nothing to give back is no error."""
    held = _HELD.rows(connection, {"p_holder": holder_uuid}).all()
    for row in sorted(held, key=lambda row: (row.provider_uuid, row.resource_class)):
        values = {"p_provider": row.provider_uuid, "p_class": row.resource_class, "p_amount": row.amount}
        _GIVE_BACK.change(connection, values)
    if held:
        _FORGET.change(connection, {"p_holder": holder_uuid})
        host_changes.of_providers(connection, [row.provider_uuid for row in held])


def force(connection: sa.Connection, holder_uuid: str, wanted: Wanted) -> None:
    """Record that an instance uses all this, whether or not there is room: it does use it."""
    at = now()
    for provider_uuid, resource_class, amount in _in_order(wanted):
        values = {"p_provider": provider_uuid, "p_class": resource_class, "p_amount": -amount}
        _GIVE_BACK.change(connection, values)
        _RECORD.change(connection, _row(holder_uuid, provider_uuid, resource_class, amount, at))
    host_changes.of_providers(connection, wanted)


def hand_over(connection: sa.Connection, holder_uuid: str, to_uuid: str, to_kind: str) -> None:
    """Give all that the holder claimed, of whatever provider, to another holder; what is used does not change."""
    change = sa.update(claims).where(claims.c.holder_uuid == holder_uuid)
    connection.execute(change.values(holder_uuid=to_uuid, holder_kind=to_kind))


def amounts_of(db: Database, holder_uuid: str) -> dict[str, dict[str, int]]:
    """Return what a holder has claimed: amounts by resource class, by provider."""
    held: dict[str, dict[str, int]] = {}
    with db.read() as connection:
        for row in _HELD.rows(connection, {"p_holder": holder_uuid}):
            held.setdefault(row.provider_uuid, {})[row.resource_class] = row.amount
    return held


def _in_order(wanted: Wanted) -> list[tuple[str, str, int]]:
    return sorted(
        (provider_uuid, resource_class, amount)
        for provider_uuid, amounts in wanted.items()
        for resource_class, amount in amounts.items()
    )


def _row(holder_uuid: str, provider_uuid: str, resource_class: str, amount: int, at: float) -> dict[str, Any]:
    return {
        "holder_uuid": holder_uuid, "provider_uuid": provider_uuid, "resource_class": resource_class,
        "holder_kind": INSTANCE, "amount": amount, "taken_at": at,
    }  # fmt: skip


def _lost(connection: sa.Connection, provider_uuid: str, resource_class: str, amount: int) -> ClaimLost:
    values = {"p_provider": provider_uuid, "p_class": resource_class}
    row = _INVENTORY.rows(connection, values).first()
    if row is None:
        return ClaimLost(provider_uuid, resource_class, GONE)
    if not row.min_unit <= amount <= row.max_unit or amount % row.step_size:
        return ClaimLost(provider_uuid, resource_class, UNIT)
    last = _NEWEST.rows(connection, values).first()
    return ClaimLost(provider_uuid, resource_class, FULL, Holder(last.holder_uuid, last.holder_kind) if last else None)
