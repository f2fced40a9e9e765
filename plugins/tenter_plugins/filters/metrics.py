"""MetricsFilter: only hosts that measure what MetricsWeigher weighs."""

from __future__ import annotations

from tenter.contracts.base import PluginSetup
from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts
from tenter_plugins.weighers.options import METRICS, SECTION, ratios


class MetricsFilter(MaskFilter):
    """Accepts hosts that report every metric which ``metrics_weight_setting`` of section ``weighers`` names, so that
    MetricsWeigher can weigh them.

    Code: ``metrics.missing`` (``metric``). Source: Nova, admin/scheduling, MetricsFilter.
    """

    contract = "filter 1.0"
    prompt = True
    section = SECTION
    options = tuple(option for option in METRICS if option.dest == "metrics_weight_setting")

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._wanted = sorted(ratios(setup.conf[SECTION].metrics_weight_setting))

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that do not report a metric."""
        import numpy as np

        verdicts = ACCEPT_ALL
        for name in self._wanted:
            column = table.metrics.get(name)
            reported = table.every(False) if column is None else ~np.isnan(column)
            verdicts = verdicts.also(reported, "metrics.missing", metric=name)
        return verdicts
