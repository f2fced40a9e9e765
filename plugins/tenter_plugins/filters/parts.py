"""Filters that look at the parts of hosts: NUMATopologyFilter, PciPassthroughFilter, ResourceGroupsFilter."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tenter.contracts.filter import ACCEPT, HostFilter, Verdict
from tenter.contracts.fit import CODES, Misfit, fit
from tenter.contracts.scheduling import HostView, PlacementRequest


class GroupsFilter(HostFilter):
    """Accepts hosts whose parts serve those resource groups of a request whose names begin with ``prefix``, whatever
    else is asked. Codes are ``prefix``, a dot, and that of :class:`tenter.contracts.fit.Misfit`."""

    contract = "filter 1.0"
    prompt = True
    prefix: ClassVar[str]

    def applies(self, request: PlacementRequest) -> bool:
        """Return whether there are such groups."""
        return any(group.name.startswith(self.prefix) for group in request.groups)

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return no for a host that does not serve the groups."""
        groups = tuple(group for group in request.groups if group.name.startswith(self.prefix))
        if not groups:
            return ACCEPT
        nothing: frozenset[str] = frozenset()
        alone = replace(request, resources={}, groups=groups, required_traits=nothing, forbidden_traits=nothing)
        verdict = _verdict(host, alone, f"{self.prefix}.")
        return verdict if verdict.ok or host.providers else Verdict.reject(f"{self.prefix}.none")


class NUMATopologyFilter(GroupsFilter):
    """Accepts hosts whose NUMA nodes serve the nodes that the flavor or the image asks for (``hw:numa_nodes``,
    ``hw:numa_cpus.N``, ``hw:numa_mem.N`` …); a host without NUMA nodes serves none.

    Codes: ``numa.none``, ``numa.cpu.short``, ``numa.ram.short``, ``numa.groups.unserved`` …, with the figures of
    :class:`tenter.contracts.fit.Misfit`. Source: Nova, admin/scheduling, NUMATopologyFilter.
    """

    contract = "filter 1.0"
    prompt = True
    prefix = "numa"


class PciPassthroughFilter(GroupsFilter):
    """Accepts hosts that have the PCI devices that the flavor asks for (``pci_passthrough:alias``).

    Codes: ``pci.none``, ``pci.group.unserved``, ``pci.groups.unserved``, ``pci.trait.missing`` …, with the figures of
    :class:`tenter.contracts.fit.Misfit`. Source: Nova, admin/scheduling, PciPassthroughFilter.
    """

    contract = "filter 1.0"
    prompt = True
    prefix = "pci"


class ResourceGroupsFilter(HostFilter):
    """Accepts hosts which, with their parts, serve all of a request at once: ``resources:`` and ``trait:`` of the
    host as a whole, the groups ``resourcesN:`` and ``traitN:``, NUMA nodes and PCI devices, with ``group_policy``.
    ResourceFilter and TraitFilter, which look at one thing at a time, have refused most that do not.

    Codes: those of :class:`tenter.contracts.fit.Misfit` (``group.unserved``, ``groups.unserved``, ``trait.missing``,
    ``ram.short`` …), with its figures and ``group``, the name of the group that failed. Source: Placement, granular
    resource requests.
    """

    contract = "filter 1.0"
    prompt = True

    def applies(self, request: PlacementRequest) -> bool:
        """Return whether anything is asked that a part could serve."""
        return bool(request.groups) or not request.resources.keys() <= CODES.keys()

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return no for a host that does not serve it all."""
        if not request.groups and not host.providers:
            return ACCEPT
        return _verdict(host, request)


def _verdict(host: HostView, request: PlacementRequest, prefix: str = "") -> Verdict:
    found = fit(host, request)
    if not isinstance(found, Misfit):
        return ACCEPT
    figures = {**found.figures, "group": found.group} if found.group else found.figures
    return Verdict(False, prefix + found.code, figures)
