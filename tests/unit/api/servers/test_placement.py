"""``/tenter/servers/{id}/placement``: who may see which part of a decision."""

from __future__ import annotations

import uuid as uuidlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tenter.scheduler.record import Recorder
from tenter.store import api_schema, decisions
from tests.unit.api.servers.conftest import OTHER_PROJECT, PROJECT, Api
from tests.unit.scheduler.test_pipeline import World, ask, view

HOSTS = 12


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path / "world")
    found.views = {"c1": [view(f"node-{n:02}", used=1000 if n % 4 else 0) for n in range(HOSTS)]}
    return found


@pytest.fixture(autouse=True)
def directory(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()


def decide(api: Api, world: World, server: str, project_id: str = PROJECT, **wanted: Any) -> str:
    """Record a decision for a server; return its operation."""
    decision = world.scheduler("resources").select(ask(instance_uuid=server, project_id=project_id, **wanted))
    decision.chosen = next(decision.candidates, None)
    made = SimpleNamespace(uuid=str(uuidlib.uuid4()), instance_uuid=server, project_id=project_id)
    Recorder(api.conf, api.api_db).write(decision, made)
    return made.uuid


def placement(api: Api, server: str, query: str = "", who: str = "member") -> Any:
    answer = api.get(f"/tenter/servers/{server}/placement{query}", who=who)
    assert answer.status_code == 200, answer.text
    return answer.json["placement"]


def test_members_see_reasons_by_count(api: Api, world: World) -> None:
    server = api.create()["id"]
    assert placement(api, server) == []
    first = decide(api, world, server)
    second = decide(api, world, server, resources={"MEMORY_MB": 5000})
    for who in ("member", "reader"):
        shown = placement(api, server, who=who)
        assert [(one["operation"], one["placed"], one["hosts_left"]) for one in shown] == [
            (first, True, HOSTS // 4), (second, False, 0),
        ]  # fmt: skip
        assert shown[1]["reasons"] == [{
            "filter": "resources", "code": "ram.short", "hosts": HOSTS,
            "figures": {"asked": 5000, "free": {"least": 0, "most": 1000}},
        }]  # fmt: skip
        text = api.get(f"/tenter/servers/{server}/placement", who=who).text
        assert "node-" not in text
    assert placement(api, server, "?limit=1") == shown
    assert api.get(f"/tenter/servers/{server}/placement?host=node-01").status_code == 403


def test_administrators_see_hosts(api: Api, world: World) -> None:
    server = api.create()["id"]
    decide(api, world, server)
    (shown,) = placement(api, server, who="admin")
    assert {one["host"] for one in shown["refused"]} == {f"node-{n:02}" for n in range(HOSTS) if n % 4}
    assert shown["chosen"]["host"] in {"node-00", "node-04", "node-08"}
    (few,) = placement(api, server, "?limit=2", who="admin")
    assert (len(few["refused"]), few["refused_not_shown"]) == (2, HOSTS * 3 // 4 - 2)
    (one,) = placement(api, server, "?host=node-03", who="admin")
    assert one["refused"] == [
        {"host": "node-03", "filter": "resources", "code": "ram.short", "figures": {"asked": 100, "free": 0}}
    ]
    for query in ("?limit=x", "?host=a%20b", "?other=1", "?limit=-1"):
        assert api.get(f"/tenter/servers/{server}/placement{query}", who="admin").status_code == 400


def test_others_see_nothing(api: Api, world: World) -> None:
    server = api.create()["id"]
    operation = decide(api, world, server)
    for path in (f"servers/{server}", f"servers/{uuidlib.uuid4()}", "servers/x"):
        answer = api.get(f"/tenter/{path}/placement", who="stranger")
        assert answer.status_code == 404, answer.text
    for who in ("stranger", "member"):
        assert api.get(f"/tenter/operations/{operation}/placement", who=who).status_code == 403
    assert api.get(f"/{OTHER_PROJECT}/tenter/servers/{server}/placement", who="stranger").status_code == 404


def test_decisions_outlive_their_server(api: Api, world: World) -> None:
    server = api.create()["id"]
    operation = decide(api, world, server)
    with api.api_db.write() as connection:
        connection.execute(api_schema.places.delete())
    assert api.get(f"/tenter/servers/{server}/placement").status_code == 404
    answer = api.get(f"/tenter/operations/{operation}/placement", who="admin")
    assert [one["server"] for one in answer.json["placement"]] == [server]
    for unknown in (str(uuidlib.uuid4()), "x"):
        assert api.get(f"/tenter/operations/{unknown}/placement", who="admin").status_code == 404


def test_a_record_of_a_later_release_is_no_error(api: Api, world: World) -> None:
    server = api.create()["id"]
    decide(api, world, server)
    (row,) = decisions.of_instance(api.api_db, server)
    with api.api_db.write() as connection:
        later = api_schema.decisions.update().values(body=row.body[:2] + b"\x63" + row.body[3:])
        connection.execute(later)
    for who in ("member", "admin"):
        (shown,) = placement(api, server, who=who)
        assert "format 99" in shown["error"]
