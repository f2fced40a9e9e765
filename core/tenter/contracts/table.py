"""All hosts at once, as columns: what mask filters and column weighers look at.

Columns are NumPy arrays with a row a host; they are shared and never written to. NumPy is imported by who uses them.
"""

from __future__ import annotations

import functools
import math
import uuid as uuidlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tenter.contracts.scheduling import Aggregate, HostView, Hypervisor, ImageUse, Provider, Resource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.int64]
    FloatArray = NDArray[np.float64]

T = TypeVar("T")

ON_REQUEST = frozenset({"images"})
"""The columns of the host table that are kept only where a filter or a weigher says that it ``needs`` them."""


def __getattr__(name: str) -> Any:
    """Make ``BoolArray``, ``IntArray`` and ``FloatArray`` when somebody imports them: the core does without NumPy."""
    if name not in ("BoolArray", "IntArray", "FloatArray"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import numpy as np
    from numpy.typing import NDArray

    return {"BoolArray": NDArray[np.bool_], "IntArray": NDArray[np.int64], "FloatArray": NDArray[np.float64]}[name]


@dataclass(frozen=True)
class Coded(Generic[T]):
    """A column of few distinct values: row i has ``values[codes[i]]`` (as in a database's dictionary encoding).

    ``codes`` is an array of int32. A rule is asked once for each distinct value, not for each host.
    """

    codes: NDArray[np.int32]
    values: Sequence[T]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> T:
        return self.values[self.codes.item(row)]

    def where(self, rule: Callable[[T], bool]) -> BoolArray:
        """Return, for each row, what the rule says of its value."""
        import numpy as np

        answers = [bool(rule(value)) for value in self.values]
        if len(set(answers)) == 1:
            return np.full(len(self.codes), answers[0])
        return np.array(answers, np.bool_)[self.codes]

    def numbers(self, of: Callable[[T], float]) -> FloatArray:
        """Return, for each row, the number that ``of`` gives for its value."""
        import numpy as np

        return np.fromiter((of(value) for value in self.values), np.float64, len(self.values))[self.codes]

    def take(self, rows: NDArray[Any]) -> Coded[T]:
        """Return the column of some rows."""
        return Coded(self.codes[rows], self.values)


def _common(column: IntArray) -> int | None:
    """Return the value of all rows where it is stored once for all, else None."""
    return int(column[0]) if len(column) and column.strides == (0,) else None


@dataclass(frozen=True)
class ResourceColumns:
    """One resource class of every host, as in :class:`Resource`. ``capacity`` is 0 where a host has none of it."""

    total: IntArray
    used: IntArray
    reserved: IntArray
    ratio: FloatArray
    capacity: IntArray
    step_size: IntArray
    min_unit: IntArray
    max_unit: IntArray

    @functools.cached_property
    def free(self) -> IntArray:
        """What is left of the capacity; below 0 where more is used."""
        found = self.capacity - self.used
        found.setflags(write=False)
        return found

    def takes(self, amount: int) -> BoolArray:
        """Return which hosts one claim of that amount would do on now."""
        room: BoolArray = self.free >= amount
        # Few hosts have limits of their own, and a division by every row's step is dear.
        limits = [_common(column) for column in (self.step_size, self.min_unit, self.max_unit)]
        step, least, most = (limit if limit is not None else 0 for limit in limits)
        if step and least <= amount <= most and amount % step == 0:
            return room
        return room & self.allows(amount)

    def allows(self, amount: int) -> BoolArray:
        """Return on which hosts the amount is one that may be asked at once, whatever is free."""
        return (self.min_unit <= amount) & (amount <= self.max_unit) & (amount % self.step_size == 0)

    def take(self, rows: NDArray[Any]) -> ResourceColumns:
        """Return the columns of some rows."""
        return ResourceColumns(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def at(self, row: int) -> Resource:
        """Return what one host has."""
        # The dataclass's own constructor sets each field through object.__setattr__: twice as long.
        made: Resource = object.__new__(Resource)
        made.__dict__.update(
            total=self.total.item(row), used=self.used.item(row), reserved=self.reserved.item(row),
            ratio=self.ratio.item(row), step_size=self.step_size.item(row), min_unit=self.min_unit.item(row),
            max_unit=self.max_unit.item(row),
        )  # fmt: skip
        return made


@dataclass(frozen=True)
class ImageColumns:
    """What the instances of all hosts were made of: entry i says that the host of row ``rows[i]`` has ``instances[i]``
    of images whose properties are ``values[codes[i]]``. The entries are in no particular order."""

    rows: NDArray[np.int32]
    codes: NDArray[np.int32]
    instances: NDArray[np.int32]
    values: Sequence[Mapping[str, str]]

    def sums(self, of: Callable[[Mapping[str, str]], float], length: int) -> FloatArray:
        """Return, for each row of a table of ``length``, the sum over its instances of what ``of`` gives for their
        images' properties. ``of`` is asked once for each of ``values``."""
        import numpy as np

        numbers = np.fromiter((of(value) for value in self.values), np.float64, len(self.values))
        return np.bincount(self.rows, numbers[self.codes] * self.instances, length).astype(np.float64, copy=False)

    def at(self, row: int) -> tuple[ImageUse, ...]:
        """Return those of one host."""
        entries = (self.rows == row).nonzero()[0].tolist()
        return tuple(ImageUse(self.values[self.codes[each]], int(self.instances[each])) for each in entries)

    def take(self, rows: NDArray[Any], length: int) -> ImageColumns:
        """Return those of some rows of a table of ``length``, numbered anew."""
        import numpy as np

        place = np.full(length, -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        mine = place[self.rows] >= 0
        return ImageColumns(place[self.rows[mine]], self.codes[mine], self.instances[mine], self.values)


class _Names(list[str]):
    """A column of names. The tables that are made of one another share it, so that it is gone through only once."""

    __slots__ = ("_index",)

    def rows(self, names: Iterable[str]) -> list[int]:
        """Return the rows that have one of these names."""
        last, several = self._known()
        found = []
        for name in names:
            if name in several:
                found += several[name]
            elif name in last:
                found.append(last[name])
        return found

    def _known(self) -> tuple[dict[str, int], dict[str, list[int]]]:
        """Return the last row of each name, and all rows of those that have several."""
        index: tuple[dict[str, int], dict[str, list[int]]] | None = getattr(self, "_index", None)
        if index is None:
            last = dict(zip(self, range(len(self)), strict=True))
            several: dict[str, list[int]] = {}
            if len(last) < len(self):
                for row, name in enumerate(self):
                    if name in several or last[name] != row:
                        several.setdefault(name, []).append(row)
            index = self._index = last, several
        return index


@dataclass(frozen=True)
class HostTable:
    """Every live host, a row each, in no particular order; the same fields as :class:`HostView`, as columns.

    ``key`` holds the UUIDs' two halves (n rows of two uint64).
    """

    key: NDArray[np.uint64]
    host: Sequence[str]
    node: Sequence[str]
    cell: Coded[str]
    zone: Coded[str]
    enabled: BoolArray
    up: BoolArray
    disabled_reason: Coded[str | None]
    traits: Coded[frozenset[str]]
    aggregates: Coded[tuple[Aggregate, ...]]
    hypervisor: Coded[Hypervisor]
    host_ip: Sequence[str]
    failed_builds: IntArray
    instances: IntArray
    io_ops: IntArray
    resources: Mapping[str, ResourceColumns]
    metrics: Mapping[str, FloatArray] = field(default_factory=dict)
    """By the metric's name; NaN where a host did not report it."""

    providers: Mapping[int, tuple[Provider, ...]] = field(default_factory=dict)
    """The parts of those hosts that have any, by row."""

    of_parts: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """The classes that ``resources`` shows of a part, for the host itself has them not, by row; most have none."""

    images: ImageColumns | None = None
    """None if the scheduler does not keep account of it."""

    def __post_init__(self) -> None:
        for name in ("host", "node"):
            names = getattr(self, name)
            if not isinstance(names, _Names):
                object.__setattr__(self, name, _Names(names))

    def __len__(self) -> int:
        return len(self.enabled)

    def uuid(self, row: int) -> str:
        """Return the UUID of a host's own provider."""
        high, low = self.key[row]
        return str(uuidlib.UUID(int=int(high) << 64 | int(low)))

    def having(self, resource_class: str) -> ResourceColumns | None:
        """Return the columns of a resource class; None if no host has it."""
        return self.resources.get(resource_class)

    def every(self, value: bool) -> BoolArray:
        """Return an array of the table's length with one value."""
        import numpy as np

        return np.full(len(self), value, np.bool_)

    def among(self, hosts: Collection[str]) -> BoolArray:
        """Return which hosts' names are in ``hosts``. Takes longer the more those are, not the more hosts there are."""
        return self._in(cast("_Names", self.host), hosts)

    def among_nodes(self, nodes: Collection[str]) -> BoolArray:
        """Return which hosts' nodes have one of these names."""
        return self._in(cast("_Names", self.node), nodes)

    def _in(self, column: _Names, names: Collection[str]) -> BoolArray:
        found = self.every(False)
        if names:
            found[column.rows(names)] = True
        return found

    def by_host(self, numbers: Mapping[str, int]) -> IntArray:
        """Return, for each row, the number that its host's name has in ``numbers``; 0 if it is not there."""
        import numpy as np

        found, names = np.zeros(len(self), np.int64), cast("_Names", self.host)
        for host, number in numbers.items():
            found[names.rows((host,))] = number
        return found

    def view(self, row: int) -> HostView:
        """Return one host; what it shows is looked up when it is read."""
        return _RowView(self, row)

    def take(self, rows: NDArray[Any]) -> HostTable:
        """Return a table of some rows, in their order."""
        place = {int(row): number for number, row in enumerate(rows)} if self.providers or self.of_parts else {}
        return replace(
            self,
            key=self.key[rows],
            host=[self.host[row] for row in rows],
            node=[self.node[row] for row in rows],
            host_ip=[self.host_ip[row] for row in rows],
            resources={name: columns.take(rows) for name, columns in self.resources.items()},
            metrics={name: column[rows] for name, column in self.metrics.items()},
            providers={place[row]: parts for row, parts in self.providers.items() if row in place},
            of_parts={place[row]: classes for row, classes in self.of_parts.items() if row in place},
            images=self.images and self.images.take(rows, len(self)),
            **{name: getattr(self, name).take(rows) for name in _CODED},
            **{name: getattr(self, name)[rows] for name in _PLAIN},
        )


_CODED = ("cell", "zone", "disabled_reason", "traits", "aggregates", "hypervisor")
_PLAIN = ("enabled", "up", "failed_builds", "instances", "io_ops")


class _Resources(Mapping[str, Resource]):
    """The resources of one host, each looked up when it is read: most rules read one."""

    __slots__ = ("_classes", "_row")

    def __init__(self, classes: Mapping[str, ResourceColumns], row: int) -> None:
        self._classes, self._row = classes, row

    def __getitem__(self, name: str) -> Resource:
        resource = self._classes[name].at(self._row)
        if resource.total or resource.used:
            return resource
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        row = self._row
        return (name for name, of in self._classes.items() if of.total.item(row) or of.used.item(row))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


class _RowView(HostView):
    """A row of a table as a host. Making one costs next to nothing, for a rule for one host is asked with many."""

    __slots__ = ("_row", "_table")

    def __init__(self, table: HostTable, row: int) -> None:
        # Twice as fast as through the dataclass's own __setattr__, or the dictionary that the view then needs not.
        _set_table(self, table)
        _set_row(self, row)

    def _metrics(self) -> Mapping[str, float]:
        found = {name: column.item(self._row) for name, column in self._table.metrics.items()}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    if TYPE_CHECKING:
        _table: HostTable
        _row: int


_set_table, _set_row = _RowView.__dict__["_table"].__set__, _RowView.__dict__["_row"].__set__


def _from_names(name: str) -> property:
    return property(lambda self: getattr(self._table, name)[self._row])


def _from_codes(name: str) -> property:
    def read(self: _RowView) -> Any:
        column: Coded[Any] = getattr(self._table, name)
        return column.values[column.codes.item(self._row)]

    return property(read)


def _from_array(name: str) -> property:
    return property(lambda self: getattr(self._table, name).item(self._row))


for _name in ("host", "node", "host_ip"):
    setattr(_RowView, _name, _from_names(_name))
for _name in _CODED:
    setattr(_RowView, _name, _from_codes(_name))
for _name in _PLAIN:
    setattr(_RowView, _name, _from_array(_name))
for _name, _read in (
    ("provider_uuid", lambda self: self._table.uuid(self._row)),
    ("providers", lambda self: self._table.providers.get(self._row, ())),
    ("of_parts", lambda self: self._table.of_parts.get(self._row, frozenset())),
    ("images", lambda self: self._table.images.at(self._row) if self._table.images else ()),
    ("resources", lambda self: _Resources(self._table.resources, self._row)),
    ("metrics", _RowView._metrics),
):
    setattr(_RowView, _name, property(_read))


@dataclass(frozen=True)
class Condition:
    """One thing that hosts must fulfil. ``ok`` says which do; those that do not are refused with ``code`` and their row
    of each of ``figures``: an array or a :class:`Coded` with a row a host, or one value for all."""

    ok: BoolArray
    code: str
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdicts:
    """A mask filter's answer: conditions, each host is refused by the first that it does not fulfil::

    return Verdicts().also(table.enabled, "host.disabled").also(table.up, "host.down")
    """

    conditions: tuple[Condition, ...] = ()

    def also(self, ok: BoolArray, code: str, **figures: object) -> Verdicts:
        """Return the verdicts with one more condition."""
        return Verdicts((*self.conditions, Condition(ok, code, figures)))


ACCEPT_ALL = Verdicts()
