"""Filters over the host table: which hosts may take an instance, and for each other the first reason why not."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tenter.contracts.filter import Filter, HostFilter, MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import Coded, HostTable, Verdicts
from tenter.plugins.guard import said, shown
from tenter.scheduler.watched import Progress

if TYPE_CHECKING:
    from tenter.contracts.table import BoolArray, IntArray

LOG = logging.getLogger(__name__)
Filters = Sequence[tuple[str, Filter]]
FORCED, EARLIER = "forced host", "earlier attempt"
"""What refuses hosts beside the filters: another host was chosen by an administrator, the host failed before."""

FAILED, STALLED = "filter.failed", "filter.stalled"


class Each(list[Any]):
    """Figures of any kind, one for each of some rows (a plain list is one figure for all)."""


@dataclass(frozen=True)
class Refusal:
    """Hosts that one filter refused with one code. ``figures`` holds one value for all, or an array, a
    :class:`Coded` or an :class:`Each` of one for each of ``rows``."""

    filter: str
    code: str
    rows: IntArray
    figures: Mapping[str, object] = field(default_factory=dict)

    def of(self, place: int) -> dict[str, Any]:
        """Return the figures of the host at a place of ``rows``."""
        return {name: _plain(value, place) for name, value in self.figures.items()}


@dataclass(frozen=True)
class Stage:
    """What one filter did: how many hosts it saw, how many passed, and what was wrong with it, if anything."""

    name: str
    seen: int
    passed: int
    trouble: str = ""


@dataclass
class Sifted:
    """What the filters left of a table."""

    rows: IntArray
    refusals: list[Refusal] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)


def _plain(value: object, place: int) -> object:
    if isinstance(value, np.ndarray):
        return value[place : place + 1].tolist()[0]
    if isinstance(value, (Each, Coded)):
        return value[place]
    return value


class Misbehaved(Exception):
    """A filter gave an answer that is none."""


class Sieve:
    """Filters in the order in which they are asked: masks first, then rules for one host, both as configured."""

    def __init__(self, filters: Filters) -> None:
        self.masks = [(name, one) for name, one in filters if isinstance(one, MaskFilter)]
        self.rules = [(name, one) for name, one in filters if isinstance(one, HostFilter)]

    def sift(
        self, table: HostTable, request: PlacementRequest, alive: BoolArray, progress: Progress,
        stalled: Mapping[str, str], budget: float, closed: bool,
    ) -> Sifted:  # fmt: skip
        """Return which of the hosts that ``alive`` names pass. ``stalled`` says of filters that are not to be asked
        what is wrong with them. ``budget``: seconds that one filter may take. ``closed``: hosts that a filter which
        misbehaves has not judged are refused; else they pass."""
        run = _Run(table, request, alive, closed)
        run.chosen()
        filters: list[tuple[str, MaskFilter | HostFilter]] = [*self.masks, *self.rules]
        for name, one in filters:
            if not run.left:
                break
            if name in stalled:
                run.misbehaves(name, STALLED, stalled[name])
                continue
            progress.enter(name)
            try:
                if isinstance(one, HostFilter):
                    run.ask(name, one, budget)
                else:
                    run.apply(name, one.mask(table, request))
            except BaseException as exc:  # even SystemExit: it is raised in a thread of ours
                LOG.exception("Filter %s failed", name)
                run.misbehaves(name, FAILED, said(exc))
        return Sifted(np.flatnonzero(run.alive), run.refusals, run.stages)


class _Run:
    """One pass of the filters."""

    def __init__(self, table: HostTable, request: PlacementRequest, alive: BoolArray, closed: bool) -> None:
        self._table, self._request, self._closed = table, request, closed
        self.alive = alive
        self.left = int(np.count_nonzero(alive))
        self.refusals: list[Refusal] = []
        self.stages: list[Stage] = []

    def chosen(self) -> None:
        """Leave only the host that was chosen, and none that failed before."""
        table, request = self._table, self._request
        if request.forced_host is not None or request.forced_node is not None:
            ok = table.every(True)
            if request.forced_host is not None:
                ok &= table.among((request.forced_host,))
            if request.forced_node is not None:
                ok &= table.among_nodes((request.forced_node,))
            self.apply(FORCED, Verdicts().also(ok, "host.other"))
        if request.excluded_hosts:
            self.apply(EARLIER, Verdicts().also(~table.among(request.excluded_hosts), "host.failed"))

    def apply(self, name: str, verdicts: Verdicts) -> None:
        """Refuse what a mask filter refuses."""
        seen = self.left
        for condition in verdicts.conditions:
            ok, code = condition.ok, _text(condition.code)
            if not isinstance(ok, np.ndarray) or ok.shape != self.alive.shape or ok.dtype != np.bool_:
                raise Misbehaved("its mask is no array of a truth value for each host")
            refused = (self.alive > ok).nonzero()[0]
            if len(refused):
                figures = {key: _taken(value, refused, len(ok)) for key, value in condition.figures.items()}
                self.refusals.append(Refusal(name, code, refused, figures))
                self.alive = self.alive & ok
                self.left -= len(refused)
        self.stages.append(Stage(name, seen, self.left))

    def misbehaves(self, name: str, code: str, trouble: str) -> None:
        """Pass, or refuse, all that is left, because a filter gives no answers."""
        seen, rows = self.left, np.flatnonzero(self.alive)
        if self._closed:
            self._refuse(name, code, rows, {"error": trouble})
        self.stages.append(Stage(name, seen, self.left, trouble))

    def ask(self, name: str, rule: HostFilter, budget: float) -> None:
        """Ask a rule about each host that is left, for as long as the budget lasts."""
        seen, trouble = self.left, ""
        if not rule.applies(self._request):
            self.stages.append(Stage(name, seen, seen))
            return
        rows = np.flatnonzero(self.alive).tolist()
        refused: dict[str, tuple[list[int], list[Mapping[str, object]]]] = {}
        accepts, view, request = rule.accepts, self._table.view, self._request
        asked, until = 0, time.monotonic() + budget
        for row in rows:
            if time.monotonic() > until:
                break
            asked += 1
            try:
                verdict = accepts(view(row), request)
                if verdict.ok:
                    continue
                code, figures = _text(verdict.code), dict(verdict.figures)
            except BaseException as exc:  # even SystemExit: this thread is ours
                if not trouble:
                    LOG.exception("Filter %s failed on host %s", name, self._table.host[row])
                trouble = said(exc)
                if not self._closed:
                    continue
                code, figures = FAILED, {"error": trouble}
            places, each = refused.setdefault(code, ([], []))
            places.append(row)
            each.append(figures)
        self._collect(name, refused)
        if asked < len(rows):
            trouble = f"It took more than {budget:g} s: {len(rows) - asked} of {len(rows)} hosts were not judged."
            if self._closed:
                self._refuse(name, STALLED, np.array(rows[asked:], np.int64), {"error": trouble})
        self.stages.append(Stage(name, seen, self.left, trouble))

    def _collect(self, name: str, refused: Mapping[str, tuple[list[int], list[Mapping[str, object]]]]) -> None:
        for code, (rows, each) in refused.items():
            names = {key for figures in each for key in figures if isinstance(key, str)}
            columns: dict[str, object] = {
                key: Each(_figure(figures.get(key)) for figures in each) for key in sorted(names)
            }
            self._refuse(name, code, np.array(rows, np.int64), columns)

    def _refuse(self, name: str, code: str, rows: IntArray, figures: Mapping[str, object]) -> None:
        if len(rows):
            self.refusals.append(Refusal(name, code, rows, figures))
            self.alive = self.alive.copy()
            self.alive[rows] = False
            self.left -= len(rows)


def _text(code: object) -> str:
    if not isinstance(code, str):
        raise Misbehaved("the code of its refusal is no text")
    return code


def _figure(value: Any, depth: int = 3) -> Any:
    """Return a plugin's figure as it is, if it is plain; of anything else what it says."""
    if value is None or isinstance(value, (str, int, float, np.generic)):
        return value
    if depth and isinstance(value, Mapping):
        return {_said(key): _figure(each, depth - 1) for key, each in value.items()}
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_figure(each, depth - 1) for each in value]
    return _said(value)


def _said(value: object) -> str:
    return value if isinstance(value, str) else shown(value)


def _taken(value: object, rows: IntArray, length: int) -> object:
    """Return the figures of some rows: of a column theirs, else the one value that holds for all."""
    if isinstance(value, (np.ndarray, Coded)):
        if len(value) != length:
            raise Misbehaved("a column of figures has not a row for each host")
        if isinstance(value, Coded):
            return value.take(rows)
        return value[rows] if value.dtype != np.object_ else Each(map(_figure, value[rows]))
    return _figure(value)
