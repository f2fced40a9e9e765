"""Batches: the instances of one request are decided about in one pass, and each takes its share when its turn comes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tenter.scheduler.decision import Decision

LIFETIME = 5.0
"""Seconds after which what was decided for a batch is too old to be used."""


@dataclass
class _Batch:
    """What was decided for a batch and is left."""

    made_at: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)
    left: deque[Decision] = field(default_factory=deque)


class Batches:
    """What was decided for batches and is not taken yet: a hint, for the claim decides."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches: dict[str, _Batch] = {}

    def take(self, name: str, decide: Callable[[], Sequence[Decision]]) -> Decision:
        """Return the next decision of a batch. If none is left, or they are too old, ``decide`` makes the next ones,
        and the others wait."""
        batch = self._of(name)
        with batch.lock:
            if not batch.left or time.monotonic() - batch.made_at > LIFETIME:
                batch.left = deque(decide())
                batch.made_at = time.monotonic()
            return batch.left.popleft()

    def _of(self, name: str) -> _Batch:
        oldest = time.monotonic() - 2 * LIFETIME
        with self._lock:
            for known in [known for known, batch in self._batches.items() if batch.made_at < oldest]:
                del self._batches[known]
            return self._batches.setdefault(name, _Batch())
