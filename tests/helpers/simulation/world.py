"""Threads and time under the control of a schedule.

What would be a thread is an *activity*: a thread that goes on only when the world lets it, and gives the turn back at
each *moment* (before the begin and after the commit of a transaction, before and after a driver call) and wherever it
waits. So exactly one runs at a time, and who is next is chosen. Time stands still while anybody can go on, and then
jumps to the next moment that somebody waits for.
"""

from __future__ import annotations

import _thread
import collections
import random
import threading
from collections.abc import Callable
from typing import Any

Work = Callable[[], object]
EPOCH = 1_800_000_000.0
TRACE = 20000
"""Lines of the schedule that are kept for when something is broken."""


class Crash(BaseException):
    """The process died here. No code catches it, as no code catches SIGKILL."""


class Process:
    """What dies together. ``frozen_until``: it is stopped (SIGSTOP) until that time."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.dead = False
        self.frozen_until = 0.0
        self.activities: list[Activity] = []


class Activity:
    """One thread of a process."""

    def __init__(self, process: Process, name: str, work: Work, about: str = "") -> None:
        self.process, self.name, self.about, self._work = process, name, about, work
        """``about`` is the UUID of the operation that it was begun for, if it was."""
        self.at = "begin"
        self.crashable = False
        self.doomed = False
        """It dies inside its next transaction, before the commit."""
        self.depth = 0
        """How many transactions it is in: nobody else goes on meanwhile, for they would wait for the file's lock."""
        self.done = False
        self.error: BaseException | None = None
        self.wake: Callable[[], bool] | None = None
        self.until: float | None = None
        self.late_until = 0.0
        self._go = _thread.allocate_lock()
        self._go.acquire()
        self._started = False

    def __str__(self) -> str:
        return f"{self.process.name}/{self.name}" + (f" {self.about[:8]}" if self.about else "")

    def may_go_on(self, at: float) -> bool:
        """Return whether it has nothing to wait for."""
        if self.process.frozen_until > at or self.late_until > at:
            return False
        if self.until is not None and self.until <= at:
            return True
        return self.wake() if self.wake is not None else self.until is None

    def next_time(self) -> float | None:
        """Return when it may go on at the latest, None if only others can help it."""
        held = max(self.process.frozen_until, self.late_until)
        if self.until is not None:
            return max(self.until, held)
        return held if self.wake is None or self.wake() else None

    def run(self) -> None:
        """Let it go on until it gives the turn back. Called by the world only."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._main, name=self.name, daemon=True).start()
        self._go.release()

    def wait(self) -> None:
        """Wait for the turn. Called in its own thread."""
        self._go.acquire()

    def _main(self) -> None:
        self.wait()
        try:
            if not self.process.dead:
                self._work()
        except Crash:
            pass
        except BaseException as exc:
            self.error = exc
        self.process.world.ended(self)


class World:
    """The activities of all processes, the clock, and what has happened."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.monotonic, self.wall_offset = 1000.0, EPOCH
        self.processes: list[Process] = []
        self.current: Activity | None = None
        self.trace: collections.deque[str] = collections.deque(maxlen=TRACE)
        self.moments: collections.Counter[str] = collections.Counter()
        self.surprises: list[str] = []
        self.steps = 0
        self._turn = _thread.allocate_lock()
        self._turn.acquire()

    def say(self, what: str) -> None:
        """Note something in the schedule."""
        self.trace.append(f"{self.monotonic - 1000:8.2f}  {what}")

    def surprise(self, what: str) -> None:
        """Note something that must not happen."""
        self.surprises.append(what)
        self.say(f"SURPRISE {what}")

    def spawn(self, process: Process, name: str, work: Work, about: str = "") -> Activity:
        """Begin an activity; it does nothing yet."""
        activity = Activity(process, name, work, about)
        process.activities.append(activity)
        return activity

    def ended(self, activity: Activity) -> None:
        """Take the turn back for good."""
        activity.done = True
        self._turn.release()

    def here(self) -> Process:
        """Return the process whose activity runs."""
        assert self.current is not None, "nothing but activities uses threads and time"
        return self.current.process

    def park(self, wake: Callable[[], bool] | None = None, timeout: float | None = None) -> None:
        """Give the turn back, until ``wake`` or the time-out (neither: until it is chosen again)."""
        activity = self.current
        assert activity is not None
        if activity.process.dead:
            raise Crash
        activity.wake = wake
        activity.until = None if timeout is None else self.monotonic + timeout
        self._turn.release()
        activity.wait()
        activity.wake, activity.until, activity.crashable = None, None, False
        if activity.process.dead:
            raise Crash

    def moment(self, what: str, crashable: bool = True) -> None:
        """Let the schedule choose who goes on. In the main thread, and inside a transaction, nothing is chosen."""
        activity = self.current
        if activity is None:
            return
        if activity.process.dead:
            raise Crash
        if activity.depth:
            return
        activity.at, activity.crashable = what, crashable
        self.park()

    def ready(self) -> list[Activity]:
        """Return the activities that can go on now."""
        at = self.monotonic
        return [a for process in self.processes for a in process.activities if a.may_go_on(at)]

    def resume(self, activity: Activity) -> None:
        """Let one activity go on to its next moment."""
        self.steps += 1
        before, self.current = self.current, activity
        assert before is None
        activity.run()
        self._turn.acquire()
        self.current = None
        process = activity.process
        if activity.done and activity in process.activities:
            process.activities.remove(activity)
            if activity.error is not None and not process.dead:
                self.surprise(f"{activity} ended with {activity.error!r}")
        if process.dead:
            self.kill(process)

    def kill(self, process: Process) -> None:
        """End a process at once: none of its activities does anything any more."""
        process.dead = True
        while process.activities:
            activity = process.activities.pop()
            if activity._started and not activity.done:
                self.resume(activity)
        if process in self.processes:
            self.processes.remove(process)

    def next_time(self) -> float | None:
        """Return the time at which somebody can go on again."""
        times = [a.next_time() for process in self.processes for a in process.activities]
        return min((time for time in times if time is not None), default=None)

    def run(self, activity: Activity) -> None:
        """Run one activity to its end, as if it were alone."""
        while not activity.done:
            if not activity.may_go_on(self.monotonic):
                after = activity.next_time()
                assert after is not None, f"{activity} waits for others"
                self.monotonic = max(self.monotonic, after)
            self.resume(activity)
        if activity.error is not None:
            raise activity.error


