"""Asking cells that may be slow or away, each in a thread of its own, and remembering for a while which did not answer.

A cell that did not answer is *away*: it is not asked again for some seconds; then one request tries it. Whenever a cell
gives no answer, a small query is sent after the question: if that one is answered, it was only the question that was
too hard, and the cell is not away any more.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors
from tenter.store.cell_schema import services
from tenter.store.engine import Database

LOG = logging.getLogger(__name__)
T = TypeVar("T")
MAX_RUNNING = 48
"""Questions that may run in one cell at once, those included that nobody waits for any more."""

_PROBE = sa.select(services.c.uuid).limit(1)
_AWAY = (errors.Unavailable, errors.ResourceExhausted, db_exception.DBError, OSError)


class Asked(Protocol):
    """What is needed of a cell to ask it."""

    @property
    def uuid(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def db(self) -> Database: ...


C = TypeVar("C", bound=Asked)


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What cells said, by their UUIDs, and the UUIDs of those that did not answer."""

    found: Mapping[str, T]
    away: Sequence[str] = ()


@dataclass
class _Health:
    """What is known of one cell. ``why`` is empty unless it is away, and then ``retry_at`` is when to try again;
    ``quiet`` if its database says itself in the log that it is."""

    why: str = ""
    retry_at: float = 0.0
    quiet: bool = False
    running: int = 0


@dataclass
class Asking:
    """Asks cells. ``timeout`` is how long an answer is waited for, ``retry`` how long a cell that gave none is left in
    peace; both in seconds. Threads that wait for a database cannot be stopped: they are daemons, and bounded a cell."""

    timeout: float = 5.0
    retry: float = 5.0
    kind: str = "Cell"
    """What the log calls those that are asked."""
    _health: dict[str, _Health] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(
        self, cells: Sequence[C], question: Callable[[C], T], here: bool = False, alone: bool = False
    ) -> Answers[T]:
        """Return what the cells answer to ``question``, in the order of ``cells``; it must only read, or be safe to be
        done again: a question that is no longer waited for may still be answered.

        ``here``: in this thread, with no limit of time. ``alone``: one that is late does not make its cell away, for
        there is no other. An error that does not mean that a cell is away is raised.
        """
        asked = [cell for cell in cells if self._may_ask(cell)]
        futures = {} if here else {cell.uuid: self._start(cell, question) for cell in asked}
        if futures:
            wait(futures.values(), timeout=self.timeout)
        found: dict[str, T] = {}
        for cell in asked:
            if not here and not futures[cell.uuid].done():
                if not alone:
                    self._lost(cell, f"It did not answer within {self.timeout:g} s.")
                continue
            try:
                found[cell.uuid] = question(cell) if here else futures[cell.uuid].result()
            except _AWAY as exc:
                self._lost(cell, _words(exc), isinstance(exc, errors.CellAway))
            else:
                self._back(cell)
        return Answers(found, [cell.uuid for cell in cells if cell.uuid not in found])

    @contextlib.contextmanager
    def using(self, cell: Asked) -> Iterator[None]:
        """Do something in a cell, in this thread. Raises Unavailable if it is away, at once if that is known."""
        with self._lock:
            known = self._health.get(cell.uuid)
            if known is not None and known.why:
                if time.monotonic() < known.retry_at:
                    raise self.unavailable()
                # This one tries it; the others do not wait with it.
                known.retry_at = time.monotonic() + self.timeout + self.retry
        try:
            yield
        except errors.Unavailable as exc:
            self._lost(cell, _words(exc), isinstance(exc, errors.CellAway))
            raise self.unavailable() from exc
        self._back(cell)

    def is_away(self, cell: Asked) -> bool:
        """Return whether the cell did not answer when it was asked last."""
        with self._lock:
            return bool(self._health.setdefault(cell.uuid, _Health()).why)

    def answers(self, uuid: str) -> None:
        """Be told that a cell was seen to answer: it is asked at once."""
        with self._lock:
            if uuid in self._health:
                self._health[uuid].why = ""

    def unavailable(self, what: str = "The cell of this server") -> errors.Unavailable:
        """Return the error to raise for what is in a cell that is away; it says when to ask again."""
        after = max(1, math.ceil(self.retry))
        sentence = f"{what} does not answer now. Nothing is lost; ask again in {after} s."
        return errors.Unavailable(sentence, retry_after=after)

    def _may_ask(self, cell: Asked) -> bool:
        with self._lock:
            health = self._health.setdefault(cell.uuid, _Health())
            if health.running >= MAX_RUNNING:
                return False
            if health.why:
                if time.monotonic() < health.retry_at:
                    return False
                # This request tries it; the others go on without it.
                health.retry_at = time.monotonic() + self.timeout + self.retry
            return True

    def _start(self, cell: C, question: Callable[[C], T]) -> Future[T]:
        future: Future[T] = Future()
        health = self._health[cell.uuid]
        with self._lock:
            health.running += 1

        def run() -> None:
            try:
                future.set_result(question(cell))
            except BaseException as exc:
                future.set_exception(exc)
            finally:
                with self._lock:
                    health.running -= 1

        threading.Thread(target=run, name=f"ask-{cell.name}", daemon=True).start()
        return future

    def _lost(self, cell: Asked, why: str, quiet: bool = False) -> None:
        with self._lock:
            health = self._health.setdefault(cell.uuid, _Health())
            new, health.why = not health.why, why
            health.quiet = quiet if new else health.quiet
            health.retry_at = time.monotonic() + self.retry
            probe = health.running < MAX_RUNNING
        if new:
            LOG.log(logging.DEBUG if quiet else logging.WARNING, "%s %s does not answer: %s", self.kind, cell.name, why)
        if probe:
            self._start(cell, _read).add_done_callback(
                lambda future: None if future.exception() else self._back(cell)
            )

    def _back(self, cell: Asked) -> None:
        health = self._health.get(cell.uuid)
        if health is None or not health.why:
            return
        with self._lock:
            was, health.why = health.why, ""
        if was:
            LOG.log(logging.DEBUG if health.quiet else logging.INFO, "%s %s answers again", self.kind, cell.name)


def _read(cell: Asked) -> None:
    with cell.db.read() as connection:
        connection.execute(_PROBE).first()


def _words(error: BaseException) -> str:
    return error.message if isinstance(error, errors.TenterError) else f"Its database fails ({type(error).__name__})."
