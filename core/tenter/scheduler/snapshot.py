"""Host tables as bytes: whole, and as a difference to one that is kept.

Tables share the columns that did not change, so that most of them are told apart by identity.
"""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tenter.contracts.scheduling import Aggregate, Hypervisor, Provider, Resource
from tenter.contracts.table import Coded, HostTable, ImageColumns, ResourceColumns
from tenter.scheduler.packing import Packer, Unpacked, Unreadable, dumps, understood

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAMES = ("host", "node", "host_ip")
_PLAIN = ("enabled", "up", "failed_builds", "instances", "io_ops")
_CODED = ("cell", "zone", "disabled_reason", "traits", "aggregates", "hypervisor")
_OF_IMAGES = ("rows", "codes", "instances")
_OF_CLASS = tuple(ResourceColumns.__dataclass_fields__)
_KINDS: dict[str, Any] = {"enabled": np.bool_, "up": np.bool_, "ratio": np.float64}


def _aggregates(found: Sequence[Mapping[str, Any]]) -> tuple[Aggregate, ...]:
    return tuple(Aggregate(**one) for one in found)


_FROM_JSON: dict[str, Any] = {
    "traits": frozenset, "aggregates": _aggregates, "hypervisor": lambda found: Hypervisor(**found)
}  # fmt: skip


def whole(table: HostTable) -> bytes:
    """Return all of a table."""
    packer = Packer()
    head: dict[str, Any] = {"hosts": len(table), "key": packer.raw(table.key, "<u8")}
    head["host"] = list(table.host)
    head |= {name: [*getattr(table, name)] for name in _NAMES[1:] if getattr(table, name) != table.host}
    head["plain"] = {name: packer.numbers(getattr(table, name)) for name in _PLAIN}
    coded: dict[str, Coded[Any]] = {name: getattr(table, name) for name in _CODED}
    head["coded"] = {name: [packer.numbers(column.codes), [*column.values]] for name, column in coded.items()}
    head["resources"] = {
        name: {of: packer.numbers(getattr(columns, of)) for of in _OF_CLASS}
        for name, columns in table.resources.items()
    }
    head["metrics"] = {name: packer.numbers(column) for name, column in table.metrics.items()}
    head["providers"], head["of_parts"] = table.providers, table.of_parts
    if table.images is not None:
        head["images"] = [*(packer.numbers(getattr(table.images, of)) for of in _OF_IMAGES), [*table.images.values]]
    return packer.packed(head)


def keys_only(table: HostTable) -> bytes:
    """Return only which hosts there are, by the UUIDs of their nodes."""
    packer = Packer()
    return packer.packed({"hosts": len(table), "key": packer.raw(table.key, "<u8")})


class Snapshot:
    """A recorded table. Raises Unreadable."""

    def __init__(self, packed: bytes) -> None:
        self._read = Unpacked(packed)
        with understood():
            self.whole = "plain" in self._read.head
            """Whether more than the UUIDs of its hosts was kept."""

            self._key = self._read.numbers(self._read.head["key"], np.uint64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._key)

    def uuid(self, row: int) -> str:
        """Return the UUID of a host's node."""
        high, low = self._key[row]
        return str(uuidlib.UUID(int=int(high) << 64 | int(low)))

    def host(self, row: int) -> str:
        """Return a host's name; if it is not known, the UUID of its node."""
        return str(self._read.head["host"][row]) if self.whole else self.uuid(row)

    def table(self) -> HostTable:
        """Return the table. Raises Unreadable if it is not whole."""
        if not self.whole:
            raise Unreadable("The record is not whole: the process that made it ended before the host table was kept.")
        with understood():
            return self._table()

    def _table(self) -> HostTable:
        head, numbers = self._read.head, self._read.numbers
        plain: dict[str, Any] = {name: numbers(head["plain"][name], _KINDS.get(name, np.int64)) for name in _PLAIN}
        coded: dict[str, Any] = {name: self._coded(name, *head["coded"][name]) for name in _CODED}
        resources = {
            name: ResourceColumns(**{of: numbers(columns[of], _KINDS.get(of, np.int64)) for of in _OF_CLASS})
            for name, columns in head["resources"].items()
        }
        return HostTable(
            key=self._key,
            **{name: head.get(name, head["host"]) for name in _NAMES},
            **plain, **coded,
            resources=resources,
            metrics={name: numbers(column, np.float64) for name, column in head["metrics"].items()},
            providers={int(row): _parts(parts) for row, parts in head["providers"].items()},
            of_parts={int(row): frozenset(classes) for row, classes in head["of_parts"].items()},
            images=self._images(*head["images"]) if "images" in head else None,
        )  # fmt: skip

    def _images(self, *kept: list[Any]) -> ImageColumns:
        rows, codes, instances = (self._read.numbers(one, np.int32) for one in kept[:3])
        return ImageColumns(rows, codes, instances, kept[3])

    def _coded(self, name: str, codes: list[Any], values: list[Any]) -> Coded[Any]:
        make = _FROM_JSON.get(name)
        return Coded(self._read.numbers(codes, np.int32), [make(value) for value in values] if make else values)