class Time:
    """Stands for the module ``time``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ticks = 0

    def monotonic(self) -> float:
        return self._world.monotonic

    perf_counter = monotonic

    def time(self) -> float:
        return self._world.monotonic + self._world.wall_offset

    def time_ns(self) -> int:
        self._ticks += 1
        return int(self.time() * 1e9) + self._ticks

    def sleep(self, seconds: float) -> None:
        self._world.park(timeout=seconds)


class Lock:
    """A lock that activities wait for."""

    def __init__(self, world: World) -> None:
        self._world, self._held = world, False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._held and not blocking:
            return False
        while self._held:
            self._world.park(lambda: not self._held, None if timeout < 0 else timeout)
            if self._held and timeout >= 0:
                return False
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


class Event:
    """An event that activities wait for."""

    def __init__(self, world: World) -> None:
        self._world, self._set = world, False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._world.park(self.is_set, timeout)
        return self._set


class Condition:
    """A condition that activities wait for."""

    def __init__(self, world: World) -> None:
        self._world, self._lock = world, Lock(world)
        self._waiting: list[list[bool]] = []

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    def notify(self, n: int = 1) -> None:
        for told in self._waiting[:n]:
            told[0] = True
        del self._waiting[:n]

    def notify_all(self) -> None:
        self.notify(len(self._waiting))

    def wait(self, timeout: float | None = None) -> bool:
        told = [False]
        self._waiting.append(told)
        self._lock.release()
        try:
            self._world.park(lambda: told[0], timeout)
        finally:
            self._lock.acquire()
            if told in self._waiting:
                self._waiting.remove(told)
        return told[0]

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        until = None if timeout is None else self._world.monotonic + timeout
        while not predicate():
            left = None if until is None else until - self._world.monotonic
            if left is not None and left <= 0:
                break
            self.wait(left)
        return predicate()
