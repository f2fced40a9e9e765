"""What scheduler filters and weighers look at: hosts, and what one is wanted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Resource:
    """Of one resource class on one host: ``total`` less ``reserved``, times ``ratio``, is what may be used."""

    total: int
    used: int
    reserved: int = 0
    ratio: float = 1.0

    @property
    def capacity(self) -> int:
        return int((self.total - self.reserved) * self.ratio)

    @property
    def free(self) -> int:
        return self.capacity - self.used


@dataclass(frozen=True)
class HostView:
    """A host as the scheduler sees it. ``resources`` by resource class (os-resource-classes)."""

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


@dataclass(frozen=True)
class PlacementRequest:
    """What a host is wanted for. ``resources`` are the amounts asked by resource class."""

    instance_uuid: str
    project_id: str
    resources: Mapping[str, int]
    zone: str | None = None
    forced_host: str | None = None
    excluded_hosts: frozenset[str] = frozenset()
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    image_properties: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, object] = field(default_factory=dict)