def _parts(parts: Sequence[Mapping[str, Any]]) -> tuple[Provider, ...]:
    return tuple(_part(**part) for part in parts)


def _part(resources: Mapping[str, Any], traits: Sequence[str], **values: Any) -> Provider:
    found = {name: Resource(**resource) for name, resource in resources.items()}
    return Provider(resources=found, traits=frozenset(traits), **values)


class Base:
    """A table that is kept, for others to be written as a difference to."""

    def __init__(self, uuid: str, table: HostTable, made_at: float) -> None:
        self.uuid, self.table, self.made_at = uuid, table, made_at
        self.most = max(64, len(table) // 20)
        """In how many rows a column of another table may differ."""

        # A list of values may grow behind our back; what is kept are these.
        self._values = {name: tuple(getattr(table, name).values) for name in _CODED}
        if table.images is not None:
            self._values["images"] = tuple(table.images.values)
        self._known: dict[str, tuple[dict[int, int], dict[bytes, int]]] = {}

    def difference(self, table: HostTable, packer: Packer) -> dict[str, Any] | None:
        """Return what stands for the table beside this one; None if too much differs."""
        if table is self.table:
            return {}
        if not self._same_hosts(table):
            return None
        run = _Difference(self, table, packer)
        return run.changes if run.look() else None

    def _same_hosts(self, table: HostTable) -> bool:
        mine = self.table
        return (
            len(mine) == len(table)
            and (mine.key is table.key or np.array_equal(mine.key, table.key))
            and all((one := getattr(mine, name)) is (other := getattr(table, name)) or one == other for name in _NAMES)
            and mine.resources.keys() == table.resources.keys()
            and mine.metrics.keys() == table.metrics.keys()
            and (mine.images is None) == (table.images is None)
        )

    def codes(self, name: str, column: Coded[Any]) -> tuple[NDArray[np.int32], list[Any]]:
        """Return a column's codes as those of this table's values, which some others follow."""
        mine = self._values[name]
        if len(mine) == len(column.values) and (
            column.values is getattr(self.table, name).values or mine == tuple(column.values)
        ):
            return column.codes, []
        by_id, by_text = self._lookup(name)
        more: list[Any] = []
        places = np.empty(len(column.values), np.int32)
        for number, value in enumerate(column.values):
            place = by_id.get(id(value))
            if place is None:
                place = by_text.get(dumps(value))
            if place is None:
                place = len(mine) + len(more)
                more.append(value)
            places[number] = place
        return (places[column.codes] if len(places) else column.codes), more

    def _lookup(self, name: str) -> tuple[dict[int, int], dict[bytes, int]]:
        if name not in self._known:
            mine = self._values[name]
            self._known[name] = (
                {id(value): place for place, value in enumerate(mine)},
                {dumps(value): place for place, value in enumerate(mine)},
            )
        return self._known[name]


class _Difference:
    """Looks for what differs, column by column."""

    def __init__(self, base: Base, table: HostTable, packer: Packer) -> None:
        self._base, self._table, self._packer = base, table, packer
        self.changes: dict[str, Any] = {}
        self._last: tuple[NDArray[Any], list[Any]] | None = None

    def look(self) -> bool:
        """Fill ``changes``; return False if too much differs."""
        mine, table = self._base.table, self._table
        return (
            self._columns("", _PLAIN, mine, table)
            and self._all_coded(mine, table)
            and all(
                self._columns(f"resources.{name}.", _OF_CLASS, columns, other)
                for name, columns in mine.resources.items()
                if (other := table.resources[name]) is not columns
            )
            and all(
                self._numbers(f"metrics.{name}", column, measured)
                for name, column in mine.metrics.items()
                if (measured := table.metrics[name]) is not column
            )
            and self._mapping("providers", mine.providers, table.providers)
            and self._mapping("of_parts", mine.of_parts, table.of_parts)
            and self._images(mine.images, table.images)
        )

    # Most columns are the same object: nothing is to be called for those.

    def _columns(self, prefix: str, names: Sequence[str], mine: object, other: object) -> bool:
        for name in names:
            one, two = getattr(mine, name), getattr(other, name)
            if one is not two and not self._numbers(prefix + name, one, two):
                return False
        return True

    def _all_coded(self, mine: HostTable, other: HostTable) -> bool:
        for name in _CODED:
            one, two = getattr(mine, name), getattr(other, name)
            if one is not two and not self._coded(name, one, two):
                return False
        return True

    def _numbers(self, name: str, mine: NDArray[Any], other: NDArray[Any]) -> bool:
        differs = mine != other
        if mine.dtype.kind == "f":
            differs &= ~(np.isnan(mine) & np.isnan(other))
        return self._changed(name, differs.nonzero()[0], other)

    def _coded(self, name: str, mine: Coded[Any], other: Coded[Any]) -> bool:
        codes, more = self._base.codes(name, other)
        if mine.codes is codes:
            return True
        rows = np.flatnonzero(mine.codes != codes)
        return self._changed(name, rows, codes, more)

    def _images(self, mine: ImageColumns | None, other: ImageColumns | None) -> bool:
        """Entries that differ, and those that are more; both kinds stand in no particular order."""
        if mine is other or mine is None or other is None:
            return True
        codes, more = self._base.codes("images", Coded(other.codes, other.values))
        shared = min(len(mine.rows), len(other.rows))
        pairs = ((mine.rows, other.rows), (mine.codes, codes), (mine.instances, other.instances))
        differs = np.zeros(len(other.rows), np.bool_)
        differs[shared:] = True
        for one, two in pairs:
            differs[:shared] |= one[:shared] != two[:shared]
        at = np.flatnonzero(differs)
        if len(at) > self._base.most:
            return False
        if len(at) or len(mine.rows) != len(other.rows):
            numbers = [self._packer.numbers(two[at]) for _, two in pairs]
            self.changes["images"] = [len(other.rows), self._packer.rows(at, len(other.rows)), *numbers, more]
        return True

    def _changed(self, name: str, rows: NDArray[Any], column: NDArray[Any], more: Sequence[Any] = ()) -> bool:
        if len(rows) > self._base.most:
            return False
        if len(rows):
            self.changes[name] = [self._rows(rows), self._packer.numbers(column[rows]), *([more] if more else ())]
        return True

    def _rows(self, rows: NDArray[Any]) -> list[Any]:
        # A claim changes several columns of the same rows.
        if self._last is None or len(self._last[0]) != len(rows) or (self._last[0] != rows).any():
            self._last = rows, self._packer.rows(rows, len(self._table))
        return self._last[1]

    def _mapping(self, name: str, mine: Mapping[int, Any], other: Mapping[int, Any]) -> bool:
        if mine is other:
            return True
        changed = {row: value for row, value in other.items() if (old := mine.get(row)) is not value and old != value}
        gone = [row for row in mine if row not in other]
        if len(changed) + len(gone) > self._base.most:
            return False
        if changed or gone:
            self.changes[name] = [changed, gone]
        return True


def changed(table: HostTable, changes: Mapping[str, Any], read: Unpacked) -> HostTable:
    """Return a table with a difference put in. Raises Unreadable."""
    with understood():
        resources, metrics = dict(table.resources), dict(table.metrics)
        values: dict[str, Any] = {"resources": resources, "metrics": metrics}
        for name, change in changes.items():
            kind, _, of = name.partition(".")
            if kind == "resources":
                of_class, _, column = of.rpartition(".")
                old = resources[of_class]
                resources[of_class] = replace(old, **{column: _put(getattr(old, column), change, read)})
            elif kind == "metrics":
                metrics[of] = _put(metrics[of], change, read)
            elif kind in _CODED:
                values[name] = _put_coded(name, getattr(table, name), change, read)
            elif kind == "images":
                values[name] = _put_images(table.images, change, read)
            elif kind in _PLAIN:
                values[name] = _put(getattr(table, name), change, read)
            else:
                make: Any = _parts if name == "providers" else frozenset
                new, gone = change
                kept = {row: value for row, value in getattr(table, name).items() if row not in gone}
                values[name] = kept | {int(row): make(value) for row, value in new.items()}
        return replace(table, **values)


def _put(column: NDArray[Any], change: Sequence[Any], read: Unpacked) -> NDArray[Any]:
    found = column.copy()
    found[read.rows(change[0])] = read.numbers(change[1], column.dtype)
    return found


def _put_coded(name: str, column: Coded[Any], change: Sequence[Any], read: Unpacked) -> Coded[Any]:
    make = _FROM_JSON.get(name)
    more = change[2] if len(change) > 2 else []
    return Coded(
        _put(column.codes, change, read), [*column.values, *(make(value) if make else value for value in more)]
    )


def _put_images(images: Any, change: Sequence[Any], read: Unpacked) -> ImageColumns:
    length, at, *numbers, more = change
    columns = []
    for of, kept in zip(_OF_IMAGES, numbers, strict=True):
        column = np.zeros(length, np.int32)
        old = getattr(images, of)[:length]
        column[: len(old)] = old
        column[read.rows(at)] = read.numbers(kept, np.int32)
        columns.append(column)
    rows, codes, instances = columns
    return ImageColumns(rows, codes, instances, [*images.values, *more])
