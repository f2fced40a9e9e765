"""API extensions: mounted below their own prefix, behind what all requests pass, and left out whole if broken."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import falcon
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter import errors
from tenter.contracts.api import ApiExtension, Route
from tenter_api.extensions import _check_path
from tests.unit.api.servers.conftest import PROJECT, Api

Make = Callable[..., Api]


class Widgets:
    def on_get(self, req: Any, resp: Any, widget: str = "all") -> None:
        resp.media = {"widget": widget, "asked_by": req.context.identity.user_id, "id": req.context.request_id}

    def on_post(self, req: Any, resp: Any) -> None:
        raise RuntimeError("secret detail")

    def on_delete(self, req: Any, resp: Any) -> None:
        raise errors.Conflict("Not now.")

    def on_put(self, req: Any, resp: Any) -> None:
        raise falcon.HTTPForbidden(description="Not you.")


class Public(Widgets):
    public = ("GET",)


class Silent:
    """Answers nothing."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Asynchronous:
    async def on_get(self, req: Any, resp: Any) -> None: ...


def extension(prefix: Any, *routes: Any, broken: BaseException | None = None) -> ApiExtension:
    class Extension(ApiExtension):
        def routes(self) -> Sequence[Route]:
            if broken is not None:
                raise broken
            return routes

    made = Extension(None)  # type: ignore[arg-type]
    made.prefix = prefix  # type: ignore[misc]
    return made


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Api] = []

    def make(*extensions: tuple[str, ApiExtension]) -> Api:
        made.append(Api(tmp_path, extensions=extensions))
        return made[-1]

    yield make
    for api in made:
        api.close()


GOOD = ("acme", extension("acme", Route("", Widgets()), Route("/widgets/{widget}", Widgets())))


def test_it_answers_below_its_prefix_with_and_without_project(make: Make) -> None:
    api = make(GOOD)
    for base in ("", f"/{PROJECT}"):
        answer = api.call("GET", f"{base}/tenter/extensions/acme/widgets/blue")
        assert answer.status_code == 200 and answer.json["widget"] == "blue" and answer.json["asked_by"] == "ann"
        assert answer.json["id"] == answer.headers["x-openstack-request-id"]
        assert api.call("GET", f"{base}/tenter/extensions/acme").json["widget"] == "all"
    assert api.call("GET", "/tenter/extensions/acme/nothing").status_code == 404
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        assert api.call(method, "/tenter/extensions/another").status_code == 404


def test_it_is_behind_the_same_doors(make: Make) -> None:
    api = make(GOOD)
    assert api.call("GET", "/tenter/extensions/acme", who="nobody").status_code == 401
    assert api.call("GET", f"/{'b' * 32}/tenter/extensions/acme").status_code == 400
    assert api.call("GET", "/tenter/extensions/acme", version="2.9999").status_code == 406
    assert "x-openstack-request-id" in api.call("GET", "/tenter/extensions/acme").headers


def test_what_it_raises_is_answered_as_everywhere(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    api = make(GOOD)
    broken = api.call("POST", "/tenter/extensions/acme")
    assert broken.status_code == 500 and broken.json["computeFault"]["code"] == 500
    assert "secret detail" not in broken.text and "req-" in broken.text and "secret detail" in caplog.text
    assert api.call("DELETE", "/tenter/extensions/acme").json == {"conflictingRequest": {"code": 409,
                                                                                         "message": "Not now."}}
    assert api.call("PUT", "/tenter/extensions/acme").json["forbidden"]["message"] == "Not you."
    assert api.call("PATCH", "/tenter/extensions/acme").status_code == 405
    assert api.call("GET", "/flavors").status_code == 200


BAD = {
    "no slash": (extension("bad", Route("widgets", Widgets())), "must begin with '/'"),
    "up": (extension("bad", Route("/../flavors", Widgets())), "not below its prefix"),
    "double": (extension("bad", Route("//flavors", Widgets())), "not below its prefix"),
    "the project": (extension("bad", Route("/{project_id}", Widgets())), "'project_id'"),
    "the project, converted": (extension("bad", Route("/{project_id:uuid}", Widgets())), "'project_id'"),
    "no prefix": (extension(None, Route("", Widgets())), "its prefix is None"),
    "a prefix with a slash": (extension("acme/more", Route("", Widgets())), "its prefix is 'acme/more'"),
    "public": (extension("bad", Route("", Public())), "'public'"),
    "silent": (extension("bad", Route("", Silent())), "answers nothing"),
    "asynchronous": (extension("bad", Route("", Asynchronous())), ""),
    "no route": (extension("bad", ("/x", Widgets())), "which is no Route"),
    "raises": (extension("bad", broken=RuntimeError("two\nlines")), "two lines"),
    "exits": (extension("bad", broken=SystemExit(3)), "3"),
    "interrupts": (extension("bad", broken=KeyboardInterrupt()), "KeyboardInterrupt"),
    "unspeakable": (extension("bad", broken=Unspeakable()), "Unspeakable"),
    "two fields at one place": (
        extension("bad", Route("/ok", Widgets()), Route("/{a}", Widgets()), Route("/{b}/c", Widgets())), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_broken_one_is_left_out_with_one_line(make: Make, caplog: pytest.LogCaptureFixture, case: str) -> None:
    bad, words = BAD[case]
    with caplog.at_level(logging.INFO):
        api = make(("bad", bad), GOOD)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(lines) == 1 and lines[0].startswith("The extension bad is left out: ") and words in lines[0]
    assert "\n" not in lines[0]
    assert api.call("GET", "/tenter/extensions/acme").status_code == 200
    assert api.call("GET", "/tenter/extensions/bad/ok").status_code == 404, "none of its routes is there"


def test_those_that_hang_leave_threads_for_the_rest(make: Make) -> None:
    release, inside = threading.Event(), threading.Semaphore(0)

    class Hang:
        def on_get(self, req: Any, resp: Any) -> None:
            inside.release()
            release.wait(10)

    api = make(("hang", extension("hang", Route("", Hang()))), GOOD)
    quarter = api.conf.api.threads // 4
    ask = functools.partial(api.call, "GET", "/tenter/extensions/hang")
    threads = [threading.Thread(target=ask) for _ in range(quarter)]
    try:
        for thread in threads:
            thread.start()
        assert quarter == 3 and all(inside.acquire(timeout=5) for _ in threads)
        assert ask().status_code == 503 and api.call("GET", "/tenter/extensions/acme").status_code == 503
        assert api.call("GET", "/flavors").status_code == 200
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert api.call("GET", "/tenter/extensions/acme").status_code == 200


def test_of_two_with_one_prefix_the_first_is_served(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    api = make(GOOD, ("copy", extension("acme", Route("/copied", Widgets()))))
    assert "The extension copy is left out: its prefix 'acme' is that of acme" in caplog.text
    assert api.call("GET", "/tenter/extensions/acme").status_code == 200
    assert api.call("GET", "/tenter/extensions/acme/copied").status_code == 404


@given(st.text(alphabet="abz/.{}~:_-%? \n", max_size=12))
def test_no_path_leads_out_of_the_prefix(path: str) -> None:
    try:
        _check_path(path)
    except errors.PluginBroken:
        return
    assert path == "" or path.startswith("/")
    for segment in path.split("/")[1:]:
        assert segment not in ("", ".", "..") and not set(segment) & set("%? \n")
