"""What holds for every request: versions, errors, ids, limits of size, the project in the URL."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from oslo_context.context import get_current

from tenter import errors

from .conftest import World, nova_validator

LATEST = "2.104"


def test_version_list_is_public_and_of_novas_form(world: World) -> None:
    result = world.nobody.call("GET", "/")
    assert result.status_code == 200
    nova_validator("versions-list-response", 1).validate(result.json)
    (entry,) = result.json["versions"]
    assert (entry["id"], entry["min_version"], entry["version"]) == ("v2.1", "2.1", LATEST)
    assert entry["links"][0]["href"].endswith("/v2.1/")


@pytest.mark.parametrize("path", ["/v2.1", "/v2.1/"])
def test_version_document(world: World, path: str) -> None:
    result = world.nobody.call("GET", path, headers={"OpenStack-API-Version": "compute 9.9"})
    assert result.status_code == 200
    nova_validator("versions-show-response", 1).validate(result.json)
    version = result.json["version"]
    assert version["status"] == "CURRENT"
    assert {link["rel"] for link in version["links"]} == {"self", "describedby"}
    assert version["media-types"][0]["type"] == "application/vnd.openstack.compute+json;version=2.1"


def test_links_start_with_the_url_that_clients_see(world: World) -> None:
    result = world.nobody.call("GET", "/", headers={"Host": "cloud.example:8774"})
    assert result.json["versions"][0]["links"][0]["href"] == "http://cloud.example:8774/v2.1/"


NEGOTIATION = [
    ({}, 200, "2.1"),
    ({"OpenStack-API-Version": "compute 2.1"}, 200, "2.1"),
    ({"OpenStack-API-Version": "compute 2.104"}, 200, "2.104"),
    ({"OpenStack-API-Version": "compute latest"}, 200, LATEST),
    ({"OpenStack-API-Version": "volume 3.1, compute 2.55"}, 200, "2.55"),
    ({"OpenStack-API-Version": "volume 3.1"}, 200, "2.1"),
    ({"X-OpenStack-Nova-API-Version": "2.10"}, 200, "2.10"),
    ({"X-OpenStack-Nova-API-Version": "latest"}, 200, LATEST),
    ({"OpenStack-API-Version": "compute 2.5", "X-OpenStack-Nova-API-Version": "2.6"}, 200, "2.5"),
    ({"OpenStack-API-Version": "compute 2.105"}, 406, None),
    ({"OpenStack-API-Version": "compute 2.0"}, 406, None),
    ({"OpenStack-API-Version": "compute 3.1"}, 406, None),
    ({"OpenStack-API-Version": "compute 1.1"}, 406, None),
    ({"OpenStack-API-Version": "compute two"}, 400, None),
    ({"OpenStack-API-Version": "compute 2.01"}, 400, None),
    ({"OpenStack-API-Version": "compute 2"}, 400, None),
    ({"OpenStack-API-Version": "compute 2.1.1"}, 400, None),
    ({"OpenStack-API-Version": "compute ٢.١".encode().decode("latin-1")}, 400, None),
    ({"X-OpenStack-Nova-API-Version": "-2.1"}, 400, None),
]


@pytest.mark.parametrize(("headers", "status", "spoken"), NEGOTIATION)
def test_negotiation(world: World, headers: dict[str, str], status: int, spoken: str | None) -> None:
    result = world.member.call("GET", "/v2.1/extensions", headers=headers)
    assert result.status_code == status, result.text
    assert "OpenStack-API-Version" in result.headers["Vary"]
    if spoken:
        assert result.headers["OpenStack-API-Version"] == f"compute {spoken}"
        assert result.headers["X-OpenStack-Nova-API-Version"] == spoken
    elif status == 406:
        fault = result.json["computeFault"]
        assert fault["code"] == 406
        assert "Minimum is 2.1 and maximum is 2.104" in fault["message"]
    else:
        assert result.json["badRequest"]["code"] == 400


def test_request_ids_are_given_and_differ(world: World) -> None:
    first, second = (world.member.call("GET", "/v2.1/extensions") for _ in range(2))
    assert first.headers["X-Compute-Request-Id"] == first.headers["X-OpenStack-Request-ID"]
    assert first.headers["X-Compute-Request-Id"] != second.headers["X-Compute-Request-Id"]
    assert first.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "status", "fault"),
    [
        ("GET", "/v2.1/no-such-thing", 404, "itemNotFound"),
        ("GET", "/v2.1/flavors/none/of/these", 404, "itemNotFound"),
        ("GET", "/v3", 404, "itemNotFound"),
        ("PATCH", "/v2.1/flavors", 405, "badMethod"),
        ("DELETE", "/v2.1/limits", 405, "badMethod"),
    ],
)
def test_unknown_paths_and_methods(world: World, method: str, path: str, status: int, fault: str) -> None:
    result = world.member.call(method, path)
    assert result.status_code == status
    assert result.json[fault]["code"] == status
    assert result.json[fault]["message"]


@pytest.mark.parametrize("token", [None, "forged", "gAAAA" + "x" * 300])
def test_no_token_no_answer(world: World, token: str | None) -> None:
    world.nobody.token = token
    result = world.nobody.call("GET", "/v2.1/flavors")
    assert result.status_code == 401
    assert result.json["unauthorized"]["code"] == 401
    assert "WWW-Authenticate" in result.headers


def test_project_in_the_url_must_be_the_tokens(world: World) -> None:
    own = f"/v2.1/{world.member.project_id}"
    result = world.member.call("GET", f"{own}/flavors/1")
    assert result.json["flavor"]["links"][0]["href"].endswith(f"{own}/flavors/1")
    assert result.json["flavor"]["links"][1]["href"].endswith(f"/{world.member.project_id}/flavors/1")
    assert world.member.call("GET", f"/v2.1/{world.stranger.project_id}/flavors/1").status_code == 400


@pytest.mark.parametrize(
    ("kwargs", "status", "fault"),
    [
        ({"body": b"{"}, 400, "badRequest"),
        ({"body": b""}, 400, "badRequest"),
        ({"body": b"\xff\xfe"}, 400, "badRequest"),
        ({"body": b"[" * 5000}, 400, "badRequest"),
        ({"body": b"null"}, 400, "badRequest"),
        ({"body": b'"text"'}, 400, "badRequest"),
        ({"body": b"{}"}, 400, "badRequest"),
        ({"body": b'{"keypair": {"name": "\\ud800"}}'}, 400, "badRequest"),
        ({"body": b"<xml/>", "headers": {"Content-Type": "application/xml"}}, 415, "badMediaType"),
        (
            {"body": b"a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            415,
            "badMediaType",
        ),
        ({"body": b" " * (2 << 20)}, 413, "overLimit"),
    ],
)
def test_bodies_that_are_none(world: World, kwargs: dict[str, Any], status: int, fault: str) -> None:
    result = world.member.call("POST", "/v2.1/os-keypairs", **kwargs)
    assert result.status_code == status, result.text
    assert result.json[fault]["code"] == status


def test_body_without_content_type_is_taken_for_json(world: World) -> None:
    result = world.member.call("POST", "/v2.1/os-keypairs", body=b'{"keypair": {"name": "k"}}')
    assert result.status_code == 200


def test_what_breaks_inside_is_logged_and_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr("tenter.store.flavors.flavor_row", broken)
    with caplog.at_level(logging.ERROR, logger="tenter_api"):
        result = world.member.call("GET", "/v2.1/flavors/1")
    assert result.status_code == 500
    assert result.headers["X-Compute-Request-Id"] in result.json["computeFault"]["message"]
    assert "secret" not in result.text
    assert "the secret reason" in caplog.text


def test_log_lines_know_the_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(*args: object, **kwargs: object) -> None:
        seen.append(get_current())
        raise errors.NotFound("x")

    monkeypatch.setattr("tenter.store.flavors.flavor_row", look)
    theirs = "req-11111111-1111-4111-8111-111111111111"
    result = world.member.call("GET", "/v2.1/flavors/1", headers={"X-OpenStack-Request-ID": theirs})
    assert seen[0].request_id == result.headers["X-OpenStack-Request-ID"]
    assert seen[0].global_request_id == theirs


def test_health_needs_the_database(world: World) -> None:
    assert world.nobody.call("GET", "/healthz").json == {"status": "ok"}
    with world.db.write() as connection:
        connection.exec_driver_sql("DROP TABLE services")
    assert world.nobody.call("GET", "/healthz").status_code >= 500
