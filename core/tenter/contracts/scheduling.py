"""What scheduler filters and weighers look at: hosts, and what one is wanted for.

Resource classes and traits are those of os-resource-classes and os-traits, or custom ones (``CUSTOM_…``). Amounts
follow the rules of Placement: what is asked is a multiple of the step size, and within the least and the largest unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_UNIT = 2**31 - 1
"""The largest amount of one resource class that can be asked of one provider."""


@dataclass(frozen=True)
class Resource:
    """Of one resource class on one provider: ``total`` less ``reserved``, times ``ratio``, is what may be used."""

    total: int
    used: int
    reserved: int = 0
    ratio: float = 1.0
    step_size: int = 1
    min_unit: int = 1
    max_unit: int = MAX_UNIT

    @property
    def capacity(self) -> int:
        return int((self.total - self.reserved) * self.ratio)

    @property
    def free(self) -> int:
        return self.capacity - self.used

    def takes(self, amount: int) -> bool:
        """Return whether one claim of that amount would do now."""
        return self.used + amount <= self.capacity and self.allows(amount)

    def allows(self, amount: int) -> bool:
        """Return whether the amount is one that may be asked at once, whatever is free."""
        return self.min_unit <= amount <= self.max_unit and amount % self.step_size == 0


@dataclass(frozen=True)
class Provider:
    """A part of a host with resources of its own (a NUMA node, a PCI device, a GPU). ``parent`` is the UUID of the
    provider that it is a part of, the host's own for most."""

    uuid: str
    name: str
    parent: str
    resources: Mapping[str, Resource]
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Aggregate:
    """A host aggregate and its metadata."""

    id: int
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hypervisor:
    """What kind of host it is; equal for all hosts of one make.

    ``capabilities`` is what the driver reports as ``cpu_info`` and further facts, nested as it likes.
    """

    type: str = ""
    version: int = 0
    capabilities: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageUse:
    """How many instances of a host were made of images with exactly these properties."""

    properties: Mapping[str, str]
    instances: int


@dataclass(frozen=True)
class HostView:
    """A host as the scheduler sees it. ``resources`` by resource class, of the host itself or, for a class that it has
    not, of the part with most free."""

    provider_uuid: str
    host: str
    node: str
    zone: str
    enabled: bool
    up: bool
    resources: Mapping[str, Resource]
    disabled_reason: str | None = None
    traits: frozenset[str] = frozenset()
    failed_builds: int = 0
    """Builds in a row that this host failed."""

    cell: str = ""
    """UUID of the cell that it is in."""

    aggregates: tuple[Aggregate, ...] = ()
    hypervisor: Hypervisor = Hypervisor()
    host_ip: str = ""
    instances: int = 0
    """Instances that are on it."""

    io_ops: int = 0
    """Instances on it that are being built, rebuilt, resized, migrated, unshelved or copied now."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """What its driver measured last, by the metric's name."""

    providers: tuple[Provider, ...] = ()
    """Its parts."""

    of_parts: frozenset[str] = frozenset()
    """The classes of ``resources`` that the host itself has not: what is shown is a part's."""

    images: tuple[ImageUse, ...] = ()
    """What its instances were made of, if the scheduler keeps account of that."""


@dataclass(frozen=True)
class ResourceGroup:
    """Resources that must come from one provider which has, or has not, some traits (``resources1:…`` of a flavor)."""

    name: str
    resources: Mapping[str, int]
    required_traits: frozenset[str] = frozenset()
    forbidden_traits: frozenset[str] = frozenset()
    apart: str = ""
    """Groups for which this is the same, if it is anything, must come from different providers."""


@dataclass(frozen=True)
class ServerGroup:
    """The server group of an instance. ``policy`` is affinity, anti-affinity, soft-affinity or soft-anti-affinity;
    ``max_per_host`` is that of anti-affinity; ``members`` counts its other instances by the names of their hosts."""

    uuid: str
    policy: str
    max_per_host: int = 1
    members: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PlacementRequest:
    """What a host is wanted for. ``resources`` are the amounts asked by resource class of the host as a whole."""

    instance_uuid: str
    project_id: str
    resources: Mapping[str, int]
    zone: str | None = None
    forced_host: str | None = None
    excluded_hosts: frozenset[str] = frozenset()
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    image_properties: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, object] = field(default_factory=dict)
    forced_node: str | None = None
    flavor: str = ""
    """Name of the flavor."""

    image_id: str | None = None
    required_traits: frozenset[str] = frozenset()
    forbidden_traits: frozenset[str] = frozenset()
    groups: tuple[ResourceGroup, ...] = ()
    """What must come from single providers, beside ``resources``."""

    isolate: bool = False
    """Whether each of ``groups`` must come from another provider (``group_policy=isolate``)."""

    server_group: ServerGroup | None = None
    cell: str | None = None
    """UUID of the cell that the instance is in already, if it is in one."""

    hosts_of: Mapping[str, str] = field(default_factory=dict)
    """The hosts of the instances that the hints ``same_host``, ``different_host`` and the like name, by their UUIDs;
    one that has no host is not there."""
