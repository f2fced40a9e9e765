"""Migration features that lie, and the honest one that they are made of."""

from __future__ import annotations

import logging
from typing import Any

from tenter.contracts.migration import Agreement, AgreeRequest, MigrationFeature, Offer, OfferRequest, Refusal

KEY = "the key of the tunnel"
WAYS = ("tls", "ssh")


class Tunnel(MigrationFeature):
    """Both hosts agree on the first way to encrypt that both know. Honest."""

    contract = "feature 1.0"

    def offer(self, request: OfferRequest) -> Offer | None:
        return Offer({"ways": list(WAYS), "port": 49152}, {"key": KEY})

    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        if request.source is None or request.destination is None:
            return Refusal("One of the hosts cannot encrypt.")
        both = [offer.data.get("ways") for offer in (request.source, request.destination)]
        for way in WAYS:
            if all(isinstance(ways, list) and way in ways for ways in both):
                return Agreement({"way": way})
        return Refusal("The hosts know no common way to encrypt.")


class Open(Tunnel):
    """Puts its secret where it is stored."""

    def offer(self, request: OfferRequest) -> Offer | None:
        return Offer({"ways": list(WAYS), "key": KEY}, {"key": KEY})


class Gossip(Tunnel):
    """Logs its secret."""

    def offer(self, request: OfferRequest) -> Offer | None:
        logging.getLogger(__name__).debug("The key is %s", KEY)
        return super().offer(request)


class Writes(Tunnel):
    """Leaves something behind when it offers."""

    def offer(self, request: OfferRequest) -> Offer | None:
        (self.setup.state_dir / "offered").write_text(request.instance_uuid)
        return super().offer(request)


class Tuples(Tunnel):
    """Offers what arrives as something else."""

    def offer(self, request: OfferRequest) -> Offer | None:
        return Offer({"ways": WAYS})


class Local(Tunnel):
    """Decides by what its own host knows."""

    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        answer = super().agree(request)
        return Agreement({**answer.data, "by": self.setup.host}) if isinstance(answer, Agreement) else answer


class Ordered(Tunnel):
    """Goes by the first key."""

    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        answer = super().agree(request)
        first = next(iter(request.source.data), "") if request.source else ""
        return Agreement({**answer.data, "first": first}) if isinstance(answer, Agreement) else answer


class Closed(Tunnel):
    """Knows all keys that there may ever be."""

    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        for offer in (request.source, request.destination):
            if offer is not None and set(offer.data) - {"ways", "port"}:
                return Refusal("The offer is not understood.")
        return super().agree(request)


class Impatient(Tunnel):
    """Fails where the other side makes no offer."""

    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        offers: Any = (request.source, request.destination)
        return Agreement({"ways": [offer.data.get("ways") for offer in offers]})


class Credulous(Tunnel):
    """Believes that a port is a number."""

    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        answer = super().agree(request)
        if isinstance(answer, Refusal) or request.source is None:
            return answer
        return Agreement({**answer.data, "port": int(request.source.data["port"]) + 1})


class Stubborn(Tunnel):
    """Never agrees, though it could."""

    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        return Refusal("Not today, thank you.")
