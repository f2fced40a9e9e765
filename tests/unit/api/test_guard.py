"""What resources of extensions do to themselves, and to nobody else."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import falcon
import falcon.testing
import pytest

from tenter import errors
from tenter_api.errors import ErrorHandlers
from tenter_api.guard import Gate, guarded

Responder = Callable[[Any, Any], None]


def client(*responders: Responder, limit: int = 1) -> falcon.testing.TestClient:
    """Return a client of an API with an extension whose paths are ``/0``, ``/1``, … in the order given."""
    app: falcon.App[Any, Any] = falcon.App()
    ErrorHandlers().install(app)
    gate = Gate(limit)
    for number, responder in enumerate(responders):
        resource = type("Resource", (), {"on_get": staticmethod(responder)})()
        app.add_route(f"/{number}", guarded(resource, gate))
    return falcon.testing.TestClient(app)


def fine(req: Any, resp: Any) -> None:
    resp.media = {"fine": True}


def throw(error: BaseException) -> Responder:
    def responder(req: Any, resp: Any) -> None:
        raise error

    return responder


def answer(**attributes: Any) -> Responder:
    def responder(req: Any, resp: Any) -> None:
        for name, value in attributes.items():
            setattr(resp, name, value)

    return responder


def split_header(req: Any, resp: Any) -> None:
    resp.set_header("X-Good", "kept")
    resp.set_header("X-Bad", "a\r\nSet-Cookie: b")


BAD = {
    "exits": throw(SystemExit(3)),
    "interrupts": throw(KeyboardInterrupt()),
    "its own": throw(BaseException("mine")),
    "raises": throw(RuntimeError("mine")),
    "an object": answer(media=object()),
    "a set within": answer(media={"a": set()}),
    "a number for words": answer(text=5),
    "words for bytes": answer(data="words"),
    "no status": answer(status="banana"),
    "a split header": split_header,
    "a split header of an error": throw(falcon.HTTPForbidden(headers={"X-Bad": "a\nb"})),
    "an error without status": throw(falcon.HTTPError("banana", title="b")),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_an_answer_is_a_500_in_the_usual_form(case: str) -> None:
    api = client(BAD[case], fine)
    for _ in range(2):
        found = api.simulate_get("/0")
        assert found.status_code == 500 and found.json["computeFault"]["code"] == 500
        assert "x-bad" not in found.headers and "mine" not in found.text
    assert api.simulate_get("/1").json == {"fine": True}, "its place was given back"


def test_what_it_says_properly_reaches_the_client() -> None:
    api = client(throw(errors.Conflict("Not now.")), throw(falcon.HTTPForbidden(headers={"X-A": "b\xe9"})), fine)
    assert api.simulate_get("/0").json == {"conflictingRequest": {"code": 409, "message": "Not now."}}
    refused = api.simulate_get("/1")
    assert refused.status_code == 403 and refused.headers["x-a"] == "b\xe9"
    assert api.simulate_post("/2").status_code == 405


def test_all_together_have_a_limit_beyond_which_they_are_unavailable() -> None:
    release, inside = threading.Event(), threading.Semaphore(0)

    def hang(req: Any, resp: Any) -> None:
        inside.release()
        release.wait(10)

    api = client(hang, fine, limit=2)
    threads = [threading.Thread(target=api.simulate_get, args=("/0",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert inside.acquire(timeout=5) and inside.acquire(timeout=5)
        refused = api.simulate_get("/1")
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert "answer 2 requests already" in refused.json["serviceUnavailable"]["message"]
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert api.simulate_get("/1").status_code == 200


class Body:
    """A body that is read in pieces."""

    def __init__(self) -> None:
        self.left = [b"a", b"b"]
        self.closed = False

    def read(self, size: int) -> bytes:
        return self.left.pop(0) if self.left else b""

    def close(self) -> None:
        self.closed = True


def test_a_stream_keeps_its_place_until_it_is_closed() -> None:
    body = Body()
    gate = Gate(1)
    app: falcon.App[Any, Any] = falcon.App()
    resource = type("Resource", (), {"on_get": staticmethod(answer(stream=body))})()
    app.add_route("/", guarded(resource, gate))
    started: list[str] = []
    environ = falcon.testing.create_environ("/")
    sent: Any = app(environ, lambda status, headers, *more: started.append(status))
    assert next(iter(sent)) == b"a"
    with pytest.raises(errors.Unavailable):
        gate.enter()
    assert list(sent) == [b"b"]
    sent.close()
    gate.enter()()
    assert body.closed and started == ["200 OK"]


def test_a_stream_that_nobody_closes_gives_its_place_back() -> None:
    api = client(answer(stream=itertools.repeat(b"x")), fine)
    assert api.simulate_head("/0").status_code == 405
    environ = falcon.testing.create_environ("/0")
    sent = api.app(environ, lambda *arguments: None)
    assert next(iter(sent)) == b"x"
    del sent
    gc.collect()
    assert api.simulate_get("/1").status_code == 200


def test_a_stream_that_exits_ends_itself_only() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise SystemExit(3)

    api = client(answer(stream=pieces()), fine)
    with pytest.raises(Exception, match="its stream raised SystemExit"):
        api.simulate_get("/0")
    assert api.simulate_get("/1").status_code == 200
