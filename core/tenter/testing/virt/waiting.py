"""Waiting for conditions, calls in threads, and errors that may cross the boundary."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tenter import errors
from tenter.contracts.network import VIF, NetworkInfo

_POLL = 0.02


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return as soon as ``condition`` holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(_POLL)


class Call(threading.Thread):
    """A call that runs in a thread, from now on. The thread does not keep the process alive if it hangs."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Make the call."""
        try:
            self._result = self._call()
        except BaseException as exc:
            self._error = exc

    def result(self, seconds: float) -> Any:
        """Return what it returned, or raise what it raised; fail if it has not ended within ``seconds``."""
        error = self.error(seconds)
        if error is not None:
            raise error
        return self._result

    def error(self, seconds: float) -> BaseException | None:
        """Return what it raised, None if nothing; fail if it has not ended within ``seconds``."""
        self.join(seconds)
        if self.is_alive():
            pytest.fail(f"a call has not ended after {seconds:g} s")
        return self._error


class WatchedNetwork(NetworkInfo):
    """A network that calls ``before`` at each read: to see when it is read, to block there, or to fail."""

    def __init__(self, vifs: list[VIF], before: Callable[[], None]) -> None:
        super().__init__(vifs)
        self._before = before

    def wait(self) -> tuple[VIF, ...]:
        """Return the VIFs after ``before``."""
        self._before()
        return super().wait()


@contextlib.contextmanager
def refused(*expected: type[errors.TenterError], what: str = "this") -> Iterator[None]:
    """Fail unless one of the ``expected`` errors is raised inside; ``what`` names the call in the message."""
    names = f"{what}: {' or '.join(each.__name__ for each in expected)}"
    try:
        yield
    except expected:
        return
    except errors.TenterError as exc:
        pytest.fail(f"{names} should have been raised, not {type(exc).__name__}: {exc}")
    except Exception as exc:
        pytest.fail(f"{names} should have been raised; {type(exc).__name__} must not leave a driver: {exc}")
    pytest.fail(f"{names} should have been raised, and nothing was")


def only_ours(error: BaseException | None, what: str) -> None:
    """Fail if ``error`` is one that must not leave a driver."""
    if error is not None and not isinstance(error, errors.TenterError):
        pytest.fail(f"{what} let {type(error).__name__} leave the driver: {error}")
