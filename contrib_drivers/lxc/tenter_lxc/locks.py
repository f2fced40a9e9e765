"""One lock for each guest, kept only while somebody holds or awaits it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary


class GuestLocks:
    """Locks by name within one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, Any] = WeakValueDictionary()

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock of ``name``; other threads that ask for it wait."""
        with self._guard:
            lock = self._locks.setdefault(name, threading.RLock())
        with lock:
            yield
