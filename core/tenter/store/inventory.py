"""What a node and its parts have: written as its driver reports it, and only where that differs from what is there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tenter.contracts.virt import NodeInventory
from tenter.store import reported
from tenter.store.cell_schema import inventories, providers
from tenter.store.prepared import Prepared
from tenter.store.reported import Key, Reported

LOG = logging.getLogger(__name__)

_NODE: sa.BindParameter[str] = sa.bindparam("p_node", type_=sa.String)
_PARTS = Prepared(sa.select(providers).where(providers.c.node_uuid == _NODE))
_STOCKS = Prepared(
    sa.select(inventories).where(
        sa.or_(
            inventories.c.provider_uuid == _NODE,
            inventories.c.provider_uuid.in_(sa.select(providers.c.uuid).where(providers.c.node_uuid == _NODE)),
        )
    )
)
_NOTHING = {"total": 0, "reserved": 0, "capacity": 0}
_told: dict[str, list[str]] = {}


def set_inventory(connection: sa.Connection, node: NodeInventory, ratios: Mapping[str, float]) -> bool:
    """Write what a node and its parts have; what is used stays as the claims say. ``ratios`` are allocation ratios by
    resource class where the driver says none. Returns whether anything has changed."""
    found = reported.check(node, ratios)
    complain(node.name, found)
    return write(connection, found)


def complain(name: str, found: Reported) -> None:
    """Warn of what a driver has reported of a node in vain; once, until that is something else."""
    if found.complaints != _told.get(found.node_uuid, []):
        _told[found.node_uuid] = found.complaints
        for complaint in found.complaints:
            LOG.warning("What the driver reports of node %s (%s): %s", name, found.node_uuid, complaint)


def differs(connection: sa.Connection, found: Reported) -> bool:
    """Return whether ``write`` would change anything."""
    return _Difference(connection, found).any


def write(connection: sa.Connection, found: Reported) -> bool:
    """Write what was reported; return whether anything has changed."""
    difference = _Difference(connection, found)
    if difference.any:
        difference.write(connection)
    return difference.any


class _Difference:
    """What must be written so that the tables say what was reported.

    What is claimed of something that is no longer reported stays, with a total of 0, until it is given back.
    """

    def __init__(self, connection: sa.Connection, found: Reported) -> None:
        node = {"p_node": found.node_uuid}
        parts = {row["uuid"]: row for row in _PARTS.rows(connection, node).mappings()}
        stocks = {
            (row["provider_uuid"], row["resource_class"]): row for row in _STOCKS.rows(connection, node).mappings()
        }
        self._found = found
        self._strangers = _strangers(connection, found, parts)
        self._set_stocks = {
            key: values
            for key, values in found.inventories.items()
            if key[0] not in self._strangers and not _same(stocks.get(key), values)
        }
        unreported = {key: row for key, row in stocks.items() if key not in found.inventories}
        self._drop_stocks = {key for key, row in unreported.items() if not row["used"]}
        self._empty_stocks = {key for key, row in unreported.items() if row["used"] and row["total"]}
        held = {provider for provider, _ in unreported.keys() - self._drop_stocks}
        self._set_parts = {
            uuid: values
            for uuid, values in found.parts.items()
            if uuid not in self._strangers and not _same(parts.get(uuid), values)
        }
        gone = parts.keys() - found.parts.keys()
        self._drop_parts = gone - held
        there = (found.parts.keys() - self._strangers) | (gone & held) | {found.node_uuid}
        self._set_parts.update(
            (uuid, {"parent_uuid": found.node_uuid}) for uuid in gone & held if parts[uuid]["parent_uuid"] not in there
        )
        self.any = bool(
            self._set_stocks or self._drop_stocks or self._empty_stocks or self._set_parts or self._drop_parts
        )

    def write(self, connection: sa.Connection) -> None:
        node = self._found.node_uuid
        for uuid, values in sorted(self._set_parts.items()):
            _put(connection, providers, providers.c.uuid == uuid, values, {"uuid": uuid, "node_uuid": node})
        for key in sorted(self._set_stocks.keys() | self._drop_stocks | self._empty_stocks):
            if key in self._set_stocks:
                identity = {"provider_uuid": key[0], "resource_class": key[1]}
                _put(connection, inventories, _is(key), self._set_stocks[key], {**identity, "used": 0})
            else:
                self._drop(connection, key)
        for uuid in sorted(self._drop_parts):
            has_stock = sa.exists().where(inventories.c.provider_uuid == uuid)
            connection.execute(sa.delete(providers).where(providers.c.uuid == uuid, ~has_stock))

    def _drop(self, connection: sa.Connection, key: Key) -> None:
        # Whoever claims at this moment decides: the condition is looked at with the row's lock.
        if connection.execute(sa.delete(inventories).where(_is(key), inventories.c.used == 0)).rowcount:
            return
        if connection.execute(sa.update(inventories).where(_is(key)).values(_NOTHING)).rowcount:
            LOG.warning("Provider %s of node %s has no longer the %s that is claimed of it", key[0],
                        self._found.node_uuid, key[1])  # fmt: skip


def _strangers(connection: sa.Connection, found: Reported, parts: Mapping[str, Any]) -> set[str]:
    """Return the reported parts that are another node's."""
    new = found.parts.keys() - parts.keys()
    if not new:
        return set()
    query = sa.select(providers.c.uuid, providers.c.node_uuid).where(providers.c.uuid.in_(sorted(new)))
    others = {row.uuid: row.node_uuid for row in connection.execute(query) if row.node_uuid != found.node_uuid}
    for uuid, node in others.items():
        LOG.warning("Node %s reports part %s, which is node %s's; it is left out", found.node_uuid, uuid, node)
    return set(others)


def _same(row: sa.RowMapping | None, values: Mapping[str, Any]) -> bool:
    return row is not None and all(row[name] == value for name, value in values.items())


def _is(key: Key) -> sa.ColumnElement[bool]:
    return sa.and_(inventories.c.provider_uuid == key[0], inventories.c.resource_class == key[1])


def _put(
    connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool], values: Mapping[str, Any],
    identity: Mapping[str, Any],
) -> None:  # fmt: skip
    if connection.execute(sa.update(table).where(where).values(values)).rowcount == 0:
        connection.execute(sa.insert(table).values({**identity, **values}))
