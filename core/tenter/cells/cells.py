"""The cells of a fabric: each has a database (and in time a bus) of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from tenter import errors
from tenter.cells.asking import Answers, Asking
from tenter.store.cells import CellRow, list_cells, unknown_cell
from tenter.store.engine import Database

LOG = logging.getLogger(__name__)
Opener = Callable[[CellRow], Database]
T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One shard: its key, its name and its database. A disabled one takes no new instances."""

    uuid: str
    name: str
    db: Database
    disabled: bool = False


class Cells:
    """All cells, and the ways to ask them.

    With an ``opener`` the rows of the API database are looked at again every ``refresh`` seconds, so that a cell that
    is added or disabled is so in every process soon. The database of a cell may be away: using it raises Unavailable.
    """

    def __init__(
        self, api_db: Database, cells: Iterable[Cell] = (), opener: Opener | None = None, refresh: float = 5.0,
        asking: Asking | None = None,
    ) -> None:  # fmt: skip
        self.asking = asking or Asking()
        self._api_db, self._opener, self._refresh = api_db, opener, refresh
        self._cells = {cell.uuid: cell for cell in cells}
        self._lock = threading.Lock()
        self._looked = 0.0

    def all(self) -> list[Cell]:
        """Return every cell, also those that are disabled or away."""
        self._look()
        return list(self._cells.values())

    def enabled(self) -> list[Cell]:
        """Return the cells that take new instances; some may be away."""
        return [cell for cell in self.all() if not cell.disabled]

    def get(self, uuid: str) -> Cell:
        """Return a cell. Raises NotFound."""
        if uuid not in self._cells:
            self._look(at_most_every=0.5)
        try:
            return self._cells[uuid]
        except KeyError:
            raise errors.NotFound(f"There is no cell {uuid}.") from None

    def named(self, name: str) -> Cell:
        """Return the cell of that name. Raises NotFound, and says which there are."""
        for cell in self.all():
            if cell.name == name:
                return cell
        raise unknown_cell(self._api_db, name)

    def ask(self, question: Callable[[Cell], T], cells: Sequence[Cell] | None = None) -> Answers[T]:
        """Return what the cells (default: all) answer to a question that only reads, within the configured time, and
        which did not. The only cell there is, is asked in this thread."""
        known = self.all()
        return self.asking.ask(known if cells is None else cells, question, here=len(known) == 1)

    def ask_one(self, uuid: str, question: Callable[[Cell], T]) -> T:
        """Return what one cell answers to a question that only reads. Raises Unavailable if it does not."""
        try:
            cell = self.get(uuid)
        except errors.NotFound:
            # It was added a moment ago, and this process has not looked again yet.
            raise self.asking.unavailable() from None
        answers = self.ask(question, [cell])
        if answers.away:
            raise self.asking.unavailable()
        return answers.found[uuid]

    def change(self, uuid: str, work: Callable[[Cell], T]) -> T:
        """Return what a change in one cell came to. Raises Unavailable if that is not known within the configured time:
        the change may be made all the same, even later, so it must be one that can be made again."""
        try:
            cell = self.get(uuid)
        except errors.NotFound:
            raise self.asking.unavailable() from None
        answers = self.asking.ask([cell], work, alone=len(self._cells) == 1)
        if answers.away:
            raise self.asking.unavailable()
        return answers.found[uuid]

    @contextmanager
    def using(self, cell: Cell) -> Iterator[Database]:
        """Yield the cell's database, to be used in this thread. Raises Unavailable (with when to ask again)."""
        with self.asking.using(cell):
            yield cell.db

    def close(self) -> None:
        """Close the databases of all cells."""
        for cell in list(self._cells.values()):
            cell.db.close()

    def _look(self, at_most_every: float | None = None) -> None:
        age = self._refresh if at_most_every is None else at_most_every
        if self._opener is None or (self._looked and time.monotonic() - self._looked < age):
            return
        # One thread looks; the others go on with what is known, unless nothing is.
        if not self._lock.acquire(blocking=not self._looked):
            return
        try:
            if not self._looked or time.monotonic() - self._looked >= age:
                self._read(self._opener)
        except errors.Unavailable as exc:
            if not self._looked:
                raise
            LOG.warning("Cannot look for new cells: %s", exc)
        finally:
            self._lock.release()

    def _read(self, opener: Opener) -> None:
        found = {}
        for row in list_cells(self._api_db):
            known = self._cells.get(row.uuid)
            if known is None:
                LOG.debug("Cell %s is known from now on", row.name)
                found[row.uuid] = Cell(row.uuid, row.name, opener(row), row.disabled)
            else:
                found[row.uuid] = replace(known, name=row.name, disabled=row.disabled)
        self._cells = found
        self._looked = time.monotonic()
