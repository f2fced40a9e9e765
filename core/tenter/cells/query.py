"""What a list of instances is asked for: conditions, order and page.

A condition has two forms: one in SQL, which may let through more than wanted (``exact`` is then False), and
one on a row as a dict, which decides. Rows that are not in a cell yet are only ever judged by the second form.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa

from tenter import errors
from tenter.store.cell_schema import instances

Row = Mapping[str, Any]

MAX_PATTERN = 255
_MAX_REPEATS = 5
_REPEAT = re.compile(r"(?<!\\)(?:[*+]|\{\d*,?\d*\})")
_REPEATED_GROUP = re.compile(r"(?:[*+}|][^()]*)\)(?:[*+]|\{)")
_LITERAL = re.compile(r"[^\\^$.|?*+()\[\]{}]*")


class Condition(abc.ABC):
    """One thing a row must fulfil."""

    exact = True
    """Whether the SQL form alone decides."""

    columns: tuple[str, ...] = ()
    """Columns that the second form reads."""

    @abc.abstractmethod
    def sql(self) -> sa.ColumnElement[bool] | None:
        """Return the condition on the table ``instances``; None if SQL cannot narrow it down."""

    @abc.abstractmethod
    def matches(self, row: Row) -> bool:
        """Return whether the row fulfils the condition."""


class Equals(Condition):
    """A column is one of some values."""

    def __init__(self, column: str, values: Sequence[Any]) -> None:
        self.columns = (column,)
        self._values = list(values)

    def sql(self) -> sa.ColumnElement[bool]:
        return instances.c[self.columns[0]].in_(self._values)

    def matches(self, row: Row) -> bool:
        return row[self.columns[0]] in self._values


class Between(Condition):
    """A column's number is in a closed range; either end may be open (None)."""

    def __init__(self, column: str, low: float | None = None, high: float | None = None) -> None:
        self.columns = (column,)
        self._low, self._high = low, high

    def sql(self) -> sa.ColumnElement[bool]:
        column = instances.c[self.columns[0]]
        bounds = []
        if self._low is not None:
            bounds.append(column >= self._low)
        if self._high is not None:
            bounds.append(column <= self._high)
        return sa.and_(sa.true(), *bounds)

    def matches(self, row: Row) -> bool:
        value = row[self.columns[0]]
        if value is None:
            return False
        return (self._low is None or value >= self._low) and (self._high is None or value <= self._high)


@dataclass(frozen=True)
class StateSet:
    """Instances of one ``vm_state`` whose task state is in ``tasks``, or, if ``inverted``, is not."""

    vm_state: str
    tasks: frozenset[str | None]
    inverted: bool = False


