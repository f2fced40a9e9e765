"""Which providers of one host serve a request.

The rules are those of Placement's granular groups. What is asked of the host as a whole comes, class by class, from the
host itself if it has an inventory of the class, else from one part that takes it. A resource group comes from one
provider, the host or a part, that has the traits which the group requires and none that it forbids. Several may come
from one provider, whose amounts then add up, unless the request isolates its groups or some are to be apart.

Traits that are required of the host must be those of the host itself or of a part that serves what is asked of the host
as a whole; forbidden ones must be of none of these.

The search is bounded. Equal parts are tried once, and what has failed is not tried again, so hundreds of equal devices
cost no more than a few; a request that would take too long to decide counts as one that does not fit.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tenter.contracts.scheduling import HostView, PlacementRequest, Provider, Resource

MAX_GROUPS = 128
"""The most resource groups of one request."""

MAX_STEPS = 1000
"""How many choices are tried before the search gives up."""

CODES = {"VCPU": "cpu", "MEMORY_MB": "ram", "DISK_GB": "disk"}
"""What the commonest resource classes are called in codes; the others go by their own name in small letters."""

_ISOLATED = ""
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fit:
    """The host serves the request. ``wanted`` is what to claim: by the providers' UUIDs, amounts by resource class."""

    wanted: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Misfit:
    """The host does not serve the request. ``group`` names the resource group that it fails at, empty for the host as a
    whole.

    ========================  ========================================================================================
    ``ram.short``             Too little is free. So for every class: ``cpu``, ``disk``, else its name in small letters
    ``ram.unit``              The amount is below the least or above the largest unit, or is no multiple of the step
    ``trait.missing``         A required trait is not there
    ``trait.forbidden``       A forbidden trait is there
    ``group.unserved``        No provider by itself has all that the group asks
    ``groups.unserved``       Each group could be served, but not all at once
    ``groups.too_many``       There are more groups than one request may have
    ``search.bounded``        Whether it fits was not found out within the allowed number of tries
    ========================  ========================================================================================
    """

    code: str
    group: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)


def fit(host: HostView, request: PlacementRequest, without: frozenset[str] = _NONE) -> Fit | Misfit:
    """Return what to claim of a host and its parts for a request, or why they do not serve it. Parts whose UUIDs are in
    ``without`` count as not there: what has been tried to claim of them was lost.

    The same host and request always have the same answer; of equal parts, different instances get different ones where
    they can, so that their claims do not meet.
    """
    if request.forbidden_traits and (found := request.forbidden_traits & host.traits):
        return Misfit("trait.forbidden", figures={"traits": sorted(found)})
    resources = host.resources
    own: dict[str, int] = {}
    others: dict[str, int] = {}
    for name, amount in request.resources.items():
        if amount and (name not in resources or name in host.of_parts):
            others[name] = amount
        elif amount:
            if not resources[name].takes(amount):
                return _short(name, amount, [resources[name]], "")
            own[name] = amount
    missing = request.required_traits - host.traits
    if not others and not request.groups:
        if missing:
            return Misfit("trait.missing", figures={"traits": sorted(missing)})
        return Fit({host.provider_uuid: own} if own else {})
    if len(request.groups) > MAX_GROUPS:
        return Misfit("groups.too_many", figures={"groups": len(request.groups), "most": MAX_GROUPS})
    return _Search(_kinds(host, request.instance_uuid, without), host, request, own, others, missing).run()


@dataclass(frozen=True)
class _Kind:
    """Providers that are equal but for their names; the first is that of the host itself, alone."""

    resources: Mapping[str, Resource]
    traits: frozenset[str]
    uuids: tuple[str, ...]


@dataclass(frozen=True)
class _Demand:
    """What must come from one provider. It shares none with another that has one of its ``marks``."""

    group: str
    amounts: Mapping[str, int]
    required: frozenset[str]
    forbidden: frozenset[str]
    marks: frozenset[str] = _NONE
    whole: bool = False
    """Whether it is asked of the host as a whole, and so not of the provider of the host itself."""


@dataclass
class _Site:
    """A provider that something is taken from."""

    kind: int
    uuid: str
    load: dict[str, int]
    marks: frozenset[str] = _NONE

    def state(self) -> tuple[Any, ...]:
        return self.kind, tuple(sorted(self.load.items())), tuple(sorted(self.marks))


class _Bounded(Exception):
    """The search has taken too many steps."""


