"""ResourceFilter: only hosts that have enough of every resource class asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenter.contracts.filter import MaskFilter
from tenter.contracts.fit import CODES
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, ResourceColumns, Verdicts

if TYPE_CHECKING:
    from tenter.contracts.table import BoolArray

_ABSURD = 2**62


class ResourceFilter(MaskFilter):
    """Accepts hosts that take the amount of each resource class that is asked of the host as a whole: what the flavor
    says of vCPUs, memory and disk, and ``resources:CLASS=N``. What is free, times the allocation ratio and less what
    is reserved, must be enough, and the amount must be within the class's least and largest unit and a multiple of
    its step. The claim decides once more, atomically.

    Codes: ``cpu.short``, ``ram.short``, ``disk.short``, else the class in small letters (``vgpu.short``), with
    ``asked`` and ``free``; ``cpu.unit`` … with ``asked``, ``least``, ``most`` and ``step``. Source: Placement,
    inventories.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that are short of a class, or do not give such an amount of it."""
        import numpy as np

        verdicts = ACCEPT_ALL
        for name, asked in request.resources.items():
            if not asked:
                continue
            word = CODES.get(name, name.lower())
            columns = table.having(name)
            if asked < 0:
                return verdicts.also(table.every(False), f"{word}.unit", asked=asked, least=0)
            if columns is None:
                return verdicts.also(table.every(False), f"{word}.short", asked=asked, free=0)
            amount = min(asked, _ABSURD)
            free = columns.free
            enough = free >= amount
            if not _allowed_everywhere(columns, amount) or table.of_parts:
                allowed = columns.allows(amount)
                _look_at_parts(table, name, amount, enough, allowed)
                verdicts = verdicts.also(
                    allowed | (columns.capacity <= 0), f"{word}.unit", asked=asked,
                    least=columns.min_unit, most=columns.max_unit, step=columns.step_size,
                )  # fmt: skip
            if not enough.all():
                verdicts = verdicts.also(enough, f"{word}.short", asked=asked, free=np.maximum(free, 0))
        return verdicts


def _allowed_everywhere(columns: ResourceColumns, amount: int) -> bool:
    """Return whether all hosts give the amount; where few have limits of their own, a look at one is enough."""
    limits = (columns.min_unit, columns.max_unit, columns.step_size)
    if not columns.used.size or any(column.strides != (0,) for column in limits):
        return False
    least, most, step = (int(column[0]) for column in limits)
    return least <= amount <= most and amount % step == 0


def _look_at_parts(table: HostTable, name: str, amount: int, enough: BoolArray, allowed: BoolArray) -> None:
    """Mend the answers for hosts that have the class in parts only: the columns show but one of these."""
    for row, classes in table.of_parts.items():
        if name in classes and not (enough[row] and allowed[row]):
            for part in table.providers.get(row, ()):
                if name in part.resources and part.resources[name].takes(amount):
                    enough[row] = allowed[row] = True
