"""Stands for ``threading``, ``time`` and ``concurrent.futures`` in the modules of the core that run in processes."""

from __future__ import annotations

import contextlib
import functools
import random
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from tenter.cells.asking import Asking, C, T
from tenter.scheduler import pipeline
from tests.helpers.simulation.world import Activity, Condition, Event, Lock, Time, World

ROOMS = ("tenter.operations", "tenter.compute", "tenter.conductor", "tenter.cells", "tenter.scheduler")
STORE = "tenter.store"


class _Future(Future[Any]):
    """A future that activities wait for."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def _await(self, timeout: float | None) -> None:
        if not self.done() and self._world.current is not None:
            self._world.park(self.done, timeout)

    def result(self, timeout: float | None = None) -> Any:
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._await(timeout)
        return super().exception(0)


class _Pool:
    """Stands for a ThreadPoolExecutor of the process that makes it."""

    def __init__(self, world: World, max_workers: int, thread_name_prefix: str = "pool") -> None:
        self._world, self._process = world, world.here()
        self._free, self._name = max_workers, thread_name_prefix
        self._queue: list[tuple[_Future, Callable[[], Any]]] = []
        self._shut = False

    def submit(self, work: Callable[..., Any], *args: Any) -> _Future:
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = _Future(self._world)
        self._queue.append((future, functools.partial(work, *args)))
        self._feed(next((arg for arg in args if isinstance(arg, str)), ""))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._shut = True
        if cancel_futures:
            for future, _ in self._queue:
                future.cancel()
            self._queue.clear()

    def _feed(self, about: str) -> None:
        if self._free and self._queue:
            self._free -= 1
            self._world.spawn(self._process, self._name, self._work, about)

    def _work(self) -> None:
        while self._queue:
            future, work = self._queue.pop(0)
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except Exception as exc:
                future.set_exception(exc)
        self._free += 1


class _Thread:
    """Stands for a Thread of the process that starts it."""

    def __init__(
        self, world: World, target: Callable[..., object], name: str = "thread", args: Sequence[Any] = (),
        daemon: bool = False,
    ) -> None:  # fmt: skip
        self._world, self.name = world, name
        self._work = functools.partial(target, *args)
        self._activity: Activity | None = None

    def start(self) -> None:
        self._activity = self._world.spawn(self._world.here(), self.name, self._work)

    def join(self, timeout: float | None = None) -> None:
        activity = self._activity
        assert activity is not None
        if not activity.done:
            self._world.park(lambda: activity.done, timeout)


class _Threading:
    """Stands for the module ``threading``."""

    def __init__(self, world: World) -> None:
        self.Thread = functools.partial(_Thread, world)
        self.Lock = self.RLock = functools.partial(Lock, world)
        self.Event = functools.partial(Event, world)
        self.Condition = functools.partial(Condition, world)

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


class OneByOne(Asking):
    """Asks the cells in the thread of who asks."""

    def _start(self, cell: C, question: Callable[[C], T]) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(question(cell))
        except Exception as exc:
            future.set_exception(exc)
        return future


@contextlib.contextmanager
def simulated(world: World, seed: int) -> Iterator[None]:
    """Replace threads, time and chance in the core's modules for a while."""
    chance = random.Random(seed)
    stand_ins: dict[int, Any] = {
        id(threading): _Threading(world), id(time): Time(world),
        id(ThreadPoolExecutor): functools.partial(_Pool, world),
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if not name.startswith((*ROOMS, STORE)):
                continue
            for attribute, value in list(vars(module).items()):
                stand_in = stand_ins.get(id(value))
                # Nobody gives the turn away inside a transaction, so the store's own locks are never waited for.
                if stand_in is not None and not (name.startswith(STORE) and value is threading):
                    stack.enter_context(mock.patch.object(module, attribute, stand_in))
        dice = SimpleNamespace(rng=np.random.default_rng(seed))
        stack.enter_context(mock.patch.object(pipeline, "_Chance", lambda seed: dice))
        stack.enter_context(mock.patch.object(uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4)))
        stack.enter_context(mock.patch.object(secrets, "token_bytes", chance.randbytes))
        stack.enter_context(mock.patch.object(secrets, "token_hex", lambda n: chance.randbytes(n).hex()))
        yield
