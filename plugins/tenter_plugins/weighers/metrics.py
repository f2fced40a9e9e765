"""A weigher by what hosts measure of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenter.contracts.base import PluginSetup
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher, nothing
from tenter_plugins.weighers.options import METRICS, ratios

if TYPE_CHECKING:
    from tenter.contracts.table import FloatArray, IntArray

HUGE = 1e100
"""Sums beyond this count alike, so that the difference of any two is a number."""


class MetricsWeigher(OptionWeigher):
    """Prefers hosts by a weighed sum of what they measure, such as ``cpu.percent=-1.0, cpu.frequency=0.1``."""

    options = METRICS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        found = ratios(self.option("metrics_weight_setting"))
        self._ratios = {name: ratio for name, ratio in found.items() if ratio}
        self._unavailable = float(self.option("metrics_weight_of_unavailable"))

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray | IntArray:
        """Return each host's sum, or the option's value where it does not report one of the metrics."""
        if not self._ratios:
            return nothing(table)
        import numpy as np

        total = np.zeros(len(table))
        reported = np.ones(len(table), np.bool_)
        for name, ratio in self._ratios.items():
            column = table.metrics.get(name)
            if column is None:
                return np.full(len(table), self._unavailable)
            reported &= ~np.isnan(column)
            total += np.clip(column, -HUGE, HUGE) * ratio
        return np.where(reported, np.clip(total, -HUGE, HUGE), self._unavailable)
