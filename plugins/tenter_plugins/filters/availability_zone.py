"""AvailabilityZoneFilter: only hosts of the zone that was asked for."""

from __future__ import annotations

from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts


class AvailabilityZoneFilter(MaskFilter):
    """Accepts hosts of the requested availability zone, or any if none was requested.

    Code: ``zone.other`` (``asked``, ``host``). Source: Nova, admin/availability-zones.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts of another zone."""
        asked = request.zone
        if asked is None:
            return ACCEPT_ALL
        return ACCEPT_ALL.also(table.zone.where(asked.__eq__), "zone.other", asked=asked, host=table.zone)
