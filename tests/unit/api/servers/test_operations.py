"""``/tenter/operations``, and os-instance-actions while an operation runs."""

from __future__ import annotations

import uuid as uuidlib
from typing import Any

import pytest
import sqlalchemy as sa

from tenter.store import api_schema, cell_schema, operations
from tenter.store.engine import now
from tests.unit.api.servers.conftest import OTHER_PROJECT, PROJECT, Api
from tests.unit.api.servers.oracle import check

ADMIN_ONLY = {"owner", "host"}
KEYS = {"id", "kind", "server", "project_id", "user_id", "request_id", "state", "step", "role", "attempt", "created_at",
        "updated_at", "ended_at", "age", "deadline", "lease", "cancelled", "error", "events", "links"}  # fmt: skip


def put(api: Api, **values: Any) -> str:
    """Write an operation into the cell and return its id."""
    made = operations.Operation(**{
        "uuid": str(uuidlib.uuid4()), "kind": "stop", "instance_uuid": str(uuidlib.uuid4()), "project_id": PROJECT,
        "user_id": "ann", "request_id": f"req-{uuidlib.uuid4()}", "step": "stop", "role": "compute", "host": "node1",
        "deadline": now() + 60, "args": {"secrets": {"admin_password": "do not show"}}, **values,
    })  # fmt: skip
    with api.cell_db.write() as connection:
        operations.insert(connection, cell_schema.operations, made)
    return made.uuid


def ids(api: Api, query: str = "", who: str = "member") -> list[str]:
    answer = api.get(f"/tenter/operations{query}", who=who)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json["operations"]]


def claimed(api: Api, uuid: str, role: str = "compute") -> operations.Operation:
    found = operations.claim(api.cell_db, cell_schema.operations, uuid, role, None, "me", 10)
    assert found is not None
    return found


def test_an_operation_is_there_as_soon_as_it_was_asked_for(api: Api) -> None:
    uuid = api.create()["id"]
    shown = api.get("/tenter/operations").json["operations"]
    assert [(one["kind"], one["server"], one["state"], one["step"]) for one in shown] == [
        ("build", uuid, "queued", "schedule")
    ]
    one = api.get(f"/tenter/operations/{shown[0]['id']}")
    assert one.json["operation"] | {"age": 0} == shown[0] | {"age": 0}
    assert one.json["operation"]["links"][0]["href"].endswith(f"/v2.1/tenter/operations/{shown[0]['id']}")
    again = api.get(f"/{PROJECT}/tenter/operations/{shown[0]['id']}")
    assert again.status_code == 200


@pytest.mark.parametrize("version", ["2.1", "2.104"])
def test_what_members_and_administrators_see(api: Api, version: str) -> None:
    error = {"code": "tenter.guest.failed", "message": "It would not.", "side": "node1"}
    event = {"event": "compute_stop", "step": "stop", "started": 1.5, "finished": 2.5, "result": "Error",
             "host": "node1", "details": "It would not."}  # fmt: skip
    uuid = put(api, state="failed", error=error, events=[event], created_at=10.0, ended_at=12.5, attempt=3)
    for who in ("member", "reader"):
        shown = api.get(f"/tenter/operations/{uuid}", who=who, version=version).json["operation"]
        assert shown.keys() == KEYS
        assert shown["error"] == {"code": "tenter.guest.failed", "message": "It would not."}
        assert shown["events"] == [{
            "event": "compute_stop", "step": "stop", "started": "1970-01-01T00:00:01.500000",
            "finished": "1970-01-01T00:00:02.500000", "result": "Error",
        }]  # fmt: skip
        assert (shown["age"], shown["attempt"], shown["ended_at"]) == (2.5, 3, "1970-01-01T00:00:12.500000")
    shown = api.get(f"/tenter/operations/{uuid}", who="admin", version=version).json["operation"]
    assert shown.keys() == KEYS | ADMIN_ONLY
    assert (shown["host"], shown["error"]["side"], shown["events"][0]["host"]) == ("node1", "node1", "node1")
    assert "do not show" not in api.get(f"/tenter/operations/{uuid}", who="admin").text


