"""Weighers that spread instances by free CPU, memory and disk."""

from __future__ import annotations

from typing import ClassVar

from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.weigher import HostWeigher
from tenter_plugins.weighers.options import CPU, DISK, RAM, SECTION


class FreeResourceWeigher(HostWeigher):
    """The more is free of one resource class, the better."""

    contract = "weigher 1.0"
    resource_class: ClassVar[str]
    multiplier_option: ClassVar[str]
    section = SECTION

    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        """Return what is free on the host."""
        resource = host.resources.get(self.resource_class)
        return float(resource.free) if resource else 0.0

    def multiplier(self) -> float:
        """Return the option's value."""
        return float(self.setup.conf[self.section][self.multiplier_option])


class CPUWeigher(FreeResourceWeigher):
    """Prefers hosts with more free vCPUs."""

    resource_class = "VCPU"
    multiplier_option = CPU.dest
    options = (CPU,)


class RAMWeigher(FreeResourceWeigher):
    """Prefers hosts with more free memory."""

    resource_class = "MEMORY_MB"
    multiplier_option = RAM.dest
    options = (RAM,)


class DiskWeigher(FreeResourceWeigher):
    """Prefers hosts with more free disk."""

    resource_class = "DISK_GB"
    multiplier_option = DISK.dest
    options = (DISK,)
