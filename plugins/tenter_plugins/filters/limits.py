"""Filters that keep a host from having too many instances, or too many that are busy."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from tenter.contracts.base import PluginSetup
from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import Aggregate, PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts
from tenter_plugins.filters.options import MAX_INSTANCES, MAX_IO_OPS, SECTION

if TYPE_CHECKING:
    from tenter.contracts.table import IntArray

_MOST = 2**31 - 1


class LimitFilter(MaskFilter):
    """Refuses a host that has as many of something as the limit, or more. Figures: ``host`` and ``most``."""

    contract = "filter 1.0"
    prompt = True
    section = SECTION
    code: ClassVar[str]
    per_aggregate: ClassVar[bool] = False
    """Whether an aggregate's metadata of the option's name goes before the option."""

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._key = self.options[0].dest
        self._most = int(setup.conf[SECTION][self._key])

    @abc.abstractmethod
    def counted(self, table: HostTable) -> IntArray:
        """Return how many each host has."""

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that are at the limit."""
        counted = self.counted(table)
        most = table.aggregates.numbers(self._least).astype(counted.dtype) if self.per_aggregate else self._most
        ok = counted < most
        return ACCEPT_ALL if ok.all() else ACCEPT_ALL.also(ok, self.code, host=counted, most=most)

    def _least(self, aggregates: Iterable[Aggregate]) -> int:
        """Return the least limit of aggregates; the option's value if none says one, or one says what is no number."""
        said = [each.metadata[self._key] for each in aggregates if self._key in each.metadata]
        try:
            return min((max(-_MOST, min(int(text), _MOST)) for text in said), default=self._most)
        except ValueError:
            return self._most


class IoOpsFilter(LimitFilter):
    """Refuses hosts with too many instances that keep them busy: in build, rebuild, resize, snapshot, migrate, rescue
    or unshelve.

    Option: ``max_io_ops_per_host``. Code: ``io_ops.limit``. Source: Nova, admin/scheduling, IoOpsFilter.
    """

    contract = "filter 1.0"
    prompt = True
    options = (MAX_IO_OPS,)
    code = "io_ops.limit"

    def counted(self, table: HostTable) -> IntArray:
        """Return the instances that keep each host busy."""
        return table.io_ops


class AggregateIoOpsFilter(IoOpsFilter):
    """As IoOpsFilter, with a limit by aggregate: metadata ``max_io_ops_per_host``, the least of a host's aggregates;
    the option where none has one.

    Source: Nova, admin/scheduling, AggregateIoOpsFilter.
    """

    contract = "filter 1.0"
    prompt = True
    per_aggregate = True


class NumInstancesFilter(LimitFilter):
    """Refuses hosts with too many instances.

    Option: ``max_instances_per_host``. Code: ``instances.limit``. Source: Nova, admin/scheduling, NumInstancesFilter.
    """

    contract = "filter 1.0"
    prompt = True
    options = (MAX_INSTANCES,)
    code = "instances.limit"

    def counted(self, table: HostTable) -> IntArray:
        """Return the instances on each host."""
        return table.instances


class AggregateNumInstancesFilter(NumInstancesFilter):
    """As NumInstancesFilter, with a limit by aggregate: metadata ``max_instances_per_host``, the least of a host's
    aggregates; the option where none has one.

    Source: Nova, admin/scheduling, AggregateNumInstancesFilter.
    """

    contract = "filter 1.0"
    prompt = True
    per_aggregate = True
