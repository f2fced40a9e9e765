"""Who kills, stops and restarts the processes, by a seed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter

from tests.chaos.fleet import Fleet, Service

PAUSE = (0.4, 2.6)
"""Least and most seconds between two faults."""
WEIGHTS = {
    "kill -9 compute": 34,
    "kill -9 conductor": 24,
    "kill -9 API worker": 18,
    "kill -9 API, all of it": 3,
    "kill -9 API master": 2,
    "SIGSTOP compute": 4,
    "SIGSTOP conductor": 4,
    "SIGSTOP API worker": 2,
    "SIGTERM compute": 4,
    "SIGTERM conductor": 3,
    "SIGTERM API": 2,
}
_WHOLE_API = ("kill -9 API, all of it", "kill -9 API master", "SIGTERM API")


class Monkey(threading.Thread):
    """Does one thing after another until told to stop. ``done`` counts faults by kind."""

    def __init__(self, fleet: Fleet, rng: random.Random, stop: threading.Event) -> None:
        super().__init__(daemon=True, name="monkey")
        self._fleet, self._rng, self._stop_asked = fleet, rng, stop
        self.done: Counter[str] = Counter()
        self.failed: str | None = None
        self._thaws: list[threading.Timer] = []

    @property
    def kills(self) -> int:
        """How many times SIGKILL was sent."""
        return sum(count for kind, count in self.done.items() if kind.startswith("kill"))

    def run(self) -> None:
        """Go on until told to stop, then let everything go on."""
        try:
            while not self._stop_asked.wait(self._rng.uniform(*PAUSE)):
                kind = self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                if self._do(kind):
                    self.done[kind] += 1
        except Exception as exc:
            self.failed = repr(exc)
        for timer in self._thaws:
            timer.join()

    def _do(self, kind: str) -> bool:
        how, _, what = kind.partition(" ")
        what = what.removeprefix("-9 ")
        wanted = "api" if what.startswith("API") else what
        # One that has only just been started would only ever be starting.
        there = [
            service for service in self._fleet.services.values()
            if service.kind == wanted and service.alive and not service.frozen
            and time.monotonic() - service.started > self._rng.uniform(0.5, 6) + (8 if kind in _WHOLE_API else 0)
        ]  # fmt: skip
        if not there:
            return False
        service = self._rng.choice(there)
        if how == "SIGTERM":
            # A process whose Python is still starting has no handler yet.
            service.expected |= {0, -signal.SIGTERM}
            service.signal(signal.SIGTERM)
        elif how == "SIGSTOP":
            return self._freeze(service, what == "API worker")
        elif what == "API worker":
            return self._to_worker(service, signal.SIGKILL) is not None
        else:
            service.expected.add(-signal.SIGKILL)
            service.signal(signal.SIGKILL, group=what != "API master")
        return True

    def _to_worker(self, service: Service, number: int) -> int | None:
        workers = service.children()
        if not workers:
            return None
        pid = self._rng.choice(workers)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
        return pid

    def _freeze(self, service: Service, worker: bool) -> bool:
        """Stop a process for longer than the lease."""
        pid = None
        if worker:
            pid = self._to_worker(service, signal.SIGSTOP)
            if pid is None:
                return False
        else:
            service.frozen = True
            service.signal(signal.SIGSTOP, group=True)
        started, seconds = service.starts, self._fleet.lease * self._rng.uniform(1.2, 1.8)

        def thaw() -> None:
            if pid is not None:
                # Only while it is still that worker: a pid may be another process's by then.
                if pid in service.children():
                    os.kill(pid, signal.SIGCONT)
            elif service.starts == started:
                service.signal(signal.SIGCONT, group=True)
                service.frozen = False

        timer = threading.Timer(seconds, thaw)
        timer.start()
        self._thaws.append(timer)
        return True
