"""ResourceFilter: only hosts that have enough of every resource class asked for."""

from __future__ import annotations

from tenter.contracts.filter import ACCEPT, HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest

CODES = {"VCPU": "cpu.short", "MEMORY_MB": "ram.short", "DISK_GB": "disk.short"}


class ResourceFilter(HostFilter):
    """Accepts hosts whose free capacity covers the request (the claim decides once more, atomically)."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return no with what was asked and what is free of the first class that is short."""
        for resource_class, asked in request.resources.items():
            resource = host.resources.get(resource_class)
            free = resource.free if resource else 0
            if asked > free:
                code = CODES.get(resource_class, f"{resource_class.lower()}.short")
                return Verdict.reject(code, asked=asked, free=max(free, 0))
        return ACCEPT
