"""The contract of scheduler weighers, version 1.0."""

from __future__ import annotations

import abc

from tenter.contracts.base import Plugin
from tenter.contracts.scheduling import HostView, PlacementRequest

CONTRACT = "weigher 1.0"


class HostWeigher(Plugin, abc.ABC):
    """A number for one host; the larger, the better. The pipeline scales all hosts' numbers to 0…1."""

    contract = CONTRACT

    @abc.abstractmethod
    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        """Return the host's raw weight."""

    @abc.abstractmethod
    def multiplier(self) -> float:
        """Return by how much this weigher counts (negative: the smaller, the better)."""
