from tenter.contracts.filter import ACCEPT, HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest


class QuietFilter(HostFilter):
    """Servers with the scheduler hint ``quiet`` go to hosts with the trait CUSTOM_QUIET."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        if "quiet" not in request.hints or "CUSTOM_QUIET" in host.traits:
            return ACCEPT
        return Verdict.reject("quiet.missing", traits=len(host.traits))
