"""The thread that calls listeners, and what guards everybody else from them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from tenter.contracts.hooks import Event
from tenter.plugins.emitter import Emitter, HookCount, HookFigures
from tenter.plugins.guard import words_of

LOG = logging.getLogger(__name__)
PATIENCE = 10
"""Budgets for which a call that does not return is waited for."""
DROPS_SAID_EVERY = 60.0
"""Seconds between two lines of the log on events that were dropped."""


@dataclass(frozen=True)
class Listener:
    """A listener or notifier as the dispatcher knows it. ``origin()`` names its distribution, for messages."""

    kind: str
    name: str
    origin: Callable[[], str]
    close: Callable[[], None]

    def __str__(self) -> str:
        return f"{'hook listener' if self.kind == 'hook' else self.kind} {self.name!r} ({self.origin()})"


@dataclass
class Call:
    """One listener's implementation of one hook, and how it has fared."""

    listener: Listener
    hook: str
    function: Callable[[Event], object]
    calls: int = 0
    failures: int = 0
    slow: int = 0


class _Worker(threading.Thread):
    """Calls listeners until the queue ends, or until it is retired because one of them does not return."""

    def __init__(self, owner: Dispatcher, event: Event | None = None, rest: Iterable[Call] = ()) -> None:
        """``rest`` of the listeners are to be told ``event`` before anything else is."""
        super().__init__(name="hooks", daemon=True)
        self._owner, self.event, self.rest = owner, event, iter(rest)
        self.lock = threading.Lock()
        """Held while a call is ended: either it has returned in time, or its worker was retired."""

        self.calling: Call | None = None
        self.number = 0
        self.retired = False

    def run(self) -> None:
        owner = self._owner
        while self._tell():
            self.event = owner.queue.get()
            if self.event is None:
                for listener in owner.listeners:
                    _close(listener)
                owner.drained.set()
                return
            self.rest = iter(owner.table.get(type(self.event), ()))

    def _tell(self) -> bool:
        """Call who is still to be told of the event; return whether this thread is to go on. It is written flat, for
        all that is not the listeners' own time is paid for each of them."""
        event, budget, lock, clock = self.event, self._owner.budget, self.lock, time.monotonic
        for call in self.rest:
            self.number += 1  # before ``calling``, so that the one is never taken for the other's
            self.calling = call
            failure: BaseException | None = None
            began = clock()
            try:
                call.function(event)  # type: ignore[arg-type]
            except BaseException as exc:  # even SystemExit must not end the thread that all share
                failure = exc
            took = clock() - began
            with lock:
                if self.retired:
                    return False
                self.calling = None
            call.calls += 1
            if failure is not None:
                _say_failed(call, failure)
            if took > budget:
                _say_slow(call, took, budget)
        return True


class Dispatcher(Emitter):
    """A bounded queue, a thread that empties it, and one that watches over the first."""

    active = True

    def __init__(
        self, host: str, listeners: Sequence[Listener], table: Mapping[type[Event], Sequence[Call]], budget: float,
        size: int,
    ) -> None:  # fmt: skip
        """``table`` has the calls of each event in order, ``budget`` is in seconds, ``size`` in events."""
        super().__init__(host)
        self.listeners, self.table, self.budget, self._size = tuple(listeners), dict(table), budget, size
        self._calls = [call for calls in table.values() for call in calls]
        self.queue: SimpleQueue[Event | None] = SimpleQueue()
        self.drained, self._closed = threading.Event(), threading.Event()
        self._taken_out: list[Listener] = []
        self._dropped, self._said = 0, float("-inf")
        self._worker = _Worker(self)
        self._worker.start()
        threading.Thread(target=self._watch, name="hooks-watch", daemon=True).start()

    def emit(self, event: Event) -> None:
        """Put an event into the queue, if anybody listens to its kind and there is room."""
        if type(event) not in self.table:
            return
        if self.queue.qsize() < self._size:
            self.queue.put(event)
        else:
            self._drop()

    def figures(self) -> HookFigures:
        """Return what was counted."""
        counts = [
            HookCount(call.listener.kind, call.listener.name, call.hook, call.calls, call.failures, call.slow)
            for call in self._calls
        ]
        return HookFigures(counts, [(each.kind, each.name) for each in self._taken_out], self._dropped)

    def close(self) -> None:
        """Tell what waits, for at most the budget; then nobody is told any more, and who still runs is left alone."""
        if self._closed.is_set():
            return
        self.active = False
        self.queue.put(None)
        if not self.drained.wait(self.budget):
            with self._worker.lock:
                self._worker.retired = True
            busy, left = self._worker.calling, max(0, self.queue.qsize() - 1)
            LOG.warning(
                "Listeners were not done in time; %d events were not told%s", left,
                f"; {busy.listener} was at {busy.hook}" if busy else "",
            )  # fmt: skip
        self._closed.set()
        for count in self.figures().counts:
            if count.failures or count.slow:
                LOG.info(
                    "Of %d calls of %s %r at %s, %d failed and %d were slow",
                    count.calls, count.kind, count.plugin, count.hook, count.failures, count.slow,
                )  # fmt: skip

    def _drop(self) -> None:
        self._dropped += 1
        if time.monotonic() - self._said >= DROPS_SAID_EVERY:
            self._said = time.monotonic()
            LOG.warning(
                "%d events were dropped until now: more than [hooks] queue_size = %d wait for slow listeners",
                self._dropped, self._size,
            )  # fmt: skip

    def _watch(self) -> None:
        """Look once in a budget. Looks are counted and not seconds: a process that was halted has slow listeners, but
        none that hangs."""
        seen, looks = (self._worker, 0), 0
        while not self._closed.wait(self.budget):
            worker, number = self._worker, self._worker.number
            looks = looks + 1 if worker.calling is not None and seen == (worker, number) else 0
            seen = (worker, number)
            if looks >= PATIENCE:
                self._take_out(worker, number)

    def _take_out(self, worker: _Worker, number: int) -> None:
        with worker.lock:
            call = worker.calling
            if call is None or worker.number != number:
                return
            worker.retired = True
        hung = call.listener
        self._taken_out.append(hung)
        self.listeners = tuple(each for each in self.listeners if each is not hung)
        self.table = {
            event: left
            for event, calls in self.table.items()
            if (left := [each for each in calls if each.listener is not hung])
        }
        LOG.error(
            "The %s did not return from %s within %g s and is not called again until this process is restarted; the "
            "others go on. Mend or update it, or take it out of the configuration.",
            hung, call.hook, PATIENCE * self.budget,
        )  # fmt: skip
        self._worker = _Worker(self, worker.event, [each for each in worker.rest if each.listener is not hung])
        self._worker.start()


def _say_failed(call: Call, failure: BaseException) -> None:
    call.failures += 1
    LOG.warning("The %s failed at %s: %s: %s", call.listener, call.hook, type(failure).__name__, words_of(failure))
    LOG.debug("Where it failed", exc_info=failure)


def _say_slow(call: Call, took: float, budget: float) -> None:
    call.slow += 1
    LOG.warning("The %s took %.1f s for %s, more than [hooks] budget = %g", call.listener, took, call.hook, budget)


def _close(listener: Listener) -> None:
    try:
        listener.close()
    except BaseException as exc:  # as above: the others are to be closed too
        LOG.warning("The %s cannot be closed: %s: %s", listener, type(exc).__name__, words_of(exc))
