"""Reading decisions that were recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tenter.contracts.scheduling import PlacementRequest, ResourceGroup, ServerGroup
from tenter.contracts.table import Coded, HostTable
from tenter.scheduler.decision import Lost, Scope
from tenter.scheduler.packing import Unpacked, Unreadable, understood
from tenter.scheduler.record import CODED, EACH, NUMBERS
from tenter.scheduler.sift import Each, Refusal, Stage
from tenter.scheduler.snapshot import Snapshot, changed
from tenter.store import decisions
from tenter.store.decisions import DecisionRow
from tenter.store.engine import Database

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Finalist", "Recorded", "Unreadable", "of_instance", "of_operation"]


@dataclass(frozen=True)
class Finalist:
    """One of the best hosts: its row in the table, its weight, and what each weigher gave to that."""

    row: int
    weight: float
    parts: Mapping[str, float] = field(default_factory=dict)


class Recorded:
    """One decision as it was recorded. What is read of it raises Unreadable if the record is damaged, or of a format
    that this release does not know."""

    def __init__(self, row: DecisionRow, db: Database) -> None:
        self.uuid, self.operation_uuid, self.instance_uuid = row.uuid, row.operation_uuid, row.instance_uuid
        self.project_id, self.made_at = row.project_id, row.made_at
        self._snapshot_uuid, self._body, self._db = row.snapshot_uuid, row.body, db

    @cached_property
    def _read(self) -> Unpacked:
        return Unpacked(self._body)

    def _of(self, name: str, default: Any = None) -> Any:
        return self._read.head.get(name, default)

    @cached_property
    def request(self) -> PlacementRequest:
        """What was asked."""
        with understood():
            return _request(self._of("request"))

    @property
    def seen(self) -> int:
        """How many hosts were looked at."""
        return int(self._of("seen"))

    @property
    def left(self) -> int:
        """How many passed all filters."""
        return int(self._of("left"))

    @property
    def filters(self) -> tuple[str, ...]:
        """The names of those in force, in the order of the configuration."""
        return tuple(self._of("filters"))

    @property
    def weighers(self) -> tuple[str, ...]:
        """The names of those in force."""
        return tuple(self._of("weighers"))

    @cached_property
    def stages(self) -> list[Stage]:
        """What each filter that was asked did, in order."""
        with understood():
            return [Stage(*one) for one in self._of("stages")]

    @cached_property
    def refusals(self) -> list[Refusal]:
        """Which hosts were refused, by whom and why."""
        with understood():
            return [self._refusal(*one) for one in self._of("refusals")]

    @cached_property
    def finalists(self) -> list[Finalist]:
        """The best hosts, the best first."""
        with understood():
            found = self._of("finalists")
            names = list(found["parts"])
            each = zip(*found["parts"].values(), strict=True) if names else ([] for _ in found["rows"])
            return [
                Finalist(row, total, dict(zip(names, parts, strict=True)))
                for row, total, parts in zip(found["rows"], found["total"], each, strict=True)
            ]

    @property
    def chosen(self) -> Finalist | None:
        """The host that was claimed; None if none was. One that was not among the finalists has no parts."""
        found = self._of("chosen")
        if found is None:
            return None
        return next((one for one in self.finalists if one.row == found[0]), Finalist(found[0], found[1]))

    @cached_property
    def lost(self) -> list[Lost]:
        """The claims that were lost."""
        with understood():
            return [Lost(*one) for one in self._of("lost", [])]

    @cached_property
    def scope(self) -> Scope:
        """Which cells were asked."""
        with understood():
            found = self._of("scope")
            return Scope(found["cells"], tuple(found["away"]), found["disabled"])

    @property
    def troubles(self) -> Mapping[str, str]:
        """What was wrong with weighers, by their names."""
        found: Mapping[str, str] = self._of("troubles", {})
        return found

    @cached_property
    def snapshot(self) -> Snapshot:
        """The table that this one is a difference to."""
        body = decisions.snapshot(self._db, self._snapshot_uuid) if self._snapshot_uuid else None
        if body is None:
            raise Unreadable("The host table that this decision refers to is not there.")
        return Snapshot(body)

    def host(self, row: int) -> str:
        """Return a host's name, or the UUID of its node if its name was not kept."""
        return self.snapshot.host(row)

    def table(self) -> HostTable:
        """Return the hosts as they were. Raises Unreadable if they were not kept."""
        return changed(self.snapshot.table(), self._of("changes"), self._read)

    def looked_at(self) -> NDArray[np.bool_]:
        """Return, for each row of the table, whether that host was looked at."""
        with understood():
            found = np.ones(len(self.snapshot), np.bool_)
            if (unseen := self._of("unseen")) is not None:
                found[self._read.rows(unseen)] = False
            return found

    def _refusal(self, name: str, code: str, rows: Any, figures: Mapping[str, Any] | None = None) -> Refusal:
        found = {key: self._figure(*value) for key, value in (figures or {}).items()}
        return Refusal(name, code, self._read.rows(rows), found)

    def _figure(self, kind: int, *kept: Any) -> object:
        if kind == NUMBERS:
            return self._read.numbers(kept[1], {"b": np.bool_, "f": np.float64}.get(kept[0], np.int64))
        if kind == EACH:
            return Each(kept[0])
        if kind == CODED:
            return Coded(self._read.numbers(kept[0], np.int32), kept[1])
        return kept[0]


def _request(found: Mapping[str, Any]) -> PlacementRequest:
    values = dict(found)
    for name in ("excluded_hosts", "required_traits", "forbidden_traits"):
        values[name] = frozenset(values[name])
    values["groups"] = tuple(_group(**group) for group in values["groups"])
    if values["server_group"] is not None:
        values["server_group"] = ServerGroup(**values["server_group"])
    return PlacementRequest(**values)


def _group(required_traits: Sequence[str], forbidden_traits: Sequence[str], **values: Any) -> ResourceGroup:
    return ResourceGroup(
        required_traits=frozenset(required_traits), forbidden_traits=frozenset(forbidden_traits), **values
    )


def of_instance(db: Database, instance_uuid: str) -> list[Recorded]:
    """Return the decisions for an instance that are still kept, the latest last."""
    return [Recorded(row, db) for row in decisions.of_instance(db, instance_uuid)]


def of_operation(db: Database, operation_uuid: str) -> list[Recorded]:
    """Return the decisions for an operation that are still kept, the latest last."""
    return [Recorded(row, db) for row in decisions.of_operation(db, operation_uuid)]
