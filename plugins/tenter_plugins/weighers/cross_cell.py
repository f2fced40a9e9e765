"""A weigher that keeps servers in their cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher, nothing
from tenter_plugins.weighers.options import CROSS_CELL

if TYPE_CHECKING:
    from tenter.contracts.table import FloatArray, IntArray


class CrossCellWeigher(OptionWeigher):
    """Prefers the cell in which a server that moves is already."""

    options = (CROSS_CELL,)

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray | IntArray:
        """Return 1 for hosts of the server's cell, 0 for others and for a server that is in no cell yet."""
        if request.cell is None:
            return nothing(table)
        return table.cell.numbers(lambda cell: cell == request.cell)
