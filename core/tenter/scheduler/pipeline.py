"""The scheduler: filters and weighs the hosts of all cells. It decides where to try; the claim in the store decides
whether that holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from oslo_config import cfg

from tenter.cells import Cell, Cells
from tenter.contracts.scheduling import PlacementRequest, ServerGroup
from tenter.contracts.table import HostTable
from tenter.scheduler.batches import Batches
from tenter.scheduler.decision import Decision, Scope
from tenter.scheduler.record import Recorder
from tenter.scheduler.sift import Filters, Refusal, Sieve, Sifted
from tenter.scheduler.usage import claimed
from tenter.scheduler.watched import Progress, Watched
from tenter.scheduler.weigh import Weighers, best_first, weigh

if TYPE_CHECKING:
    from tenter.contracts.table import BoolArray


AT_ONCE = 50
"""How many instances of a batch are decided about in one pass: each has a table of its own until it is placed."""


class _Spread:
    """How far decisions are spread over the best hosts, so that those which are made at once seldom meet at one.

    It widens with each host that was lost and narrows with each decision that met nobody, so that one in twenty
    meets: alone, the best host is taken; among many, one of the best. For a number, threads need no lock.
    """

    narrower, widest = 0.05, 256

    def __init__(self) -> None:
        self._width = 0.0

    def among(self, lost: int) -> int:
        """Return of how many of the best one is to be taken for an instance that has lost so many hosts to others."""
        self._width = min(self._width + 1, self.widest) if lost else max(self._width - self.narrower, 0.0)
        return max(int(self._width), min(4**lost, self.widest))


class HostSource(Protocol):
    """Where the host table comes from."""

    def table(self, cells: Sequence[Cell]) -> tuple[HostTable, Sequence[str]]:
        """Return the table as it is now, with at least the hosts of ``cells``, and the UUIDs of those of them that are
        away."""


class _Chance(threading.local):
    """A random generator for each thread, for making one takes longer than a decision needs."""

    def __init__(self, seed: int | None) -> None:
        self.rng = np.random.default_rng(seed)


class Scheduler:
    """Chooses hosts. May be asked from several threads at once."""

    def __init__(
        self, conf: cfg.ConfigOpts, cells: Cells, hosts: HostSource, filters: Filters, weighers: Weighers,
        seed: int | None = None, recorder: Recorder | None = None,
    ) -> None:  # fmt: skip
        """``recorder``: who keeps what becomes of decisions; None: nobody."""
        self.recorder = recorder
        self._conf, self._cells, self._hosts = conf, cells, hosts
        self._weighers = list(weighers)
        self._sieve = Sieve(filters)
        self._prompt = all(one.prompt for _, one in filters) and all(one.prompt for _, one in self._weighers)
        self._watched = Watched(lambda: self._conf.scheduler.filter_budget)
        self._chance = _Chance(seed)
        self._batches = Batches()
        self._spread = _Spread()

    def select(self, request: PlacementRequest, cell_uuid: str | None = None, lost: int = 0) -> Decision:
        """Return the decision for one instance; with ``cell_uuid``, among the hosts of that cell only.

        ``lost``: how many hosts that were chosen for it others have claimed first. The more, the wider the choice among
        the best is spread: who lost at once would else meet again at the next host.
        """
        return self.select_many(request, 1, cell_uuid, lost)[0]

    def select_of(self, request: PlacementRequest, batch: str, count: int) -> Decision:
        """Return the decision for one of ``count`` equal instances that were asked for at once, as the batch of that
        name. They are decided about in one pass, when the first is asked for."""
        if count < 2:
            return self.select(request)
        decision = self._batches.take(batch, lambda: self.select_many(request, min(count, AT_ONCE)))
        return replace(decision, request=replace(decision.request, instance_uuid=request.instance_uuid))

    def select_many(
        self, request: PlacementRequest, count: int, cell_uuid: str | None = None, lost: int = 0
    ) -> list[Decision]:
        """Return the decisions for ``count`` equal instances: those that as many single ones would come to if each were
        claimed before the next. There are fewer if the last has no candidates, or if they take longer than one plugin
        may."""
        cells = [self._cells.get(cell_uuid)] if cell_uuid is not None else self._cells.enabled()
        disabled = 0 if cell_uuid is not None else sum(cell.disabled for cell in self._cells.all())
        table, away = self._hosts.table(cells)
        here = {cell.uuid for cell in cells if cell.uuid not in away}
        alive = table.cell.where(lambda uuid: uuid in here)
        subset = max(self._conf.scheduler.host_subset_size, self._spread.among(lost))
        scope = Scope(len(cells), tuple(cell.name for cell in cells if cell.uuid in away), disabled)

        def work(progress: Progress, stalled: Mapping[str, str]) -> list[Decision]:
            return self._decide(table, request, alive, scope, count, subset, progress, stalled)

        return work(Progress(), {}) if self._prompt else self._watched.run(work)

    def _decide(
        self, table: HostTable, request: PlacementRequest, alive: BoolArray, scope: Scope, count: int,
        subset: int, progress: Progress, stalled: Mapping[str, str],
    ) -> list[Decision]:  # fmt: skip
        options = self._conf.scheduler

        def sift(table: HostTable, request: PlacementRequest, alive: BoolArray) -> Sifted:
            closed = options.misbehaving_filters == "closed"
            return self._sieve.sift(table, request, alive, progress, stalled, options.filter_budget, closed)

        seen = int(np.count_nonzero(alive))
        sifted = sift(table, request, alive)
        decisions: list[Decision] = []
        until = time.monotonic() + options.filter_budget
        while True:
            weighed = weigh(table, sifted.rows, request, self._weighers, progress, stalled)
            order = best_first(weighed.total, self._chance.rng, subset)
            decision = Decision(request, table, seen, sifted, weighed, scope, order, self._cells.get)
            decisions.append(decision)
            best = next(decision.candidates, None)
            if len(decisions) == count or best is None or time.monotonic() > until:
                return decisions
            table, before = claimed(table, best.row, request), request
            request = _one_more(request, best.view.host)
            if request is before:
                row = np.array([best.row])
                again = sift(table.take(row), request, table.every(True)[row])
                sifted = _put_back(sifted, again, best.row)
            else:
                sifted = sift(table, request, alive)


def _one_more(request: PlacementRequest, host: str) -> PlacementRequest:
    """Return the request for the next instance of a batch, when one has been placed on a host."""
    group = request.server_group
    if group is None:
        return request
    members = {**group.members, host: group.members.get(host, 0) + 1}
    return replace(request, server_group=ServerGroup(group.uuid, group.policy, group.max_per_host, members))


def _put_back(sifted: Sifted, again: Sifted, row: int) -> Sifted:
    """Return what the filters left, with what they say of one row when they are asked of it again."""
    if len(again.rows):
        return sifted
    refusals = [Refusal(one.filter, one.code, one.rows * 0 + row, one.figures) for one in again.refusals]
    return Sifted(sifted.rows[sifted.rows != row], [*sifted.refusals, *refusals], sifted.stages)
