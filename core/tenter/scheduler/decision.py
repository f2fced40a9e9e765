"""What the scheduler decided for one instance, and why, in words and figures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from tenter import errors
from tenter.cells import Cell
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import HostTable
from tenter.scheduler.reasons import in_words, plain, reasons
from tenter.scheduler.sift import Refusal, Sifted
from tenter.scheduler.weigh import Weighed

_KINDS, _WORDS, _NAMED = 3, 150, 20
"""How many reasons a sentence has at most, and of how many characters; how many hosts are named."""


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
        """Return the reasons by how many hosts were refused for them, the most first: filter, code, hosts, and figures
        that anybody may see. No host is named."""
        return reasons(self.sifted.refusals, self.request)

    def why(self) -> str:
        """Return a sentence that says why nothing is left, without names of hosts, in about two hundred characters."""
        if not self.scope.cells:
            return "All cells are disabled." if self.scope.disabled else "There are no cells."
        sentences = [_refused(self.counts(), self.seen)]
        if self.lost:
            sentences.append(f"{len(self.lost)} were taken by others meanwhile.")
        if not any(sentences) and not self.scope.away:
            sentences.append("No host has reported yet.")
        return " ".join(filter(None, (*sentences, self.scope.aside())))

    def host_by_host(self) -> str:
        """Return why each of some hosts is not the one, for administrators."""
        lines: list[str] = []
        for refusal in self.sifted.refusals:
            for place, row in enumerate(refusal.rows[: _NAMED - len(lines)].tolist()):
                figures = ", ".join(f"{name} {plain(value)}" for name, value in refusal.of(place).items())
                words = f"{self.table.host[row]}: {refusal.filter}: {refusal.code}"
                lines.append(words + (f" ({figures})" if figures else ""))
        if (more := self.seen - len(self.sifted.rows) - len(lines)) > 0:
            lines.append(f"and {more} more hosts.")
        lines += [f"{self.table.host[lost.row]}: lost: {lost.code}" for lost in self.lost[:_NAMED]]
        return "\n".join((*lines, f"All of it: tenter explain {self.request.instance_uuid}"))


def _refused(counts: Sequence[Mapping[str, Any]], seen: int) -> str:
    said: list[str] = []
    for reason in counts[:_KINDS]:
        words = in_words(reason, seen)
        if said and sum(map(len, said)) + len(words) > _WORDS:
            break
        said.append(words)
    if more := len(counts) - len(said):
        said.append(f"and {more} more kind{'s' if more > 1 else ''}")
    return "Refused " + "; ".join(said) + "." if said else ""


def no_valid_host(decision: Decision) -> errors.NoValidHost:
    """Return the error for a decision of which no candidate is left; ``explanation`` is for administrators."""
    return errors.NoValidHost(
        "No valid host was found. " + decision.why(), reasons=decision.counts(), explanation=decision.host_by_host()
    )


def all_failed(failed: Mapping[str, str], instance_uuid: str) -> errors.NoValidHost:
    """Return the error for an instance that was built on hosts, by name, and failed there for a reason each; what
    hosts are called stands only in ``explanation``, for administrators."""
    counts = Counter(_anonymous(reason, failed) for reason in failed.values())
    said = [f"{count} of {len(failed)} hosts failed: {reason}" for reason, count in counts.most_common(_KINDS)]
    lines = [f"{host}: {reason}" for host, reason in failed.items()]
    return errors.NoValidHost(
        "No valid host was found. " + " ".join(said),
        explanation="\n".join((*lines, f"All of it: tenter explain {instance_uuid}")),
    )


def _anonymous(reason: str, hosts: Iterable[str]) -> str:
    for host in sorted(hosts, key=len, reverse=True):
        reason = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "a host", reason)
    return reason
