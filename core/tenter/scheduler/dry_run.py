"""Would it fit, and if not, what is the smallest change that makes it fit? Nothing is claimed and nothing recorded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tenter.contracts.scheduling import PlacementRequest
from tenter.scheduler.decision import Decision
from tenter.scheduler.pipeline import Scheduler

MOST = 100
"""How many are tried where it is not said how many are wanted."""

MOST_TRIES = 200
"""How many changed requests are tried for one answer."""

LONGEST = 10.0
"""Seconds after which no more changes are tried."""

MOST_SHOWN = 10
"""How many changes are told."""


@dataclass(frozen=True)
class Change:
    """A change that makes the request fit. ``what`` is resource, resources, trait, group, zone, host, hint, extra_spec
    or image_property; ``size`` from 0 (nothing) to 1 (all of it is given up) orders them."""

    what: str
    sentence: str
    size: float
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DryRun:
    """``fits`` equal servers would find a host now, on ``hosts``, by name; ``at_least``: there may be more. ``last`` is
    the last decision, which says why no more do. ``changes`` are the nearest by which ``wanted`` would fit, if they do
    not."""

    wanted: int
    fits: int
    at_least: bool
    hosts: Mapping[str, int]
    last: Decision
    changes: list[Change]


def dry_run(scheduler: Scheduler, request: PlacementRequest, wanted: int | None = None) -> DryRun:
    """Return how many servers that ask for this would fit now (of ``wanted``, or of up to ``MOST``), and what would
    have to be asked instead if not even the wanted number does (default: one)."""
    decisions = scheduler.select_many(request, wanted or MOST)
    best = [next(decision.candidates, None) for decision in decisions]
    hosts = Counter(candidate.view.host for candidate in best if candidate is not None)
    need, fits = wanted or 1, sum(hosts.values())
    at_least = best[-1] is not None
    changes = [] if fits >= need or at_least else _Search(scheduler, request, need, decisions[-1]).changes()
    return DryRun(need, fits, at_least, dict(hosts), decisions[-1], changes)


class _Search:
    """The search for changes: one thing less at a time, and only if that is never enough, less of several resources."""

    def __init__(self, scheduler: Scheduler, request: PlacementRequest, wanted: int, last: Decision) -> None:
        self._scheduler, self._request, self._wanted, self._last = scheduler, request, wanted, last
        self._left, self._until = MOST_TRIES, time.monotonic() + LONGEST

    def changes(self) -> list[Change]:
        """Return the changes that are enough, the smallest first."""
        found = list(self._resources())
        found += [change for change, request in self._without() if self._fits(request)]
        if not found:
            found = list(self._several())
        return sorted(found, key=lambda change: change.size)[:MOST_SHOWN]

    def _fits(self, request: PlacementRequest) -> bool:
        if self._left <= 0 or time.monotonic() > self._until:
            return False
        self._left -= 1
        decisions = self._scheduler.select_many(request, self._wanted)
        return len(decisions) == self._wanted and next(decisions[-1].candidates, None) is not None

    def _with(self, name: str, amount: int) -> PlacementRequest:
        resources = {key: value for key, value in self._request.resources.items() if key != name}
        return replace(self._request, resources={**resources, name: amount} if amount else resources)

    def _resources(self) -> Iterator[Change]:
        for name, asked in self._request.resources.items():
            if not self._fits(self._with(name, 0)):
                continue
            # The greatest amount that fits; what fits less of a class fits no worse.
            low, high = 0, asked
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self._fits(self._with(name, middle)) else (low, middle)
            sentence = f"{name} {low} instead of {asked}" if low else f"no {name} instead of {asked}"
            details = {"resource_class": name, "asked": asked, "fits": low}
            yield Change("resource", sentence, (asked - low) / asked, details)

    def _without(self) -> Iterator[tuple[Change, PlacementRequest]]:
        request = self._request
        if request.zone is not None:
            for zone in sorted({*self._last.table.zone.values} - {request.zone})[:20]:
                change = Change("zone", f"zone {zone} instead of {request.zone}", 0.3, {"zone": zone})
                yield change, replace(request, zone=zone)
        for trait in sorted(request.required_traits):
            change = Change("trait", f"without the required trait {trait}", 0.4, {"trait": trait})
            yield change, replace(request, required_traits=request.required_traits - {trait})
        for trait in sorted(request.forbidden_traits):
            change = Change("trait", f"without forbidding the trait {trait}", 0.4, {"trait": trait})
            yield change, replace(request, forbidden_traits=request.forbidden_traits - {trait})
        for group in request.groups:
            groups = tuple(one for one in request.groups if one is not group)
            change = Change("group", f"without the resource group {group.name}", 0.5, {"group": group.name})
            yield change, replace(request, groups=groups)
        yield from self._without_words()

    def _without_words(self) -> Iterator[tuple[Change, PlacementRequest]]:
        request = self._request
        if request.forced_host is not None or request.forced_node is not None:
            host = request.forced_host or request.forced_node
            change = Change("host", f"another host than {host}", 0.6)
            yield change, replace(request, forced_host=None, forced_node=None)
        if request.server_group is not None:
            policy = request.server_group.policy
            yield (
                Change("hint", f"without the server group ({policy})", 0.5, {"hint": "group"}),
                replace(request, server_group=None),
            )
        for what, words, name in (
            ("hint", "without the hint", "hints"),
            ("extra_spec", "without the flavor's extra spec", "extra_specs"),
            ("image_property", "without the image's property", "image_properties"),
        ):
            given: Mapping[str, Any] = getattr(request, name)
            for key in sorted(given)[:20]:
                rest = {other: value for other, value in given.items() if other != key}
                changed: dict[str, Any] = {name: rest}
                yield Change(what, f"{words} {key}", 0.5, {what: key}), replace(request, **changed)

    def _several(self) -> Iterator[Change]:
        """Yield less of all resources that are short on the host that is short of least."""
        asked = self._request.resources
        decision = self._scheduler.select(replace(self._request, resources={}))
        table, best, least = decision.table, None, 1.0
        for row in decision.sifted.rows.tolist():
            has = {name: table.resources[name].at(row).free if name in table.resources else 0 for name in asked}
            fits = {name: max(0, min(amount, has[name])) for name, amount in asked.items()}
            size = sum(1 - fits[name] / amount for name, amount in asked.items()) / len(asked)
            if size < least:
                best, least = fits, size
        if best is None or self._wanted > 1 or not self._fits(replace(self._request, resources=best)):
            return
        short = {name: amount for name, amount in best.items() if amount < asked[name]}
        words = ", ".join(f"{name} {amount} instead of {asked[name]}" for name, amount in short.items())
        yield Change("resources", words, least, {"resources": short})
