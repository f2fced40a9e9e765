"""The filter and weigh pipeline. It decides where to try; the claim in the store decides whether it holds."""

from __future__ import annotations

import logging
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oslo_config import cfg

from tenter import errors
from tenter.cells import Cell, Cells
from tenter.contracts.filter import HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.weigher import HostWeigher
from tenter.store import hosts

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A host that may take the instance, and the cell it is in."""

    cell: Cell
    view: HostView
    weight: float


@dataclass
class Decision:
    """What the pipeline found: candidates, best first, and for each host that was refused the filter and why."""

    candidates: list[Candidate] = field(default_factory=list)
    refused: dict[str, tuple[str, Verdict]] = field(default_factory=dict)
    away: list[str] = field(default_factory=list)
    """Names of the cells whose database could not be reached."""
    cells: int = 0
    """How many cells were asked, those that are away included."""
    disabled: int = 0
    """How many were not asked, for they take no new instances."""

    def why(self) -> str:
        """Return a sentence that says why nothing is left, without names of hosts."""
        if not self.cells:
            return "All cells are disabled." if self.disabled else "There are no cells."
        aside = f" {len(self.away)} of the cells cannot be reached now." if self.away else ""
        if self.disabled:
            aside += f" {self.disabled} of the cells {'are' if self.disabled > 1 else 'is'} disabled."
        if not self.refused:
            return aside.strip() if self.away else "No host has reported yet." + aside
        counts = Counter((name, verdict.code) for name, verdict in self.refused.values())
        parts = []
        for (name, code), count in counts.most_common():
            example = next(v for n, v in self.refused.values() if (n, v.code) == (name, code))
            figures = ", ".join(f"{key} {value}" for key, value in example.figures.items())
            parts.append(f"{count} of {len(self.refused)} by {name}: {code}" + (f" ({figures})" if figures else ""))
        return "Refused " + "; ".join(parts) + "." + aside

    def explain(self) -> dict[str, object]:
        """Return the decision as JSON: candidates with their weights, and each refusal with its figures."""
        return {
            "candidates": [{"host": c.view.host, "node": c.view.node, "weight": c.weight} for c in self.candidates],
            "refused": {
                host: {"filter": name, "code": verdict.code, "figures": dict(verdict.figures)}
                for host, (name, verdict) in self.refused.items()
            },
        }


class Scheduler:
    """Filters and weighs the hosts of all cells."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        cells: Cells,
        filters: Sequence[tuple[str, HostFilter]],
        weighers: Sequence[tuple[str, HostWeigher]],
    ) -> None:
        self._conf = conf
        self._cells = cells
        self._filters = list(filters)
        self._weighers = list(weighers)

    def select(self, request: PlacementRequest, cell_uuid: str | None = None) -> Decision:
        """Return the decision for one instance; with ``cell_uuid``, among the hosts of that cell only."""
        cells = [self._cells.get(cell_uuid)] if cell_uuid is not None else self._cells.enabled()
        disabled = 0 if cell_uuid is not None else sum(cell.disabled for cell in self._cells.all())
        decision = Decision(cells=len(cells), disabled=disabled)
        passed: list[tuple[Cell, HostView]] = []
        down_after = self._conf.compute.service_down_time
        answers = self._cells.ask(lambda cell: hosts.host_views(cell.db, down_after), cells)
        decision.away = [cell.name for cell in cells if cell.uuid in answers.away]
        for cell in cells:
            for view in answers.found.get(cell.uuid, ()):
                refusal = self._refusal(view, request)
                if refusal is None:
                    passed.append((cell, view))
                else:
                    decision.refused[view.node] = refusal
        weights = self._weigh([view for _, view in passed], request)
        candidates = [Candidate(cell, view, weights[view.provider_uuid]) for cell, view in passed]
        random.shuffle(candidates)
        decision.candidates = sorted(candidates, key=lambda candidate: -candidate.weight)
        return decision

    def _refusal(self, view: HostView, request: PlacementRequest) -> tuple[str, Verdict] | None:
        if request.forced_host is not None and request.forced_host not in (view.host, view.node):
            return "forced host", Verdict.reject("host.other")
        if view.host in request.excluded_hosts:
            return "earlier attempt", Verdict.reject("host.failed")
        for name, host_filter in self._filters:
            try:
                verdict = host_filter.accepts(view, request)
            except Exception as exc:
                LOG.exception("Filter %s failed on host %s; the host is left out", name, view.host)
                verdict = Verdict.reject("filter.failed", error=str(exc))
            if not verdict.ok:
                return name, verdict
        return None

    def _weigh(self, views: Sequence[HostView], request: PlacementRequest) -> Mapping[str, float]:
        total = {view.provider_uuid: 0.0 for view in views}
        if len(views) < 2:
            return total
        for name, weigher in self._weighers:
            try:
                raw = {view.provider_uuid: float(weigher.weigh(view, request)) for view in views}
                multiplier = float(weigher.multiplier())
                if not all(math.isfinite(number) for number in (*raw.values(), multiplier)):
                    raise ValueError("a weight is not finite")
            except Exception:
                LOG.exception("Weigher %s failed; it is left out of this decision", name)
                continue
            low, high = min(raw.values()), max(raw.values())
            if high > low:
                for uuid, value in raw.items():
                    total[uuid] += multiplier * (value - low) / (high - low)
        return total


def no_valid_host(decision: Decision) -> errors.NoValidHost:
    """Return the error for a decision that found nothing."""
    return errors.NoValidHost("No valid host was found. " + decision.why(), **decision.explain())
