"""Running a plugin's own code: whatever it raises is said in one line, and one that takes long is named in the log."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator

from tenter import errors

LOG = logging.getLogger(__name__)
SLOW = 5.0
"""Seconds after which a line in the log names a plugin that is still being imported or made."""
PATIENCE = 2.0
"""Seconds that a plugin which is being made has left when its process is told to stop."""
LONGEST = 500
"""Most characters of a plugin's own words in a message."""


def _line(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def words_of(exc: BaseException) -> str:
    """Return what an exception says, in one line; nothing, if it cannot say anything."""
    try:
        return _line(str(exc))
    except BaseException:  # even SystemExit, of a plugin's ``__str__``
        return ""


def said(exc: BaseException) -> str:
    """Return what an exception says, in one line; its class, unless it is one of ours or about an import. Its class
    only, if it cannot say anything."""
    words = words_of(exc).rstrip(".")
    if isinstance(exc, (errors.TenterError, ImportError)) and words:
        return words
    return f"{words} ({type(exc).__name__})" if words else type(exc).__name__


def shown(thing: object) -> str:
    """Return an object's ``repr`` in one line; its class, if that cannot be told."""
    try:
        return _line(repr(thing))
    except BaseException:
        return f"an object of class {type(thing).__name__}"


@contextlib.contextmanager
def guarded(who: str, doing: str, failed: Callable[[BaseException], Exception]) -> Iterator[None]:
    """Run foreign code. Whatever it raises becomes what ``failed`` returns, except what a signal's handler raised.

    ``who`` and ``doing`` (``being imported``) are for the line in the log. A process that is told to stop meanwhile
    ends within ``PATIENCE`` seconds, with code 0: nothing else would end a constructor that hangs.
    """
    told = threading.Event()
    slow = _timer(SLOW, lambda: LOG.warning("%s has been %s for %g s and goes on", who, doing, SLOW))
    with _listening(told):
        try:
            yield
        except BaseException as exc:
            if told.is_set() and not isinstance(exc, Exception):
                raise
            LOG.debug("%s failed while %s", who, doing, exc_info=True)
            raise failed(exc) from exc
        finally:
            slow.cancel()


def _timer(seconds: float, call: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer


@contextlib.contextmanager
def _listening(told: threading.Event) -> Iterator[None]:
    """Set ``told`` when a signal asks the process to stop, before what handles it otherwise is called."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last: list[threading.Timer] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    handled = {number: handler for number, handler in before.items() if callable(handler)}

    def hear(number: int, frame: object) -> None:
        told.set()
        last.append(_timer(PATIENCE, lambda: os._exit(0)))
        handled[signal.Signals(number)](number, frame)  # type: ignore[arg-type]

    for number in handled:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
        for timer in last:
            timer.cancel()
