"""ComputeCapabilitiesFilter: only hosts whose figures and capabilities are as the flavor says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, Coded, HostTable, Verdicts
from tenter_plugins.filters import attributes
from tenter_plugins.filters.aggregates import SPEC_MALFORMED
from tenter_plugins.filters.operators import Malformed, Rule, parse

if TYPE_CHECKING:
    from tenter.contracts.table import BoolArray


class ComputeCapabilitiesFilter(MaskFilter):
    """Extra specs ``capabilities:NAME=VALUE`` must hold of a host. NAME is one of
    :mod:`tenter_plugins.filters.attributes` (``free_ram_mb``, ``vcpus_used``, ``num_instances``, ``hypervisor_type``,
    ``hypervisor_version``, ``cpu_info:features`` …) or a further fact that its driver reports; VALUE one of
    :mod:`tenter_plugins.filters.operators`. A NAME without any scope is looked at only if hosts have something of
    that name; other scopes are left alone.

    Codes: ``capability.missing`` (``key``, ``asked``), ``capability.other`` (``host`` too, unless it would be a name),
    ``extra_spec.malformed``. Source: Nova, admin/scheduling, ComputeCapabilitiesFilter.
    """

    contract = "filter 1.0"
    prompt = True
    scope = "capabilities"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts of which an extra spec does not hold."""
        verdicts = ACCEPT_ALL
        for spec, asked in request.extra_specs.items():
            scope, *path = spec.split(":")
            if path and scope != self.scope:
                continue
            try:
                rule = parse(asked)
            except Malformed as exc:
                malformed = _having(table, scope, always=bool(path))
                verdicts = verdicts.also(~malformed, SPEC_MALFORMED, key=spec, asked=asked, error=str(exc))
                continue
            wanted = path or [scope]
            figures = {"key": ":".join(wanted), "asked": asked}
            verdicts = _also(verdicts, table, wanted, rule, figures, lax=not path)
        return verdicts


def _having(table: HostTable, name: str, always: bool) -> BoolArray:
    """Return which hosts have something of a name; ``always`` is the answer where that does not matter."""
    if always or attributes.always(name):
        return table.every(True)
    return table.hypervisor.where(lambda hypervisor: name in attributes.further(hypervisor))


def _also(
    verdicts: Verdicts, table: HostTable, path: list[str], rule: Rule, figures: dict[str, Any], lax: bool
) -> Verdicts:
    """Return the verdicts with what one extra spec says. ``lax``: hosts that know nothing of the name pass."""
    import numpy as np

    first = path[0]
    if len(path) == 1 and first in attributes.NUMBERS:
        numbers = attributes.NUMBERS[first](table)
        values, codes = np.unique(numbers, return_inverse=True)
        holds = np.fromiter(map(rule, values.tolist()), np.bool_, len(values))[codes]
        return verdicts.also(holds, "capability.other", **figures, host=numbers)
    if len(path) == 1 and first in attributes.NAMES:
        names = attributes.NAMES[first](table)
        return verdicts.also(np.fromiter(map(rule, names), np.bool_, len(table)), "capability.other", **figures)
    if first in attributes.NUMBERS or first in attributes.NAMES:
        return verdicts.also(table.every(False), "capability.missing", **figures)
    facts = Coded(table.hypervisor.codes, [attributes.fact(each, path) for each in table.hypervisor.values])
    there = facts.where(lambda fact: fact is not None)
    holds = facts.where(lambda fact: fact is not None and rule(fact))
    if lax:
        unknown = ~_having(table, first, always=False)
        there, holds = there | unknown, holds | unknown
    return verdicts.also(there, "capability.missing", **figures).also(holds, "capability.other", **figures, host=facts)
