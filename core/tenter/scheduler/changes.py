"""Changing the rows of a host table without making it anew.

A table is never written to: who decides by one keeps it as it was. A change copies the columns that it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tenter.contracts.scheduling import Aggregate, ImageUse
from tenter.contracts.table import Coded, HostTable, ResourceColumns
from tenter.scheduler import images as image_columns
from tenter.scheduler.rows import Codes, Rows, codebook, hypervisor_of, in_order, parts_of, resources_of, zone_of
from tenter.scheduler.table import NOTHING, altered, resource_columns
from tenter.store.host_feed import HostRecord

if TYPE_CHECKING:
    from tenter.contracts.table import BoolArray

CODED = ("cell", "zone", "disabled_reason", "traits", "aggregates", "hypervisor")
PLAIN = ("enabled", "up", "failed_builds", "instances", "io_ops", "key")
OWN = ("service", "forced_down", "last_seen")


def kept(rows: Rows, keep: BoolArray) -> Rows:
    """Return only the rows that ``keep`` names."""
    places = np.flatnonzero(keep)
    table = rows.table.take(places)
    own: dict[str, Any] = {name: getattr(rows, name)[places] for name in OWN}
    order, halves = in_order(table.key[:, 0])
    return replace(rows, table=table, own_zone=rows.own_zone.take(places), order=order, halves=halves, **own)


def recoded(rows: Rows) -> Rows:
    """Return the rows with codes of their own, which have no values but theirs."""
    codes = codebook()

    def anew(name: str, column: Coded[Any]) -> Coded[Any]:
        used, places = np.unique(column.codes, return_inverse=True)
        numbers = np.array([codes[name].code(column.values[code]) for code in used.tolist()], np.int32)
        return Coded(numbers[places], codes[name].values)

    changed: dict[str, Any] = {name: anew(name, getattr(rows.table, name)) for name in CODED}
    if (images := rows.table.images) is not None:
        of_images = anew("images", Coded(images.codes, images.values))
        changed["images"] = replace(images, codes=of_images.codes, values=of_images.values)
    return replace(rows, table=altered(rows.table, **changed), own_zone=anew("own_zone", rows.own_zone), codes=codes)


def joined(first: Rows, second: Rows) -> Rows:
    """Return all rows of both, those of ``second`` after those of ``first``."""
    a, b = first.table, second.table
    coded: dict[str, Any] = {name: _joined(first.codes[name], getattr(a, name), getattr(b, name)) for name in CODED}
    plain: dict[str, Any] = {name: np.concatenate((getattr(a, name), getattr(b, name))) for name in PLAIN}
    table = HostTable(
        host=[*a.host, *b.host],
        node=[*a.node, *b.node],
        host_ip=[*a.host_ip, *b.host_ip],
        resources={name: _joined_resources(a, b, name) for name in {**a.resources, **b.resources}},
        metrics={name: _joined_metrics(a, b, name) for name in {**a.metrics, **b.metrics}},
        providers={**a.providers, **{row + len(a): parts for row, parts in b.providers.items()}},
        of_parts={**a.of_parts, **{row + len(a): classes for row, classes in b.of_parts.items()}},
        images=image_columns.joined(first.codes["images"], a.images, b.images, len(a)),
        **coded,
        **plain,
    )
    own: dict[str, Any] = {name: np.concatenate((getattr(first, name), getattr(second, name))) for name in OWN}
    own_zone = _joined(first.codes["own_zone"], first.own_zone, second.own_zone)
    order, halves = in_order(table.key[:, 0])
    return Rows(table=table, own_zone=own_zone, order=order, halves=halves, codes=first.codes, **own)


def _joined(codes: Codes, first: Coded[Any], second: Coded[Any]) -> Coded[Any]:
    translated = np.array([codes.code(value) for value in second.values], np.int32)
    return Coded(np.concatenate((first.codes, translated[second.codes])), codes.values)


def _joined_resources(a: HostTable, b: HostTable, name: str) -> ResourceColumns:
    first, second = (
        table.resources.get(name) or resource_columns([NOTHING] * len(table)) for table in (a, b)
    )  # fmt: skip
    return ResourceColumns(
        *(np.concatenate((getattr(first, what), getattr(second, what))) for what in first.__dataclass_fields__)
    )


def _joined_metrics(a: HostTable, b: HostTable, name: str) -> Any:
    return np.concatenate([table.metrics.get(name, np.full(len(table), np.nan)) for table in (a, b)])


class Change:
    """Changes of some rows; columns are copied once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._plain: dict[str, Any] = {}
        self._own: dict[str, Any] = {}
        self._resources: dict[str, dict[str, Any]] = {}
        self._sparse: dict[str, Any] = {}
        self._images: dict[int, Sequence[ImageUse]] = {}

    def row_for(self, record: HostRecord) -> int | None:
        """Return the row that a record can be put into, None if there is none with its names and columns."""
        table = self._rows.table
        shown = {*record.inventories, *(name for part in record.parts for name in part.inventories)}
        row = self._rows.row_of(record.uuid)
        if (
            row is None
            or (table.host[row], table.node[row]) != (record.host, record.hypervisor_hostname)
            or table.host_ip[row] != record.host_ip
            or not (shown <= table.resources.keys() and record.metrics.keys() <= table.metrics.keys())
        ):
            return None
        return row

    def put(self, row: int, record: HostRecord, aggregates: Sequence[Aggregate]) -> None:
        """Write a record into its row."""
        self._set(self._plain, "enabled", row, not record.disabled)
        for name in ("failed_builds", "instances", "io_ops"):
            self._set(self._plain, name, row, getattr(record, name))
        for name in ("forced_down", "last_seen"):
            self._set(self._own, name, row, getattr(record, name), self._rows)
        coded = {
            "zone": zone_of(record.availability_zone, aggregates),
            "disabled_reason": record.disabled_reason,
            "traits": record.traits,
            "aggregates": aggregates,
            "hypervisor": hypervisor_of(record),
        }
        for name, value in coded.items():
            self._set_coded(self._plain, name, row, value, self._rows.table)
        self._set_coded(self._own, "own_zone", row, record.availability_zone, self._rows)
        self._put_resources(row, record)
        self._images[row] = record.images

    def done(self) -> Rows:
        """Return the changed rows."""
        table = self._rows.table
        resources = dict(table.resources)
        for name, changed in self._resources.items():
            if changed:
                resources[name] = altered(resources[name], **changed)
        images = table.images
        if images is not None and self._images:
            images = image_columns.changed(images, self._rows.codes["images"], self._images, len(table))
        changed_table = altered(table, resources=resources, images=images, **self._plain, **self._sparse)
        return altered(self._rows, table=changed_table, **self._own)

    def _put_resources(self, row: int, record: HostRecord) -> None:
        table = self._rows.table
        found, parts = resources_of(record)
        for name, columns in table.resources.items():
            resource = found.get(name, NOTHING)
            changed = self._resources.setdefault(name, {})
            for what in ("used", "total", "reserved", "ratio", "capacity", "step_size", "min_unit", "max_unit"):
                self._set(changed, what, row, getattr(resource, what), columns)
        for name in table.metrics:
            column = table.metrics[name]
            value = record.metrics.get(name, np.nan)
            if not (column[row] == value or (np.isnan(column[row]) and np.isnan(value))):
                metrics: dict[Any, Any] = self._sparse.setdefault("metrics", dict(table.metrics))
                metrics[name] = np.array(metrics[name])
                metrics[name][row] = value
        if record.parts or row in table.providers:
            self._keep("providers", row, parts_of(record))
            self._keep("of_parts", row, parts)

    def _keep(self, name: str, row: int, value: Any) -> None:
        kept = self._sparse.setdefault(name, dict(getattr(self._rows.table, name)))
        if value:
            kept[row] = value
        else:
            kept.pop(row, None)

    def _set(self, changed: dict[str, Any], name: str, row: int, value: Any, of: Any = None) -> None:
        column = changed.get(name)
        if column is None:
            column = getattr(of or self._rows.table, name)
            if column[row] == value:
                return
            column = changed[name] = np.array(column)
        column[row] = value

    def _set_coded(self, changed: dict[str, Any], name: str, row: int, value: Any, of: Any) -> None:
        code = self._rows.codes[name].code(value)
        column = changed.get(name)
        if column is None:
            column = getattr(of, name)
            if column.codes[row] == code:
                return
            column = changed[name] = Coded(column.codes.copy(), column.values)
        column.codes[row] = code
