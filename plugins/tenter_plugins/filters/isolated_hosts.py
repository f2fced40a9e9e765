"""IsolatedHostsFilter: some images on some hosts only."""

from __future__ import annotations

from tenter.contracts.base import PluginSetup
from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts
from tenter_plugins.filters.options import ISOLATION, SECTION


class IsolatedHostsFilter(MaskFilter):
    """Instances of isolated images go to isolated hosts only. If isolated hosts are restricted to them, which is the
    default, nothing else goes there, instances without an image (booted from a volume) included.

    Options: ``isolated_hosts``, ``isolated_images``, ``restrict_isolated_hosts_to_isolated_images``. Codes:
    ``host.not_isolated``, ``host.isolated``. Source: Nova, admin/scheduling, IsolatedHostsFilter.
    """

    contract = "filter 1.0"
    prompt = True
    section = SECTION
    options = ISOLATION

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        conf = setup.conf[SECTION]
        self._hosts = frozenset(conf.isolated_hosts)
        self._images = frozenset(conf.isolated_images)
        self._restrict = bool(conf.restrict_isolated_hosts_to_isolated_images)

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts on the wrong side."""
        if request.image_id in self._images:
            return ACCEPT_ALL.also(table.among(self._hosts), "host.not_isolated")
        if self._restrict and self._hosts:
            return ACCEPT_ALL.also(~table.among(self._hosts), "host.isolated")
        return ACCEPT_ALL
