"""The contracts of scheduler filters and weighers, version 1.0."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field

from tenter.contracts.base import Plugin

FILTER_CONTRACT = "filter 1.0"
WEIGHER_CONTRACT = "weigher 1.0"


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


@dataclass(frozen=True)
class Verdict:
    """A filter's answer: yes, or no with a short stable code and the figures that decided."""

    ok: bool
    code: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)

    @staticmethod
    def reject(code: str, **figures: object) -> Verdict:
        """Return a refusal, such as ``Verdict.reject("ram.short", asked=4096, free=1024)``."""
        return Verdict(False, code, figures)


ACCEPT = Verdict(True)


class HostFilter(Plugin, abc.ABC):
    """A rule for one host."""

    contract = FILTER_CONTRACT

    @abc.abstractmethod
    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return whether the host may take the instance, and if not, why."""


class HostWeigher(Plugin, abc.ABC):
    """A number for one host; the larger, the better. The pipeline scales all hosts' numbers to 0…1."""

    contract = WEIGHER_CONTRACT

    @abc.abstractmethod
    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        """Return the host's raw weight."""

    @abc.abstractmethod
    def multiplier(self) -> float:
        """Return by how much this weigher counts (negative: the smaller, the better)."""
