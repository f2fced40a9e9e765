"""A weigher that goes round hosts which fail what they are given."""

from __future__ import annotations

from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.weigher import HostWeigher
from tenter_plugins.weighers.options import BUILD_FAILURE, SECTION


class BuildFailureWeigher(HostWeigher):
    """The more builds in a row a host failed, the worse, once they are as many as the option says. One that succeeds
    makes the host as good as any other."""

    contract = "weigher 1.0"
    section = SECTION
    options = BUILD_FAILURE

    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        """Return the failed builds in a row, 0 below the threshold."""
        enough = host.failed_builds >= int(self.setup.conf[self.section].build_failure_threshold)
        return float(host.failed_builds) if enough else 0.0

    def multiplier(self) -> float:
        """Return the option's value, as a number against the host."""
        return -float(self.setup.conf[self.section].build_failure_weight_multiplier)
