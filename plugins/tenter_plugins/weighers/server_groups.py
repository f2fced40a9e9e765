"""Weighers of the soft policies of server groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher, nothing
from tenter_plugins.weighers.options import SOFT_AFFINITY, SOFT_ANTI_AFFINITY

if TYPE_CHECKING:
    from tenter.contracts.table import IntArray


class GroupWeigher(OptionWeigher):
    """Counts the members of the server's group on each host, if the group's policy is the weigher's."""

    policy: ClassVar[str]
    sign: ClassVar[int] = 1

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        """Return how many members each host has, times the sign."""
        group = request.server_group
        if group is None or group.policy != self.policy or not group.members:
            return nothing(table)
        return self.sign * table.by_host(group.members)


class ServerGroupSoftAffinityWeigher(GroupWeigher):
    """Prefers hosts with more members of the server's soft-affinity group."""

    policy = "soft-affinity"
    options = (SOFT_AFFINITY,)


class ServerGroupSoftAntiAffinityWeigher(GroupWeigher):
    """Prefers hosts with fewer members of the server's soft-anti-affinity group."""

    policy = "soft-anti-affinity"
    sign = -1
    options = (SOFT_ANTI_AFFINITY,)
