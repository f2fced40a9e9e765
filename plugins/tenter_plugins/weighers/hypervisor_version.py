"""A weigher that prefers newer hypervisors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher
from tenter_plugins.weighers.options import HYPERVISOR_VERSION

if TYPE_CHECKING:
    from tenter.contracts.table import FloatArray


class HypervisorVersionWeigher(OptionWeigher):
    """Prefers hosts with a newer hypervisor. The versions of different makes do not compare."""

    options = (HYPERVISOR_VERSION,)

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray:
        """Return the version that each host's driver reports, as a number."""
        return table.hypervisor.numbers(lambda hypervisor: hypervisor.version)
