"""A weigher that goes round hosts which fail what they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher, nothing
from tenter_plugins.weighers.options import BUILD_FAILURE

if TYPE_CHECKING:
    from tenter.contracts.table import IntArray


class BuildFailureWeigher(OptionWeigher):
    """The more builds in a row a host failed, the worse, once they are as many as the option says. One that succeeds
    makes the host as good as any other."""

    options = BUILD_FAILURE

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        """Return less the failed builds in a row, 0 below the threshold."""
        failed = table.failed_builds
        if not failed.any():
            return nothing(table)
        return -failed * (failed >= self.option("build_failure_threshold"))
