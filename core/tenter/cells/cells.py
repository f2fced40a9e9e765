"""The cells of a fabric: each has a database (and in time a bus) of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tenter import errors
from tenter.store import instances
from tenter.store.engine import Database


@dataclass(frozen=True)
class Cell:
    """One shard: its key, its name and its database."""

    uuid: str
    name: str
    db: Database


class Cells:
    """All cells, and the way from an instance to its own."""

    def __init__(self, api_db: Database, cells: Iterable[Cell]) -> None:
        self._api_db = api_db
        self._cells = {cell.uuid: cell for cell in cells}

    def all(self) -> list[Cell]:
        """Return every cell."""
        return list(self._cells.values())

    def get(self, uuid: str) -> Cell:
        """Return a cell. Raises NotFound."""
        try:
            return self._cells[uuid]
        except KeyError:
            raise errors.NotFound(f"There is no cell {uuid}.") from None

    def of(self, instance_uuid: str) -> Cell | None:
        """Return the cell an instance is in, None while it is in none. Raises NotFound if there is no instance."""
        place = instances.place_of(self._api_db, instance_uuid)
        if place is None:
            raise errors.NotFound(f"Instance {instance_uuid} could not be found.")
        return self.get(place["cell_uuid"]) if place["state"] == instances.PLACED else None
