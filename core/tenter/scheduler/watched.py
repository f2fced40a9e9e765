"""Running plugins' code so that one which never returns holds up nobody.

A call cannot be ended from outside, so work with plugins runs in a thread beside its caller's. If that thread has been
in one plugin for longer than the budget, it is left to itself, and the work is done anew in another without the plugin.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Generic, TypeVar

LOG = logging.getLogger(__name__)
T = TypeVar("T")
GRACE = 0.5
"""Seconds beyond the budget in which a call may still come back."""
QUARANTINE = 60.0
"""Seconds for which a plugin that stalled is not asked again."""


class Progress:
    """Which plugin a piece of work is in, and since when."""

    def __init__(self) -> None:
        self.name = ""
        self.since = time.monotonic()

    def enter(self, name: str) -> None:
        """Say that a plugin is asked from now on."""
        self.since = time.monotonic()
        self.name = name


class _Beside(threading.Thread, Generic[T]):
    """A thread that does one piece of work after the other for one caller."""

    def __init__(self) -> None:
        super().__init__(name="decide", daemon=True)
        self.work: queue.SimpleQueue[tuple[Callable[[], T], Future[T]] | None] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while (item := self.work.get()) is not None:
            work, future = item
            try:
                future.set_result(work())
            except BaseException as exc:
                future.set_exception(exc)
            del item, work, future


class _Own(threading.local):
    """The thread beside the thread that asks; it ends with that."""

    beside: _Beside | None = None

    def thread(self) -> _Beside:
        if self.beside is None:
            self.beside = _Beside()
            self.ending = _Ending(self.beside)
        return self.beside


class _Ending:
    """Ends a thread when what holds this is gone."""

    def __init__(self, beside: _Beside) -> None:
        self._beside = beside

    def __del__(self) -> None:
        self._beside.work.put(None)


class Watched:
    """Runs work, and remembers which plugins stalled."""

    def __init__(self, budget: Callable[[], float]) -> None:
        """``budget`` returns for how many seconds one plugin may be asked at a time."""
        self._budget = budget
        self._own = _Own()
        self._stalled: dict[str, tuple[float, str]] = {}

    def stalled(self) -> Mapping[str, str]:
        """Return what is wrong with the plugins that are not to be asked now, by their names."""
        at = time.monotonic()
        return {name: why for name, (until, why) in list(self._stalled.items()) if at < until}

    def run(self, work: Callable[[Progress, Mapping[str, str]], T]) -> T:
        """Return what ``work`` returns; it is given its progress and the plugins that are not to be asked."""
        while True:
            progress, stalled = Progress(), self.stalled()
            future: Future[T] = Future()
            beside = self._own.thread()
            beside.work.put((functools.partial(work, progress, stalled), future))
            if self._waited(future, progress):
                return future.result()
            self._own.beside = None

    def _waited(self, future: Future[T], progress: Progress) -> bool:
        """Wait until the work has ended; return False if a plugin has stalled meanwhile."""
        budget = self._budget()
        while True:
            name, since = progress.name, progress.since
            # A rule is given up by itself between two hosts; only one that does not return is late here.
            left = since + budget + GRACE - time.monotonic()
            if name and left <= 0 and (name, since) == (progress.name, progress.since):
                why = f"It took more than {budget:g} s and is not asked for {QUARANTINE:g} s."
                LOG.error("Plugin %s has stalled a decision. %s", name, why)
                self._stalled[name] = time.monotonic() + QUARANTINE, why
                return False
            try:
                future.exception(timeout=max(left, 0.01))
            except NotYet:
                continue
            return True
