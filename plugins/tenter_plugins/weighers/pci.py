"""A weigher that keeps hosts with PCI devices for servers that need them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tenter.contracts.base import PluginSetup
from tenter.contracts.scheduling import PlacementRequest, Provider
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher, nothing
from tenter_plugins.weighers.options import PCI

if TYPE_CHECKING:
    from tenter.contracts.table import IntArray

MOST = 99
"""Hosts with more free devices than this count alike: there is no want of devices there."""

_CLASSES = ("PCI_DEVICE", "SRIOV_NET_VF")
_ADDRESS = re.compile(r"(.*[^0-9a-fA-F])?[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]", re.DOTALL)


class PCIWeigher(OptionWeigher):
    """Prefers hosts with few free PCI devices: a server that needs none goes where there are none, one that needs some
    goes where there are just enough. What the server needs is the filters' affair."""

    options = (PCI,)

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        # Counted once for as long as nothing changes: a host may have hundreds of parts.
        self._counted: tuple[Mapping[int, tuple[Provider, ...]], IntArray] | None = None

    def weights(self, table: HostTable, request: PlacementRequest) -> IntArray:
        """Return less the free devices of each host, -99 at the least."""
        if not table.providers:
            return nothing(table)
        counted = self._counted
        if counted is None or counted[0] is not table.providers or len(counted[1]) != len(table):
            column = nothing(table).copy()
            for row, parts in table.providers.items():
                column[row] = -min(free_devices(parts), MOST)
            self._counted = counted = table.providers, column
        return counted[1]


def free_devices(parts: Iterable[Provider]) -> int:
    """Return how many PCI devices of some parts of a host are free.

    A device is a unit of PCI_DEVICE, SRIOV_NET_VF or a class that begins with CUSTOM_PCI, or of any class of a part
    whose name ends in a PCI address, such as ``gpu_0000:81:00.0``.
    """
    free = 0
    for part in parts:
        addressed = _ADDRESS.fullmatch(part.name) is not None
        for name, resource in part.resources.items():
            if addressed or name in _CLASSES or name.startswith("CUSTOM_PCI"):
                free += max(resource.free, 0)
    return free
