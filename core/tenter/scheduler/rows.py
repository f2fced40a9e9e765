"""The host table made of what the store says of each node."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from tenter.contracts.scheduling import Aggregate, Hypervisor, Provider, Resource
from tenter.contracts.table import Coded, HostTable, ImageColumns, ResourceColumns
from tenter.scheduler import images as image_columns
from tenter.scheduler.table import NOTHING, altered, key_of, resource_columns
from tenter.store.host_feed import HostRecord, Stock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tenter.contracts.table import BoolArray, FloatArray, IntArray

Aggregates = Mapping[str, tuple[Aggregate, ...]]
"""The aggregates of each host that is in any, by its name."""

ZONE = "availability_zone"
"""Metadata key by which an aggregate puts its hosts into a zone."""


def zone_of(record_zone: str, aggregates: Sequence[Aggregate]) -> str:
    """Return the zone of a host: what one of its aggregates says, else its own."""
    return next((one.metadata[ZONE] for one in aggregates if ZONE in one.metadata), record_zone)


@dataclass
class Codes:
    """The codes of a column's values; they only grow, so that those of older tables stay good. Where a column is made
    anew, so are they: else what no host has any more would be kept, and gone through, for ever."""

    key: Callable[[Any], Hashable]
    values: list[Any] = field(default_factory=list)
    _codes: dict[Hashable, int] = field(default_factory=dict)

    def code(self, value: Any) -> int:
        """Return the code of a value."""
        key = self.key(value)
        found = self._codes.get(key)
        if found is None:
            found = self._codes[key] = len(self.values)
            self.values.append(value)
        return found

    def column(self, values: Iterable[Any]) -> Coded[Any]:
        """Return a column of these values."""
        return Coded(np.fromiter(map(self.code, values), np.int32), self.values)


def _itself(value: Hashable) -> Hashable:
    return value


def codebook() -> dict[str, Codes]:
    """Return codes for each column, which have no values yet."""
    plain = ("cell", "own_zone", "zone", "disabled_reason", "traits")
    keys: dict[str, Callable[[Any], Hashable]] = {
        "aggregates": repr,
        "hypervisor": _hypervisor_key,
        "images": _properties_key,
    }
    return {**{name: Codes(_itself) for name in plain}, **{name: Codes(key) for name, key in keys.items()}}


def _hypervisor_key(value: Hypervisor) -> Hashable:
    return value.type, value.version, orjson.dumps(value.capabilities, option=orjson.OPT_SORT_KEYS)


def _properties_key(value: Mapping[str, str]) -> Hashable:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True)
class Rows:
    """A table and what it is kept current by: each row's own zone, its service, and that one's signs of life."""

    table: HostTable
    own_zone: Coded[str]
    service: NDArray[np.uint64]
    """The first half of the service's UUID (as uint64)."""

    forced_down: BoolArray
    last_seen: FloatArray
    order: IntArray
    """Rows in the order of ``table.key``'s first halves, for finding one by its UUID."""

    halves: NDArray[np.uint64]
    """These first halves, in that order."""

    codes: dict[str, Codes]

    def at(self, alive_since: float) -> HostTable:
        """Return the table in which those hosts are up that gave a sign of life at that time or later."""
        return altered(self.table, up=~self.forced_down & (self.last_seen >= alive_since))

    def heard(self, signs: Sequence[tuple[str, float]]) -> Rows:
        """Return the rows with the last signs of life of some services, by their UUIDs."""
        by_service, halves = in_order(self.service)
        asked = np.fromiter((int(uuid[:18].replace("-", ""), 16) for uuid, _ in signs), np.uint64, len(signs))
        seen = np.array([at for _, at in signs])
        first, last = np.searchsorted(halves, asked, "left"), np.searchsorted(halves, asked, "right")
        last_seen = self.last_seen.copy()
        single = last - first == 1
        last_seen[by_service[first[single]]] = seen[single]
        for place in np.flatnonzero(last - first > 1).tolist():
            last_seen[by_service[first[place] : last[place]]] = seen[place]
        return replace(self, last_seen=last_seen)

    def within(self, aggregates: Aggregates) -> Rows:
        """Return the rows with other aggregates, and the zones that these make."""
        held = [aggregates.get(host, ()) for host in self.table.host]
        zones = [zone_of(self.own_zone[row], of_host) for row, of_host in enumerate(held)]
        codes = {**self.codes, **{name: of for name, of in codebook().items() if name in ("aggregates", "zone")}}
        table = replace(self.table, aggregates=codes["aggregates"].column(held), zone=codes["zone"].column(zones))
        return replace(self, table=table, codes=codes)

    def row_of(self, uuid: str) -> int | None:
        """Return the row of a node, None if it has none."""
        whole = int(uuid.replace("-", ""), 16)
        first, second = whole >> 64, whole & (2**64 - 1)
        place = int(self.halves.searchsorted(np.uint64(first)))
        while place < len(self.halves) and self.halves[place] == first:
            row = int(self.order[place])
            if self.table.key[row, 1] == second:
                return row
            place += 1
        return None


