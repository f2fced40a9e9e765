"""The contract of scheduler weighers, version 1.0: a number for one host, or a column for all."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

from tenter.contracts.base import Plugin
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import HostTable

if TYPE_CHECKING:
    from tenter.contracts.table import FloatArray, IntArray

CONTRACT = "weigher 1.0"


class Weigher(Plugin, abc.ABC):
    """What both kinds are. The pipeline scales the numbers of all hosts that passed the filters to 0…1."""

    contract = CONTRACT

    prompt: ClassVar[bool] = False
    """Whether it only computes with what it is given: no file, network, lock or sleep, ever. Then it is asked in the
    thread of who decides, which is faster; any other is asked in one beside it, so that it may never come back."""

    aggregate_multiplier: ClassVar[str] = ""
    """Metadata key by which an aggregate sets another multiplier for its hosts (the least, if several do)."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """Which columns of ``table.ON_REQUEST`` it reads. They are kept only while an enabled
    filter needs them, or a weigher whose multiplier is not 0 everywhere."""

    @abc.abstractmethod
    def multiplier(self) -> float:
        """Return by how much this weigher counts (negative: the smaller, the better; 0: not at all)."""


class HostWeigher(Weigher):
    """A number for one host; the larger, the better."""

    @abc.abstractmethod
    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        """Return the host's raw weight."""


class ColumnWeigher(Weigher):
    """A column of numbers; the larger, the better."""

    @abc.abstractmethod
    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray | IntArray:
        """Return the raw weight of each row. A row's weight depends on that row only."""
