"""Weighers that spread instances by free CPU, memory and disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher, nothing
from tenter_plugins.weighers.options import CPU, DISK, RAM

if TYPE_CHECKING:
    from tenter.contracts.table import IntArray


class FreeResourceWeigher(OptionWeigher):
    """The more is free of one resource class, the better."""

    resource_class: ClassVar[str]

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        """Return what is free on each host."""
        columns = table.having(self.resource_class)
        return columns.free if columns else nothing(table)


class CPUWeigher(FreeResourceWeigher):
    """Prefers hosts with more free vCPUs."""

    resource_class = "VCPU"
    options = (CPU,)


class RAMWeigher(FreeResourceWeigher):
    """Prefers hosts with more free memory."""

    resource_class = "MEMORY_MB"
    options = (RAM,)


class DiskWeigher(FreeResourceWeigher):
    """Prefers hosts with more free disk."""

    resource_class = "DISK_GB"
    options = (DISK,)
