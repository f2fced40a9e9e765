"""Which cell an instance is in, and asking many cells at once."""

from tenter.cells.cells import Cell, Cells

__all__ = ["Cell", "Cells"]
