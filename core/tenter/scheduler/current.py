"""The host table of all cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tenter.cells import Cell, Cells
from tenter.contracts.table import HostTable
from tenter.scheduler.table import table_of
from tenter.store import hosts


class CurrentHosts:
    """Reads the table from the cells' databases."""

    def __init__(self, cells: Cells, down_after: Callable[[], float]) -> None:
        """``down_after`` returns the seconds without a sign of life after which a host is down."""
        self._cells, self._down_after = cells, down_after

    def table(self, cells: Sequence[Cell]) -> tuple[HostTable, Sequence[str]]:
        """Return the hosts of ``cells`` as they are now, and the UUIDs of those that are away."""
        down_after = self._down_after()
        answers = self._cells.ask(lambda cell: hosts.host_views(cell.db, down_after), cells)
        views = [replace(view, cell=uuid) for uuid, found in answers.found.items() for view in found]
        return table_of(views), answers.away
