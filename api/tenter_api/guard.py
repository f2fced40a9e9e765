"""What stands between the resources of extensions and the rest of the API: they may fail, but for themselves only."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import falcon
from falcon.constants import COMBINED_METHODS

from tenter import errors

RETRY_AFTER = 2
"""Seconds after which to ask again where extensions have all the threads that they may have."""

_BLOCK = 64 * 1024
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Misbehaved(Exception):
    """An extension did what no answer can be made of: a 500, logged with what it was."""


class Gate:
    """Lets as many requests at once to all extensions together as ``limit``, so that threads are left for the API."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places = threading.BoundedSemaphore(limit)

    def enter(self) -> Callable[[], None]:
        """Take a place and return what gives it back, once. Raises Unavailable if there is none."""
        if not self._places.acquire(blocking=False):
            raise errors.Unavailable(
                f"The extensions of this API answer {self._limit} requests already, as many as they may at once. "
                "Try again later.", retry_after=RETRY_AFTER,
            )  # fmt: skip
        held = [self._places]

        def leave() -> None:
            if held:
                held.pop().release()

        return leave


def guarded(resource: object, gate: Gate) -> SimpleNamespace:
    """Return a resource that answers what the given one does, each request through the gate."""
    names = [f"on_{method.lower()}" for method in COMBINED_METHODS]
    found = {name: responder for name in names if callable(responder := getattr(resource, name, None))}
    return SimpleNamespace(**{name: _guarded(responder, gate) for name, responder in found.items()})


def _guarded(responder: Callable[..., object], gate: Gate) -> Callable[..., None]:
    def respond(req: falcon.Request, resp: falcon.Response, **params: Any) -> None:
        leave = gate.enter()
        try:
            responder(req, resp, **params)
            _check_answer(resp)
            if resp.stream is not None:
                resp.stream = _Stream(resp.stream, leave)
                leave = _nothing
        except BaseException as exc:  # even SystemExit must not end the process that all share
            _drop_bad_headers(resp)
            if isinstance(exc, falcon.HTTPError):
                _check_error(exc)
            if isinstance(exc, Exception):
                raise
            raise Misbehaved(f"it raised {type(exc).__name__}") from exc
        finally:
            leave()

    return functools.update_wrapper(respond, responder, assigned=("__doc__",), updated=())


def _nothing() -> None:
    """Another gives the place back."""


def _check_answer(resp: falcon.Response) -> None:
    """Raise, if the server could not send this answer; after the responder there is nobody to catch it."""
    if not isinstance(resp.render_body(), bytes | None):
        raise Misbehaved("the body of its answer is neither words nor bytes")
    falcon.code_to_http_status(resp.status)
    if bad := _bad_headers(resp):
        raise Misbehaved(f"these headers of its answer cannot be sent: {bad}")


def _check_error(error: falcon.HTTPError) -> None:
    falcon.code_to_http_status(error.status)
    for name, value in dict(error.headers or {}).items():
        if not _is_header(name, value):
            raise Misbehaved(f"the header {name!r} of its error cannot be sent") from error


def _bad_headers(resp: falcon.Response) -> list[str]:
    return [name for name, value in resp.headers.items() if not _is_header(name, value)]


def _drop_bad_headers(resp: falcon.Response) -> None:
    for name in _bad_headers(resp):
        resp.delete_header(name)


def _is_header(name: str, value: str) -> bool:
    return bool(_FIELD.fullmatch(name) and _VALUE.fullmatch(value))


class _Stream(Iterator[bytes]):
    """A streamed body, which keeps its request's place until it is closed or forgotten."""

    def __init__(self, stream: Any, leave: Callable[[], None]) -> None:
        self._stream, self._leave = stream, leave
        read = getattr(stream, "read", None)
        self._blocks: Iterator[bytes] = iter(stream) if read is None else iter(lambda: read(_BLOCK), b"")

    def __next__(self) -> bytes:
        try:
            return next(self._blocks)
        except Exception:
            raise
        except BaseException as exc:
            raise Misbehaved(f"its stream raised {type(exc).__name__}") from exc

    def close(self) -> None:
        """Close what is streamed, whatever that raises."""
        try:
            getattr(self._stream, "close", _nothing)()
        except BaseException as exc:
            raise Misbehaved(f"closing its stream raised {type(exc).__name__}") from exc
        finally:
            self._leave()

    def __del__(self) -> None:
        self._leave()
