"""The contract of migration features, version 1.0: one thing that two hosts may agree on for a live migration.

Each enabled feature is asked on both hosts what it offers. Offers are dictionaries of JSON that travel as they are:
nothing but the feature itself reads them. Then it is given both offers and says what is agreed on, or why nothing is.
A host without the feature, or with an older release of it, makes no offer or another one; that is no error.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tenter.contracts.base import Plugin

CONTRACT = "feature 1.0"

Side = Literal["source", "destination"]


@dataclass(frozen=True)
class OfferRequest:
    """What does this host offer for the migration of this instance? ``capabilities`` are those of its virt driver that
    are on, with their details."""

    instance_uuid: str
    side: Side
    host: str
    capabilities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Offer:
    """``data`` is JSON. ``secrets`` reach the other side and are never logged or stored."""

    data: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class AgreeRequest:
    """Both sides' offers. One that is None was not made: the feature is not enabled there, or had nothing to offer."""

    instance_uuid: str
    source: Offer | None
    destination: Offer | None


@dataclass(frozen=True)
class Agreement:
    """What both sides will do. ``data`` (JSON) is given to both virt drivers."""

    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """Why the feature is off for this migration, as a sentence for the user. ``blocks``: without it the instance must
    not be migrated at all."""

    reason: str
    blocks: bool = False


class MigrationFeature(Plugin, abc.ABC):
    """What every migration feature must do."""

    contract = CONTRACT

    @abc.abstractmethod
    def offer(self, request: OfferRequest) -> Offer | None:
        """Return what this host offers, None for nothing. Changes nothing on the host."""

    @abc.abstractmethod
    def agree(self, request: AgreeRequest) -> Agreement | Refusal:
        """Return what is agreed on. Decided by the two offers alone: the same offers give the same answer on any host,
        and keys that it does not know (of a newer release) change nothing. Never raises for what an offer holds."""
