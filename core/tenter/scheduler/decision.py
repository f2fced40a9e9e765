"""What the scheduler decided for one instance, and why, in words and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from tenter import errors
from tenter.cells import Cell
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import HostTable
from tenter.scheduler.sift import Refusal, Sifted
from tenter.scheduler.weigh import Weighed


@dataclass(frozen=True)
class Scope:
    """What was looked at: how many cells were asked, the names of those that are away, how many take no instances."""

    cells: int
    away: tuple[str, ...] = ()
    disabled: int = 0

    def aside(self) -> str:
        """Return, in a sentence, what was not looked at; empty if nothing."""
        said = []
        if self.away:
            said.append(f"{len(self.away)} of the cells cannot be reached now.")
        if self.disabled:
            said.append(f"{self.disabled} of the cells {'are' if self.disabled > 1 else 'is'} disabled.")
        return " ".join(said)


@dataclass(frozen=True)
class Candidate:
    """A host that may take the instance, the cell it is in, and its row in the decision's table."""

    cell: Cell
    view: HostView
    weight: float
    row: int


@dataclass(frozen=True)
class Lost:
    """A claim that was lost: on which row, for lack of what, and to whom (None: nobody knows)."""

    row: int
    code: str
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Decision:
    """What the pipeline found in a table. ``candidates`` come best first; who claims one says so in ``chosen``, and
    adds claims that were lost to ``lost``."""

    request: PlacementRequest
    table: HostTable
    seen: int
    """How many hosts were looked at."""

    sifted: Sifted
    weighed: Weighed
    scope: Scope
    order: Iterator[int]
    """Places in ``sifted.rows``, best first."""

    cell_of: Callable[[str], Cell]
    lost: list[Lost] = field(default_factory=list)
    chosen: Candidate | None = None
    _ordered: list[Candidate] = field(default_factory=list)

    @property
    def candidates(self) -> Iterator[Candidate]:
        """Yield the candidates, best first; again from the first each time it is asked for."""
        return chain(list(self._ordered), self._more())

    def _more(self) -> Iterator[Candidate]:
        for place in self.order:
            row = int(self.sifted.rows[place])
            candidate = Candidate(
                self.cell_of(self.table.cell[row]), self.table.view(row), float(self.weighed.total[place]), row
            )
            self._ordered.append(candidate)
            yield candidate

    def refusal_of(self, row: int) -> tuple[Refusal, dict[str, Any]] | None:
        """Return why a host was refused, and with which figures; None if it was not."""
        for refusal in self.sifted.refusals:
            places = np.flatnonzero(refusal.rows == row)
            if len(places):
                return refusal, refusal.of(int(places[0]))
        return None

    def counts(self) -> list[dict[str, Any]]:
        """Return the reasons by how many hosts were refused for them, the most first: filter, code, hosts, and the
        figures of one of them. No host is named."""
        total: Counter[tuple[str, str]] = Counter()
        examples: dict[tuple[str, str], dict[str, Any]] = {}
        for refusal in self.sifted.refusals:
            key = refusal.filter, refusal.code
            total[key] += len(refusal.rows)
            examples.setdefault(key, refusal.of(0))
        return [
            {"filter": name, "code": code, "hosts": count, "figures": examples[name, code]}
            for (name, code), count in total.most_common()
        ]

    def why(self) -> str:
        """Return a sentence that says why nothing is left, without names of hosts."""
        if not self.scope.cells:
            return "All cells are disabled." if self.scope.disabled else "There are no cells."
        said = []
        for reason in self.counts():
            figures = ", ".join(f"{key} {value}" for key, value in reason["figures"].items())
            words = f"{reason['hosts']} of {self.seen} by {reason['filter']}: {reason['code']}"
            said.append(words + (f" ({figures})" if figures else ""))
        sentences = ["Refused " + "; ".join(said) + "."] if said else []
        if self.lost:
            sentences.append(f"{len(self.lost)} were taken by others meanwhile.")
        if not sentences and not self.scope.away:
            sentences.append("No host has reported yet.")
        return " ".join(filter(None, (*sentences, self.scope.aside())))


def no_valid_host(decision: Decision) -> errors.NoValidHost:
    """Return the error for a decision of which no candidate is left."""
    return errors.NoValidHost("No valid host was found. " + decision.why(), reasons=decision.counts())
