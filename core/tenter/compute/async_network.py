"""A NetworkInfo that is being allocated in a thread while the guest is being made."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import TimeoutError as FutureTimeout

from tenter import errors
from tenter.contracts.network import VIF, NetworkInfo

LOG = logging.getLogger(__name__)


class AsyncNetworkInfo(NetworkInfo):
    """Blocks at its first read, at most until ``deadline`` seconds after it was made.

    What the allocation raised is raised at that first read, with its own traceback; later reads raise it again as a
    plain NetworkFailed.
    """

    def __init__(self, executor: Executor, allocate: Callable[[], tuple[VIF, ...]], deadline: float) -> None:
        super().__init__()
        self._deadline, self._until = deadline, time.monotonic() + deadline
        self._lock = threading.Lock()
        self._told: errors.TenterError | None = None
        self._future: Future[tuple[VIF, ...]] = executor.submit(allocate)

    def wait(self) -> tuple[VIF, ...]:
        """Return the VIFs. Raises NetworkFailed, or whichever error of :mod:`tenter.errors` the allocation raised."""
        with self._lock:
            if self._told is not None:
                raise errors.NetworkFailed(self._told.message)
            try:
                return self._future.result(max(0.0, self._until - time.monotonic()))
            except errors.TenterError as exc:
                self._told = exc
                raise
            except (FutureTimeout, CancelledError) as exc:
                self._told = errors.NetworkFailed(f"The network was not allocated within {self._deadline:.0f} s.")
                raise self._told from exc
            except Exception as exc:
                LOG.exception("Network allocation failed")
                self._told = errors.NetworkFailed(f"The network could not be allocated ({type(exc).__name__}).")
                raise self._told from exc

    def settle(self, late: Callable[[], None]) -> None:
        """Cancel the allocation or wait for its end, at most until the deadline, so that it can be given back.

        If it goes on even then, ``late`` is called in its thread when it ends.
        """
        if self._future.cancel():
            return
        try:
            self._future.exception(max(0.0, self._until - time.monotonic()))
        except FutureTimeout:
            self._future.add_done_callback(lambda future: late())
