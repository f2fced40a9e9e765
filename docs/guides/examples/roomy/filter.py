"""The filter plugin roomy of Tenter."""

from __future__ import annotations

from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts


class RoomyFilter(MaskFilter):
    """Leaves a tenth of each host's memory free, but for hosts in an aggregate with ``crowded=yes``."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no with what would be left and what must be."""
        memory = table.having("MEMORY_MB")
        if memory is None:
            return ACCEPT_ALL
        left = memory.free - request.resources.get("MEMORY_MB", 0)
        least = memory.capacity // 10
        crowded = table.aggregates.where(
            lambda aggregates: any(each.metadata.get("crowded") == "yes" for each in aggregates)
        )
        ok = (left >= least) | crowded | (memory.capacity == 0)
        return Verdicts().also(ok, "memory.crowded", left=left, least=least)
