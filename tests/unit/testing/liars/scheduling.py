"""Filters and weighers that lie."""

from __future__ import annotations

import math

from tenter.contracts.filter import ACCEPT, HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.weigher import HostWeigher


class Enabled(HostFilter):
    """Honest."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        return ACCEPT if host.enabled else Verdict.reject("host.disabled", reason=host.disabled_reason)


class Moody(HostFilter):
    """Changes its mind from one call to the next."""

    contract = "filter 1.0"
    calls = 0

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        self.calls += 1
        return Verdict.reject("mood.bad") if self.calls % 3 == 0 else ACCEPT


class Thief(HostFilter):
    """Keeps a hint for itself."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        request.hints.pop("group", None)  # type: ignore[attr-defined]
        return ACCEPT


class Trusting(HostFilter):
    """Believes that every host has memory, and every extra spec is a number."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        return ACCEPT if host.resources["MEMORY_MB"].free > 0 else Verdict.reject("ram.short")


class Speechless(HostFilter):
    """Refuses without a code."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        return Verdict(host.enabled)


class Learned(HostFilter):
    """Says why in a form that no JSON has."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        return Verdict.reject("traits.missing", host=host.traits)


class Boolean(HostFilter):
    """Answers with what is neither yes nor no but true or false."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        return host.enabled  # type: ignore[return-value]


class Traits(HostWeigher):
    """Prefers hosts with more traits. Honest."""

    contract = "weigher 1.0"

    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        return float(len(host.traits))

    def multiplier(self) -> float:
        return 1.0


class Divides(HostWeigher):
    """Has no number for a host without capacity."""

    contract = "weigher 1.0"

    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        resource = host.resources.get("VCPU")
        return resource.free / resource.capacity if resource and resource.capacity else math.nan

    def multiplier(self) -> float:
        return 1.0


class Counts(HostWeigher):
    """Prefers whoever it has not seen for long."""

    contract = "weigher 1.0"
    seen = 0

    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        self.seen += 1
        return -float(self.seen)

    def multiplier(self) -> float:
        return 1.0


class Decisive(Counts):
    """Outweighs everybody."""

    def multiplier(self) -> float:
        return math.inf


class Unversioned(HostWeigher):
    """Does not say which contract it was written for."""

    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        return 0.0

    def multiplier(self) -> float:
        return 1.0
