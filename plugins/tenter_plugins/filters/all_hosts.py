"""AllHostsFilter: any host."""

from __future__ import annotations

from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts


class AllHostsFilter(MaskFilter):
    """Accepts every host. It stands where a list of filters must name one and none is wanted."""

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return yes for all."""
        return ACCEPT_ALL
