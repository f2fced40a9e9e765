"""The feature plugin compress of Tenter."""

from __future__ import annotations

from tenter.contracts.migration import (
    Agreement,
    AgreeRequest,
    MigrationFeature,
    Offer,
    OfferRequest,
    Refusal,
)

PREFERRED = ("zstd", "zlib")


class CompressFeature(MigrationFeature):
    """Both hosts compress what they send with the best method that both know."""

    contract = "feature 1.0"

    def offer(self, request: OfferRequest) -> Offer | None:
        """Offer the methods that this host's virt driver says it has."""
        driver = request.capabilities.get("live_migration", {})
        methods = [each for each in PREFERRED if each in str(driver.get("compression"))]
        return Offer({"methods": methods}) if methods else None

    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        """Agree on the first of ``PREFERRED`` that both hosts offer."""
        if request.source is None or request.destination is None:
            return Refusal("One of the hosts cannot compress.")
        both = [side.data.get("methods") for side in (request.source, request.destination)]
        for method in PREFERRED:
            if all(isinstance(offered, list) and method in offered for offered in both):
                return Agreement({"method": method})
        return Refusal("The hosts know no common method of compression.")
