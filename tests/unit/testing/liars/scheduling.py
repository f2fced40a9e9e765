"""Filters and weighers that lie."""

from __future__ import annotations

import copy
import math

import numpy as np

from tenter.contracts.filter import ACCEPT, Filter, HostFilter, MaskFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, FloatArray, HostTable, IntArray, Verdicts
from tenter.contracts.weigher import ColumnWeigher, HostWeigher


class Enabled(MaskFilter):
    """Honest."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        disabled = Verdicts().also(table.enabled, "host.disabled", reason=table.disabled_reason)
        return disabled.also(table.io_ops < 500, "io.busy", io_ops=table.io_ops, most=500)


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


class Strict(HostFilter):
    """Wants to be shown a host, and no row of a table that is one."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        return ACCEPT if type(host) is HostView else Verdict.reject("host.strange")


class Neither(Filter):
    """Is of no kind: nobody can ask it."""

    contract = "filter 1.0"


class Most(MaskFilter):
    """Compares hosts with one another."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return Verdicts().also(table.instances >= table.instances.mean(), "instances.few")


class Counting(MaskFilter):
    """Says how many others it refused."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return Verdicts().also(table.up, "host.down", others=int((~table.up).sum()))


class Recoded(MaskFilter):
    """Takes what a column could hold for what it holds."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return Verdicts().also(table.every(len(table.zone.values) < 3), "zones.many")


class First(MaskFilter):
    """Speaks of the first host only."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return Verdicts().also(table.enabled[:1], "host.disabled")


class Numbers(MaskFilter):
    """Says yes and no in numbers."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return Verdicts().also(table.enabled.astype(np.int64), "host.disabled")  # type: ignore[arg-type]


class Brief(MaskFilter):
    """Has a figure for one host where it refuses many."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return Verdicts().also(table.enabled, "host.disabled", instances=table.instances[:1])


class Busiest(MaskFilter):
    """Believes that there is always a host."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return ACCEPT_ALL if table.io_ops.max() < 0 else ACCEPT_ALL


class Scribbles(MaskFilter):
    """Writes to what all share."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        table.enabled[table.failed_builds > 10] = False
        return Verdicts().also(table.enabled, "host.disabled")


class Locksmith(MaskFilter):
    """Writes to what it was told not to, and puts the seal back."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        table.enabled.setflags(write=True)
        table.enabled[table.failed_builds > 10] = False
        table.enabled.setflags(write=False)
        return ACCEPT_ALL


class Sorts(MaskFilter):
    """Brings the names of the hosts into an order."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        table.host.sort()  # type: ignore[attr-defined]
        return ACCEPT_ALL


class Unspoken(MaskFilter):
    """Refuses without a code."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return Verdicts().also(table.enabled, "")


class Unwritable(MaskFilter):
    """Says why in a column of what no JSON has."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        return Verdicts().also(table.every(False), "traits.missing", host=table.traits)


class Compares(MaskFilter):
    """Compares with the request that it was shown before."""

    contract = "filter 1.0"
    before: PlacementRequest | None = None

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        same, self.before = self.before == request, copy.deepcopy(request)
        return Verdicts().also(table.every(same), "request.new")


class Traits(ColumnWeigher):
    """Prefers hosts with more traits. Honest."""

    contract = "weigher 1.0"
    aggregate_multiplier = "traits_weight_multiplier"

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray:
        return table.traits.numbers(len)

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


class Column(ColumnWeigher):
    """Counts instances. Base of liars."""

    contract = "weigher 1.0"

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray | IntArray:
        return table.instances

    def multiplier(self) -> float:
        return 1.0


class Share(Column):
    """Says how many of all instances a host has."""

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray:
        return table.instances / max(int(table.instances.sum()), 1)


class Ranks(Column):
    """Counts rows."""

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        return np.arange(len(table))


class Half(Column):
    """Has half the precision."""

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray:
        return table.instances.astype(np.float32)  # type: ignore[return-value]


class Single(Column):
    """Has one number for all."""

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray:
        return np.zeros(1)


class Eager(Column):
    """Believes that there is always a host."""

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        return table.instances + 0 * int(table.instances.max())


class Unmeasured(Column):
    """Takes what was not measured for a number."""

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray:
        nothing = np.full(len(table), np.nan)
        return table.metrics.get("cpu.percent", nothing)


class Drains(Column):
    """Empties what it was lent."""

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        table.resources.pop("VCPU", None)  # type: ignore[attr-defined]
        return table.instances


class Needy(Traits):
    """Needs what no table has."""

    needs = frozenset({"images", "weather"})


class Keyless(Column):
    """Has two words for a key."""

    aggregate_multiplier = "weight of instances"