class _Search:
    """The choice of a provider for each demand, by trying; the hardest to serve come first."""

    def __init__(
        self, kinds: list[_Kind], host: HostView, request: PlacementRequest, own: Mapping[str, int],
        others: Mapping[str, int], missing: frozenset[str],
    ) -> None:  # fmt: skip
        self._kinds = kinds
        self._missing = missing
        self._host = _Site(0, host.provider_uuid, dict(own))
        # Those of each kind that something is taken from; the next of a kind is the one after them.
        self._sites: list[list[_Site]] = [[] for _ in self._kinds]
        self._sites[0].append(self._host)
        self._demands = [
            _Demand("", {name: amount}, _NONE, request.forbidden_traits, whole=True) for name, amount in others.items()
        ]
        for group in request.groups:
            amounts = {name: amount for name, amount in group.resources.items() if amount}
            marks = {_ISOLATED} if request.isolate else set()
            marks |= {f"apart {group.apart}"} if group.apart else set()
            self._demands.append(
                _Demand(group.name, amounts, group.required_traits, group.forbidden_traits, frozenset(marks))
            )
        self._eligible = [self._eligible_for(demand) for demand in self._demands]
        self._order = sorted(range(len(self._demands)), key=self._hardness)
        self._failed: set[tuple[object, ...]] = set()
        self._steps = 0

    def _eligible_for(self, demand: _Demand) -> list[int]:
        first = 1 if demand.whole else 0
        return [number for number, kind in enumerate(self._kinds) if number >= first and _serves(kind, demand)]

    def _hardness(self, index: int) -> tuple[object, ...]:
        demand = self._demands[index]
        choices = sum(len(self._kinds[kind].uuids) for kind in self._eligible[index])
        return choices, -sum(demand.amounts.values()), sorted(demand.amounts.items()), demand.group

    def run(self) -> Fit | Misfit:
        """Return the first choice that serves all demands, or why there is none."""
        refusal = self._impossible()
        if refusal is not None:
            return refusal
        try:
            served = self._place(0, self._missing)
        except _Bounded:
            return Misfit("search.bounded", figures={"tries": MAX_STEPS})
        if not served:
            return self._all_at_once()
        return Fit({site.uuid: site.load for sites in self._sites for site in sites if site.load})

    def _impossible(self) -> Misfit | None:
        """Return what can be said without trying, for it cannot be served at all or there is too little of a class."""
        for demand, eligible in zip(self._demands, self._eligible):
            if not eligible:
                return self._unserved(demand)
        serving = [kind for index, demand in enumerate(self._demands) if demand.whole for kind in self._eligible[index]]
        nowhere = self._missing.difference(*(self._kinds[kind].traits for kind in serving))
        if nowhere:
            return Misfit("trait.missing", figures={"traits": sorted(nowhere)})
        for name in {name for demand in self._demands for name in demand.amounts}:
            of_class = [index for index, demand in enumerate(self._demands) if name in demand.amounts]
            kinds = {kind for index in of_class for kind in self._eligible[index]}
            asked = sum(self._demands[index].amounts[name] for index in of_class)
            free = sum(self._kinds[kind].resources[name].free * len(self._kinds[kind].uuids) for kind in kinds)
            if 0 in kinds:
                free -= self._host.load.get(name, 0)
            if asked > free:
                return Misfit(f"{_word(name)}.short", self._demands[of_class[0]].group, {"asked": asked, "free": free})
            least = min(self._demands[index].amounts[name] for index in of_class)
            if len(of_class) > sum(self._room(kind, name) // least * len(self._kinds[kind].uuids) for kind in kinds):
                return self._all_at_once()
        for mark in {mark for demand in self._demands for mark in demand.marks}:
            marked = [index for index, demand in enumerate(self._demands) if mark in demand.marks]
            kinds = {kind for index in marked for kind in self._eligible[index]}
            if len(marked) > sum(len(self._kinds[kind].uuids) for kind in kinds):
                return self._all_at_once()
        return None

    def _room(self, kind: int, name: str) -> int:
        resource = self._kinds[kind].resources[name]
        return min(resource.free, resource.max_unit)

    def _unserved(self, demand: _Demand) -> Misfit:
        """Return why no provider by itself serves a demand."""
        kinds = self._kinds[1:] if demand.whole else self._kinds
        having = [kind for kind in kinds if all(name in kind.resources for name in demand.amounts)]
        if having and not any(demand.required <= kind.traits for kind in having):
            lacking = min(
                (sorted(demand.required - kind.traits) for kind in having), key=lambda left: (len(left), left)
            )
            return Misfit("trait.missing", demand.group, {"traits": lacking})
        suited = [kind for kind in having if demand.required <= kind.traits and not demand.forbidden & kind.traits]
        if having and not suited:
            found = sorted(demand.forbidden & frozenset().union(*(kind.traits for kind in having)))
            return Misfit("trait.forbidden", demand.group, {"traits": found})
        for name, amount in demand.amounts.items():
            of_class = [kind.resources[name] for kind in (suited or kinds) if name in kind.resources]
            if not any(resource.takes(amount) for resource in of_class):
                return _short(name, amount, of_class, demand.group)
        return Misfit("group.unserved", demand.group, {"asked": dict(demand.amounts)})

    def _all_at_once(self) -> Misfit:
        return Misfit("groups.unserved", figures={"groups": [demand.group for demand in self._demands if demand.group]})

    def _place(self, depth: int, missing: frozenset[str]) -> bool:
        """Serve the demands from ``depth`` on; return whether that can be done, with the sites as they are."""
        if depth == len(self._order):
            return not missing
        state = (depth, missing, *sorted(site.state() for sites in self._sites for site in sites))
        if state in self._failed:
            return False
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise _Bounded
        index = self._order[depth]
        demand = self._demands[index]
        for site, new in self._choices(index):
            before = (dict(site.load), site.marks)
            for name, amount in demand.amounts.items():
                site.load[name] = site.load.get(name, 0) + amount
            site.marks |= demand.marks
            if new:
                self._sites[site.kind].append(site)
            left = missing - self._kinds[site.kind].traits if demand.whole else missing
            if self._place(depth + 1, left):
                return True
            if new:
                self._sites[site.kind].pop()
            site.load, site.marks = before
        self._failed.add(state)
        return False

    def _choices(self, index: int) -> Iterator[tuple[_Site, bool]]:
        """Yield the providers that a demand can be served by now, and whether each is new; of equal ones only one."""
        demand = self._demands[index]
        for number in self._eligible[index]:
            kind, sites = self._kinds[number], self._sites[number]
            seen = set()
            for site in tuple(sites):
                state = site.state()
                if state not in seen and not demand.marks & site.marks and _takes_more(kind, site, demand):
                    yield site, False
                seen.add(state)
            if len(sites) < len(kind.uuids):
                yield _Site(number, kind.uuids[len(sites)], {}), True


def _kinds(host: HostView, instance_uuid: str, without: frozenset[str]) -> list[_Kind]:
    own = {name: resource for name, resource in host.resources.items() if name not in host.of_parts}
    found: dict[object, list[Provider]] = {}
    for part in sorted(host.providers, key=lambda part: (part.name, part.uuid)):
        if part.uuid not in without:
            found.setdefault((frozenset(part.resources.items()), part.traits), []).append(part)
    kinds = [_Kind(own, host.traits, (host.provider_uuid,))]
    for equal in found.values():
        first = zlib.crc32(instance_uuid.encode()) % len(equal)
        uuids = tuple(part.uuid for part in equal[first:] + equal[:first])
        kinds.append(_Kind(equal[0].resources, equal[0].traits, uuids))
    return kinds


def _serves(kind: _Kind, demand: _Demand) -> bool:
    if not demand.required <= kind.traits or demand.forbidden & kind.traits:
        return False
    return all(name in kind.resources and kind.resources[name].takes(n) for name, n in demand.amounts.items())


def _takes_more(kind: _Kind, site: _Site, demand: _Demand) -> bool:
    """Return whether a provider that serves others already has room for one more; each alone it does serve."""
    for name, amount in demand.amounts.items():
        resource, all_of_it = kind.resources[name], site.load.get(name, 0) + amount
        if all_of_it > min(resource.free, resource.max_unit):
            return False
    return True


def _word(resource_class: str) -> str:
    return CODES.get(resource_class, resource_class.lower())


def _short(name: str, amount: int, of_class: list[Resource], group: str) -> Misfit:
    """Return why none of some providers takes an amount of a class."""
    if of_class and not any(resource.allows(amount) for resource in of_class):
        units = of_class[0]
        figures = {"asked": amount, "least": units.min_unit, "most": units.max_unit, "step": units.step_size}
        return Misfit(f"{_word(name)}.unit", group, figures)
    free = max((resource.free for resource in of_class if resource.allows(amount)), default=0)
    return Misfit(f"{_word(name)}.short", group, {"asked": amount, "free": max(free, 0)})
