"""What the shipped weighers share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tenter.contracts.base import PluginSetup
from tenter.contracts.weigher import ColumnWeigher
from tenter_plugins.weighers.options import SECTION

if TYPE_CHECKING:
    from tenter.contracts.table import HostTable, IntArray


class OptionWeigher(ColumnWeigher):
    """A column whose multiplier is the first of ``options``. Aggregates set it by metadata of the same name."""

    contract = "weigher 1.0"
    prompt = True
    section = SECTION

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if cls.options:
            cls.aggregate_multiplier = cls.options[0].dest

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._multiplier = float(self.option(self.options[0].dest))

    def option(self, name: str) -> Any:
        """Return the value of an option."""
        return self.setup.conf[self.section][name]

    def multiplier(self) -> float:
        """Return the option's value."""
        return self._multiplier


def nothing(table: HostTable) -> IntArray:
    """Return the column of a weigher that has nothing to say: 0 for every host, stored once."""
    return _zeros(len(table))


@functools.lru_cache(16)
def _zeros(length: int) -> IntArray:
    import numpy as np

    return np.broadcast_to(np.int64(0), (length,))
