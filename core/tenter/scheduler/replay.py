"""Running a recorded decision again, with other filters and weighers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from oslo_config import cfg

from tenter.scheduler.packing import understood
from tenter.scheduler.recorded import Recorded
from tenter.scheduler.sift import Filters, Refusal, Sieve, Sifted
from tenter.scheduler.watched import Progress, Watched
from tenter.scheduler.weigh import Weighed, Weighers, weigh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PASSED = "passed"
_NEARLY = 1e-6


@dataclass(frozen=True)
class Changed:
    """A host of which the filters say something else: filter and code, or that it passed."""

    host: str
    then: str
    now: str


@dataclass(frozen=True)
class Replayed:
    """What came of a decision then, and what would come of it now.

    ``best`` are the hosts that are equally good now; one of them would be chosen. ``stages`` has, by filter, how many
    hosts it saw and how many passed, then and now; None where it was not asked.
    """

    chosen: str | None
    best: Sequence[str]
    stages: Mapping[str, tuple[tuple[int, int] | None, tuple[int, int] | None]]
    changed: Sequence[Changed]
    left: tuple[int, int]
    troubles: Mapping[str, str] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether all is as it was: no host is judged otherwise, and the chosen one is still among the best."""
        stays = self.chosen in self.best if self.chosen is not None else self.left[0] > 0 or not self.best
        return not self.changed and stays

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""

        def stage(found: tuple[int, int] | None) -> dict[str, int] | None:
            return None if found is None else {"hosts_in": found[0], "hosts_out": found[1]}

        return {
            "same": self.same,
            "chosen": {"then": self.chosen, "now": list(self.best)},
            "hosts_left": {"then": self.left[0], "now": self.left[1]},
            "filters": [
                {"name": name, "then": stage(then), "now": stage(now)} for name, (then, now) in self.stages.items()
            ],
            "changed": [{"host": one.host, "then": one.then, "now": one.now} for one in self.changed],
            "troubles": dict(self.troubles),
        }


@understood()
def replay(decision: Recorded, filters: Filters, weighers: Weighers, conf: cfg.ConfigOpts) -> Replayed:
    """Return what becomes of a recorded decision with these filters and weighers. Raises Unreadable if the record is
    damaged or not whole."""
    table, alive = decision.table(), decision.looked_at()
    options = conf.scheduler
    sieve, closed = Sieve(filters), options.misbehaving_filters == "closed"

    def work(progress: Progress, stalled: Mapping[str, str]) -> tuple[Sifted, Weighed]:
        sifted = sieve.sift(
            table, decision.request, alive.copy(), progress, stalled, options.filter_budget, closed
        )  # fmt: skip
        return sifted, weigh(table, sifted.rows, decision.request, weighers, progress, stalled)

    sifted, weighed = Watched(lambda: float(options.filter_budget)).run(work)
    then, now = _verdicts(decision.refusals, len(table)), _verdicts(sifted.refusals, len(table))
    differs = [row for row in range(len(table)) if alive[row] and then[row] != now[row]]
    lost = np.array([one.row for one in decision.lost], np.int64)
    best = _best(sifted.rows, weighed.total, lost, options.host_subset_size)
    return Replayed(
        chosen=None if decision.chosen is None else table.host[decision.chosen.row],
        best=[table.host[row] for row in best],
        stages=_stages(decision, sifted),
        changed=[Changed(table.host[row], then[row], now[row]) for row in differs],
        left=(decision.left, len(sifted.rows)),
        troubles={**{one.name: one.trouble for one in sifted.stages if one.trouble}, **weighed.troubles},
    )


def _verdicts(refusals: Sequence[Refusal], length: int) -> list[str]:
    found = [PASSED] * length
    for refusal in refusals:
        for row in refusal.rows.tolist():
            found[row] = f"{refusal.filter}: {refusal.code}"
    return found


def _best(rows: NDArray[Any], total: NDArray[Any], lost: NDArray[Any], subset: int) -> list[int]:
    """Return the rows of which the first is taken at random: the best, and those that are as good, but for those whose
    claims were lost."""
    free = ~np.isin(rows, lost)
    rows, total = rows[free], total[free]
    if not len(rows):
        return []
    count = min(subset, len(total))
    least = np.partition(total, len(total) - count)[len(total) - count]
    found: list[int] = rows[total >= least - _NEARLY].tolist()
    return found


def _stages(decision: Recorded, sifted: Sifted) -> dict[str, tuple[tuple[int, int] | None, tuple[int, int] | None]]:
    then = {one.name: (one.seen, one.passed) for one in decision.stages}
    now = {one.name: (one.seen, one.passed) for one in sifted.stages}
    return {name: (then.get(name), now.get(name)) for name in {**then, **now}}
