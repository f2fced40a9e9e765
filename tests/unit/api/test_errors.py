"""Every error of the closed set has its HTTP status, and the forms of answers."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.testing
import pytest

from tenter import errors
from tenter_api.errors import STATUS, ErrorHandlers, render_compute_error, status_of

INTERNAL = {errors.TenterError, errors.PluginBroken, errors.GuestFailed}


def every_error() -> list[type[errors.TenterError]]:
    # LeftBehind and its like never reach a client.
    known = [cls for cls in errors.TenterError.__subclasses__() if cls.__module__ == errors.__name__]
    return [errors.TenterError, *known]


@pytest.mark.parametrize("cls", every_error())
def test_every_error_has_a_status_or_is_meant_to_have_none(cls: type[errors.TenterError]) -> None:
    assert (cls in STATUS) != (cls in INTERNAL)
    assert status_of(cls("x")) == STATUS.get(cls, 500)


def test_a_subclass_counts_as_its_base() -> None:
    class Special(errors.NotFound):
        pass

    assert status_of(Special("x")) == 404


class Raises:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = "half an answer"
        raise self.error


def answer(error: Exception, path: str = "/v2.1/x") -> Any:
    app: Any = falcon.App()
    ErrorHandlers([("/network", lambda status, message, kind: {"NeutronError": {"type": kind}})]).install(app)
    app.add_route(path, Raises(error))
    return falcon.testing.TestClient(app).simulate_get(path)


def test_compute_form() -> None:
    result = answer(errors.NotFound("Gone."))
    assert result.status_code == 404
    assert result.json == {"itemNotFound": {"code": 404, "message": "Gone."}}


def test_form_of_the_prefix() -> None:
    assert answer(errors.Conflict("x"), "/network/v2.0/x").json == {"NeutronError": {"type": "Conflict"}}
    assert answer(falcon.HTTPNotFound(), "/network/v2.0/x").json == {"NeutronError": {"type": "NotFound"}}


def test_retry_after() -> None:
    assert answer(errors.Unavailable("x")).headers["Retry-After"] == "2"
    assert answer(errors.Unavailable("x", retry_after=30)).headers["Retry-After"] == "30"


def test_unexpected_errors_say_nothing_of_themselves() -> None:
    for error in (ValueError("secret"), errors.TenterError("secret"), errors.PluginBroken("secret")):
        result = answer(error)
        assert result.status_code == 500
        assert "secret" not in result.text


@pytest.mark.parametrize(("status", "name"), [(400, "badRequest"), (413, "overLimit"), (406, "computeFault"),
                                              (503, "serviceUnavailable"), (500, "computeFault")])  # fmt: skip
def test_names_of_faults(status: int, name: str) -> None:
    assert list(render_compute_error(status, "m", "k")) == [name]
