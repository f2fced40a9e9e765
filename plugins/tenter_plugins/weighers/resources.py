"""Weighers that spread instances by free CPU, memory and disk."""

from __future__ import annotations

from typing import ClassVar

from oslo_config import cfg

from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.weigher import HostWeigher


def _option(name: str, what: str) -> cfg.Opt:
    return cfg.FloatOpt(
        name, default=1.0, help=f"How much free {what} counts; negative stacks instances instead of spreading them."
    )


class FreeResourceWeigher(HostWeigher):
    """The more is free of one resource class, the better."""

    resource_class: ClassVar[str]
    multiplier_option: ClassVar[str]
    section = "weighers"

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
    multiplier_option = "cpu_weight_multiplier"
    options = (_option("cpu_weight_multiplier", "vCPUs"),)


class RAMWeigher(FreeResourceWeigher):
    """Prefers hosts with more free memory."""

    resource_class = "MEMORY_MB"
    multiplier_option = "ram_weight_multiplier"
    options = (_option("ram_weight_multiplier", "memory"),)


class DiskWeigher(FreeResourceWeigher):
    """Prefers hosts with more free disk."""

    resource_class = "DISK_GB"
    multiplier_option = "disk_weight_multiplier"
    options = (_option("disk_weight_multiplier", "disk"),)