def rows_of(
    cell_uuids: Sequence[str], records: Sequence[HostRecord], aggregates: Aggregates, images: bool = False
) -> Rows:
    """Return the rows of these records, each in the cell at its place of ``cell_uuids``. ``images``: whether what
    instances were made of is kept."""
    codes = codebook()
    held = [aggregates.get(record.host, ()) for record in records]
    shown, of_parts = _shown(records)
    metrics = sorted({name for record in records for name in record.metrics})
    key = key_of(record.uuid for record in records)

    def array(name: str, dtype: Any) -> Any:
        return np.array([getattr(record, name) for record in records], dtype)

    zones = (zone_of(record.availability_zone, of_host) for record, of_host in zip(records, held, strict=True))
    table = HostTable(
        key=key,
        host=[record.host for record in records],
        node=[_once(record.hypervisor_hostname, record.host) for record in records],
        host_ip=[record.host_ip for record in records],
        cell=codes["cell"].column(cell_uuids),
        zone=codes["zone"].column(zones),
        disabled_reason=codes["disabled_reason"].column(record.disabled_reason for record in records),
        traits=codes["traits"].column(record.traits for record in records),
        aggregates=codes["aggregates"].column(held),
        hypervisor=codes["hypervisor"].column(hypervisor_of(record) for record in records),
        enabled=~array("disabled", np.bool_),
        up=np.ones(len(records), np.bool_),
        failed_builds=array("failed_builds", np.int64),
        instances=array("instances", np.int64),
        io_ops=array("io_ops", np.int64),
        resources={name: _lean(resource_columns(each)) for name, each in shown.items()},
        metrics={name: np.array([record.metrics.get(name, np.nan) for record in records]) for name in metrics},
        providers={row: parts_of(record) for row, record in enumerate(records) if record.parts},
        of_parts=of_parts,
        images=_images(codes["images"], records) if images else None,
    )
    return Rows(
        table, codes["own_zone"].column(record.availability_zone for record in records),
        key_of(record.service_uuid for record in records)[:, 0], array("forced_down", np.bool_),
        array("last_seen", np.float64), *in_order(key[:, 0]), codes,
    )  # fmt: skip


def _images(codes: Codes, records: Sequence[HostRecord]) -> ImageColumns:
    return image_columns.columns_of(codes, {row: record.images for row, record in enumerate(records)})


def in_order(halves: NDArray[np.uint64]) -> tuple[IntArray, NDArray[np.uint64]]:
    """Return the rows in the order of the first halves of their UUIDs, and these halves in that order."""
    order: IntArray = np.argsort(halves, kind="stable")
    return order, halves[order]


def _once(text: str, known: str) -> str:
    return known if text == known else text


def hypervisor_of(record: HostRecord) -> Hypervisor:
    """Return what kind of host a node is."""
    return Hypervisor(record.hypervisor_type, record.hypervisor_version, record.cpu_info)


def _resource(stock: Stock) -> Resource:
    return Resource(
        stock.total, stock.used, stock.reserved, stock.ratio, stock.step_size, stock.min_unit, stock.max_unit
    )


def parts_of(record: HostRecord) -> tuple[Provider, ...]:
    """Return the parts of a node."""
    return tuple(
        Provider(
            part.uuid, part.name, part.parent_uuid,
            {name: _resource(stock) for name, stock in part.inventories.items()}, part.traits,
        )
        for part in record.parts
    )  # fmt: skip


def resources_of(record: HostRecord) -> tuple[dict[str, Resource], frozenset[str]]:
    """Return what a row shows of each resource class, and of which classes that is a part's: the one with most free."""
    own = {name: _resource(stock) for name, stock in record.inventories.items()}
    most: dict[str, Resource] = {}
    for part in record.parts:
        for name, stock in part.inventories.items():
            resource = _resource(stock)
            if name not in own and (name not in most or most[name].free < resource.free):
                most[name] = resource
    return {**most, **own}, frozenset(most)


def _shown(records: Sequence[HostRecord]) -> tuple[dict[str, list[Resource]], dict[int, frozenset[str]]]:
    shown: dict[str, list[Resource]] = {}
    of_parts: dict[int, frozenset[str]] = {}
    for row, record in enumerate(records):
        found, parts = resources_of(record)
        for name, resource in found.items():
            column = shown.setdefault(name, [])
            column.extend([NOTHING] * (row - len(column)))
            column.append(resource)
        if parts:
            of_parts[row] = parts
    for column in shown.values():
        column.extend([NOTHING] * (len(records) - len(column)))
    return shown, of_parts


def _lean(columns: ResourceColumns) -> ResourceColumns:
    """Return the columns with those that have one value in all rows stored once."""
    found = {}
    for name in columns.__dataclass_fields__:
        column = getattr(columns, name)
        if len(column) > 1 and (column == column[0]).all():
            found[name] = np.broadcast_to(column[0], column.shape)
    return replace(columns, **found)
