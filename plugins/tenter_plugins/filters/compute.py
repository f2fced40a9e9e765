"""ComputeFilter: only hosts that are enabled and up."""

from __future__ import annotations

from tenter.contracts.filter import ACCEPT, HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest


class ComputeFilter(HostFilter):
    """Accepts hosts whose service is enabled and has given a sign of life lately."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return no for a host that is disabled or down."""
        if not host.enabled:
            return Verdict.reject("host.disabled", reason=host.disabled_reason or "none given")
        if not host.up:
            return Verdict.reject("host.down")
        return ACCEPT