class InStates(Condition):
    """The states of a row are in one of some sets."""

    columns = ("vm_state", "task_state")

    def __init__(self, sets: Sequence[StateSet]) -> None:
        self._sets = list(sets)

    def sql(self) -> sa.ColumnElement[bool]:
        return sa.or_(sa.false(), *(self._one(states) for states in self._sets))

    @staticmethod
    def _one(states: StateSet) -> sa.ColumnElement[bool]:
        same = instances.c.vm_state == states.vm_state
        column = instances.c.task_state
        listed: sa.ColumnElement[bool] = column.in_(sorted(task for task in states.tasks if task is not None))
        if None in states.tasks:
            listed = sa.or_(listed, column.is_(None))
            return sa.and_(same, sa.not_(listed) if states.inverted else listed)
        return sa.and_(same, sa.or_(column.is_(None), sa.not_(listed)) if states.inverted else listed)

    def matches(self, row: Row) -> bool:
        vm_state, task = row["vm_state"], row["task_state"]
        return any(
            vm_state == states.vm_state and (task in states.tasks) != states.inverted for states in self._sets
        )


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a user's regular expression, ready to run on names and addresses.

    Raises Invalid if it is none, longer than 255 characters, or of a form that may take exponential time.
    """
    if len(pattern) > MAX_PATTERN:
        raise errors.Invalid(f"A regular expression may have at most {MAX_PATTERN} characters.")
    if _REPEATED_GROUP.search(pattern) or len(_REPEAT.findall(pattern)) > _MAX_REPEATS:
        raise errors.Invalid("The regular expression repeats too much to be matched in bounded time.")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise errors.Invalid(f"{pattern!r} is not a regular expression: {exc}") from exc


class Matches(Condition):
    """A column, as text, holds a match of a regular expression. ``show`` makes the text of a value."""

    exact = False

    def __init__(self, column: str, pattern: str, show: Callable[[Any], str] = str) -> None:
        self.columns = (column,)
        self._pattern = pattern
        self._search = compiled(pattern).search
        self._show = show

    def sql(self) -> sa.ColumnElement[bool] | None:
        column = instances.c[self.columns[0]]
        if not isinstance(column.type, sa.String):
            return None
        anchored = self._pattern.startswith("^")
        body = self._pattern[anchored:]
        found = _LITERAL.match(body)
        literal = found.group() if found else ""
        if literal != body:
            if "|" in body:
                return None
            if body[len(literal) : len(literal) + 1] in ("?", "*", "{"):
                literal = literal[:-1]
        if not literal:
            return None
        return (
            column.startswith(literal, autoescape=True)
            if anchored
            else column.contains(literal, autoescape=True)
        )

    def matches(self, row: Row) -> bool:
        value = row[self.columns[0]]
        return value is not None and self._search(self._show(value)) is not None


class HasFlavor(Condition):
    """The instance was made from the flavor with this public id."""

    exact = False
    columns = ("flavor",)

    def __init__(self, flavorid: str) -> None:
        self._flavorid = flavorid

    def sql(self) -> sa.ColumnElement[bool]:
        return _json_contains("flavor", b'"flavorid":' + orjson.dumps(self._flavorid))

    def matches(self, row: Row) -> bool:
        return bool(row["flavor"].get("flavorid") == self._flavorid)


class HasTags(Condition):
    """The instance has all (or any) of some tags, or, if ``inverted``, has not."""

    exact = False
    columns = ("tags",)

    def __init__(self, tags: Sequence[str], any_of: bool = False, inverted: bool = False) -> None:
        self._tags = set(tags)
        self._any, self._inverted = any_of, inverted

    def sql(self) -> sa.ColumnElement[bool] | None:
        if self._inverted or self._any:
            return None
        return sa.and_(sa.true(), *(_json_contains("tags", orjson.dumps(tag)) for tag in self._tags))

    def matches(self, row: Row) -> bool:
        has = row["tags"]
        found = not self._tags.isdisjoint(has) if self._any else self._tags.issubset(has)
        return found != self._inverted


class HasAddress(Condition):
    """The instance has an address of one IP version that begins with a match of a regular expression."""

    exact = False
    columns = ("network_info",)

    def __init__(self, pattern: str, version: int) -> None:
        self._match = compiled(pattern).match
        self._version = version

    def sql(self) -> None:
        return None

    def matches(self, row: Row) -> bool:
        return any(
            fixed["version"] == self._version and self._match(fixed["address"])
            for vif in row["network_info"]
            for fixed in vif["fixed_ips"]
        )


class Nothing(Condition):
    """No row: what was asked for cannot be."""

    def sql(self) -> sa.ColumnElement[bool]:
        return sa.false()

    def matches(self, row: Row) -> bool:
        return False


def _json_contains(column: str, fragment: bytes) -> sa.ColumnElement[bool]:
    return sa.type_coerce(instances.c[column], sa.Text()).contains(fragment.decode(), autoescape=True)


@dataclass(frozen=True)
class Sort:
    """One column to sort by."""

    column: str
    descending: bool = True


DEFAULT_SORT = (Sort("created_at"),)


@dataclass(frozen=True)
class ServerQuery:
    """A page of a list: at most ``limit`` rows of ``columns`` that follow the row named ``marker``.

    ``project_id`` None means every project's. Rows are ordered by ``sort`` and then by UUID.
    """

    columns: tuple[str, ...]
    limit: int
    project_id: str | None = None
    conditions: Sequence[Condition] = ()
    marker: str | None = None
    sort: tuple[Sort, ...] = field(default=DEFAULT_SORT)
    partial: bool = False
    """Whether instances of cells that do not answer are shown with the little that is known of them. Only possible in
    the default order, from its beginning and without conditions, for there is nothing to sort or judge them by."""

    @property
    def order(self) -> tuple[Sort, ...]:
        """Return the sort columns, made unambiguous by the UUID."""
        if any(sort.column == "uuid" for sort in self.sort):
            return self.sort
        return (*self.sort, Sort("uuid", self.sort[-1].descending if self.sort else True))

    @property
    def needed(self) -> tuple[str, ...]:
        """Return the columns to read: shown, sorted by, or judged by conditions that SQL cannot decide."""
        names = dict.fromkeys(("uuid", *self.columns, *(sort.column for sort in self.order)))
        for condition in self.conditions:
            if not condition.exact:
                names.update(dict.fromkeys(condition.columns))
        return tuple(names)

    def matches(self, row: Row) -> bool:
        """Return whether a complete row fulfils all conditions and is of the project."""
        if self.project_id is not None and row["project_id"] != self.project_id:
            return False
        return all(condition.matches(row) for condition in self.conditions)
