"""AvailabilityZoneFilter: only hosts of the zone that was asked for."""

from __future__ import annotations

from tenter.contracts.filter import ACCEPT, HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest


class AvailabilityZoneFilter(HostFilter):
    """Accepts hosts of the requested availability zone, or any if none was requested."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return no for a host of another zone."""
        if request.zone is None or request.zone == host.zone:
            return ACCEPT
        return Verdict.reject("zone.other", asked=request.zone, host=host.zone)
