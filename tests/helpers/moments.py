"""Moments: the places between two effects, where a process may die or somebody else may act.

Every transaction that a step has committed, and every driver call that it has ended, is a moment, and so is the one
before all of them. (What was begun and not ended is the same as not begun, as far as the next process can see.)
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.helpers.cloud import Cloud

VIRT = ("spawn", "destroy", "power_on", "power_off", "reboot")
NETWORK = ("allocate", "deallocate")
Hook = Callable[[], None]


class Crash(BaseException):
    """The process died here. No code catches it, as no code catches SIGKILL."""


class Moments:
    """Counts the moments of one cloud's process; runs a hook at some of them. ``CRASH`` as hook kills the process."""

    def __init__(self, cloud: Cloud, hooks: dict[int, Hook | type[Crash]] | None = None) -> None:
        self.hooks = dict(hooks or {})
        self.passed: list[str] = []
        self.dead = threading.Event()
        self._lock = threading.RLock()
        self._muted = threading.local()
        for name, db in (("api", cloud.fabric.api_db), ("cell", cloud.cell.db)):
            db.write = functools.partial(self._write, name, db.write)  # type: ignore[method-assign]
            db.read = functools.partial(self._read, db.read)  # type: ignore[method-assign]
        for driver, methods in ((cloud.virt, VIRT), (cloud.embedded.network, NETWORK)):
            for method in methods:
                setattr(driver, method, functools.partial(self._call, method, getattr(driver, method)))

    def _counts(self) -> bool:
        name = threading.current_thread().name
        return ("-step" in name or name.startswith("network")) and not getattr(self._muted, "on", False)

    def _pass(self, what: str) -> None:
        if self.dead.is_set():
            raise Crash(what)
        if not self._counts() or (what.startswith("before") and self.passed):
            return
        with self._lock:
            hook = self.hooks.get(len(self.passed))
            self.passed.append(what)
        if hook is None:
            return
        if isinstance(hook, type):
            self.dead.set()
            raise Crash(what)
        self._muted.on = True
        try:
            hook()
        finally:
            self._muted.on = False

    @contextlib.contextmanager
    def _write(self, name: str, real: Any) -> Iterator[Any]:
        self._pass(f"before write {name}")
        with real() as connection:
            yield connection
        self._pass(f"after commit {name}")

    @contextlib.contextmanager
    def _read(self, real: Any) -> Iterator[Any]:
        if self.dead.is_set():
            raise Crash("read")
        with real() as connection:
            yield connection

    def _call(self, method: str, real: Callable[..., Any], *args: Any) -> Any:
        self._pass(f"before {method}")
        result = real(*args)
        self._pass(f"after {method}")
        return result