def test_a_step_that_runs_has_begun_and_not_finished(api: Api) -> None:
    server = api.active()
    uuid = put(api, instance_uuid=server, request_id="req-1")
    assert api.get(f"/tenter/operations/{uuid}").json["operation"]["events"] == []
    before = now()
    held = claimed(api, uuid)
    shown = api.get(f"/tenter/operations/{uuid}", who="admin").json["operation"]
    assert (shown["state"], shown["attempt"], shown["owner"]) == ("running", 1, "me")
    assert shown["lease"] > shown["events"][0]["started"]
    assert [(one["event"], one["finished"], one["result"]) for one in shown["events"]] == [("compute_stop", None, None)]
    assert held.claimed_at is not None and held.claimed_at >= before
    for minor in range(1, 105):
        for who in ("admin", "member"):
            action = api.get(f"/servers/{server}/os-instance-actions/req-1", who=who, version=f"2.{minor}")
            assert action.status_code == 200, action.text
            check("instance-actions-show-response", minor, action.json)
            events = action.json["instanceAction"].get("events")
            if who == "admin" or minor >= 51:
                assert [(one["event"], one["finish_time"]) for one in events] == [("compute_stop", None)]


def test_events_of_the_step_before_come_first(api: Api) -> None:
    done = {"event": "conductor_confirm", "step": "confirm", "started": 1.0, "finished": 2.0, "result": "Success"}
    uuid = put(api, kind="build", step="spawn", events=[done])
    claimed(api, uuid)
    events = api.get(f"/tenter/operations/{uuid}").json["operation"]["events"]
    assert [one["step"] for one in events] == ["confirm", "spawn"]


def test_filters(api: Api) -> None:
    server = str(uuidlib.uuid4())
    waiting = put(api, instance_uuid=server)
    running = put(api, kind="start", step="start", host="node2")
    claimed(api, running)
    ended = {state: put(api, state=state) for state in ("done", "failed", "cancelled")}
    assert ids(api) == [ended["cancelled"], ended["failed"], ended["done"], running, waiting]
    assert ids(api, "?state=open") == [running, waiting]
    assert {state: ids(api, f"?state={state}") for state in ended} == {state: [one] for state, one in ended.items()}
    assert ids(api, f"?server={server}") == [waiting]
    assert ids(api, "?kind=start") == [running]
    assert ids(api, "?kind=start&state=done") == []
    assert ids(api, "?host=node2", "admin") == [running]


def test_projects(api: Api) -> None:
    mine, theirs = put(api), put(api, project_id=OTHER_PROJECT)
    assert ids(api) == ids(api, who="reader") == ids(api, who="admin") == [mine]
    assert ids(api, who="stranger") == [theirs]
    assert ids(api, "?all_tenants=1", "admin") == [theirs, mine]
    assert ids(api, "?all_tenants=0") == [mine]
    assert api.get(f"/tenter/operations/{theirs}").status_code == 404
    assert api.get(f"/tenter/operations/{theirs}", who="admin").status_code == 200
    for query in ("all_tenants=1", "host=node1"):
        assert api.get(f"/tenter/operations?{query}").status_code == 403
    assert api.get("/tenter/operations", who="unscoped").status_code == 403
    assert api.get("/tenter/operations", who="nobody").status_code == 401


def test_pages(api: Api) -> None:
    made = [put(api, seq=number // 2) for number in range(9)]
    walked: list[str] = []
    path = "/tenter/operations?limit=2"
    while path:
        answer = api.get(path).json
        walked += [one["id"] for one in answer["operations"]]
        following = answer.get("operations_links")
        path = following[0]["href"].partition("/v2.1")[2] if following else ""
    assert sorted(walked) == sorted(made) and len(walked) == 9
    assert walked[0] == made[8]


@pytest.mark.parametrize("query", [
    "state=running", "state=", "kind=A", "server=x", "limit=0", "limit=x", "limit=-1", "marker=x", "marker=1",
    "unknown=1", "host=a/b", "all_tenants=maybe", "state=done&state=failed",
    "marker=1.00000000-0000-0000-0000-00000000000",
    "limit=1&limit=2", "server=%00",
])  # fmt: skip
def test_strange_queries_are_refused(api: Api, query: str) -> None:
    for version in ("2.1", "2.104"):
        answer = api.get(f"/tenter/operations?{query}", who="admin", version=version)
        assert answer.status_code == 400, answer.text


def test_strange_ids(api: Api) -> None:
    marker = f"{'9' * 19}.{uuidlib.UUID(int=0)}"
    one = put(api)
    assert ids(api, f"?marker={marker}") == [one]
    for key in ("x", str(uuidlib.uuid4()), "%00", "x" * 500):
        assert api.get(f"/tenter/operations/{key}").status_code == 404
    assert api.get(f"/tenter/operations/{one}?x=1").status_code == 400
    for method in ("POST", "PUT", "DELETE"):
        assert api.call(method, "/tenter/operations", {}).status_code == 405


def test_operations_in_the_api_database_are_listed_too(api: Api) -> None:
    api.create()
    with api.api_db.read() as connection:
        built = connection.execute(sa.select(api_schema.operations.c.uuid)).scalar_one()
    in_cell = put(api)
    assert ids(api) == [in_cell, built]
