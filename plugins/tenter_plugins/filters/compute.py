"""ComputeFilter: only hosts that are enabled and up."""

from __future__ import annotations

from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, Coded, HostTable, Verdicts


class ComputeFilter(MaskFilter):
    """Accepts hosts whose service is enabled and has given a sign of life lately.

    Codes: ``host.disabled`` (``reason``), ``host.down``. Source: Nova, admin/scheduling, ComputeFilter.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that are disabled or down."""
        why = table.disabled_reason
        reason = Coded(why.codes, [reason or "none given" for reason in why.values])
        return ACCEPT_ALL.also(table.enabled, "host.disabled", reason=reason).also(table.up, "host.down")
