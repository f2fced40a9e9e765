"""Weighers by what instances a host has, and what is being done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher
from tenter_plugins.weighers.options import IO_OPS, NUM_INSTANCES

if TYPE_CHECKING:
    from tenter.contracts.table import IntArray


class IoOpsWeigher(OptionWeigher):
    """Prefers hosts on which few instances are being built, resized, moved or copied."""

    options = (IO_OPS,)

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        """Return how many they are; the multiplier is negative."""
        return table.io_ops


class NumInstancesWeigher(OptionWeigher):
    """Prefers hosts with many instances, or with few, as the sign of the multiplier says."""

    options = (NUM_INSTANCES,)

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        """Return how many instances each host has."""
        return table.instances
