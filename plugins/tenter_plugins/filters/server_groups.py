"""Filters of the hard policies of server groups. The claim decides once more, atomically."""

from __future__ import annotations

from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts


class ServerGroupAffinityFilter(MaskFilter):
    """Hint ``group`` with a group of policy ``affinity``: accepts hosts that have an instance of the group, or any if
    none has a host yet.

    Code: ``server_group.elsewhere``. Source: Nova, admin/scheduling, ServerGroupAffinityFilter.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that have none of the group."""
        group = request.server_group
        if group is None or group.policy != "affinity" or not group.members:
            return ACCEPT_ALL
        return ACCEPT_ALL.also(table.among(group.members), "server_group.elsewhere")


class ServerGroupAntiAffinityFilter(MaskFilter):
    """Hint ``group`` with a group of policy ``anti-affinity``: accepts hosts that have fewer other instances of the
    group than its rule ``max_server_per_host`` allows (1 if it has none).

    Code: ``server_group.full`` (``host``: how many are on it, ``most``). Source: Nova, admin/scheduling,
    ServerGroupAntiAffinityFilter.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that have as many of the group as may be."""
        group = request.server_group
        if group is None or group.policy != "anti-affinity":
            return ACCEPT_ALL
        full = {name: count for name, count in group.members.items() if count >= group.max_per_host}
        if not full:
            return ACCEPT_ALL
        counts = table.by_host(full)
        return ACCEPT_ALL.also(counts == 0, "server_group.full", host=counts, most=group.max_per_host)
