"""Servers in server groups, as the API makes and shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tenter.cells import Cell
from tenter.cells.asking import Asking
from tenter.store import api_schema, cell_schema, quota, server_groups
from tenter.store.engine import sqlite_url
from tests.helpers.databases import MoodyDatabase
from tests.unit.api.servers.conftest import IMAGE, OTHER_PROJECT, PROJECT, Api
from tests.unit.api.servers.oracle import check

NOBODY = "99999999-9999-4999-8999-999999999999"
TWO = "22222222-aaaa-4111-8111-111111111111"


@pytest.fixture
def group(api: Api) -> str:
    return make(api)


def make(api: Api, project: str = PROJECT) -> str:
    return server_groups.create_group(api.api_db, project, "ann", "g", "anti-affinity").uuid


def ask(api: Api, hint: Any, key: str = "os:scheduler_hints", who: str = "member", **server: Any) -> Any:
    body = {"name": "s", "flavorRef": "1", "imageRef": IMAGE, "networks": "none", **server}
    return api.call("POST", "/servers", {"server": body, key: {"group": hint}}, who=who)


def members(api: Api, group: str) -> list[str]:
    return list(api.get(f"/os-server-groups/{group}").json["server_group"]["members"])


@pytest.mark.parametrize("key", ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"])
def test_servers_are_members_from_their_create_on(api: Api, group: str, key: str) -> None:
    uuid = ask(api, group, key).json["server"]["id"]
    assert members(api, group) == [uuid]
    other = ask(api, [group], key).json["server"]["id"]
    assert members(api, group) == [uuid, other]
    assert api.get(f"/servers/{other}").json["server"]["server_groups"] == [group]
    api.create()
    assert api.call("DELETE", f"/servers/{uuid}").status_code == 204
    assert members(api, group) == [other]


def test_a_server_shows_its_group_from_2_71_on(api: Api, group: str) -> None:
    uuid = ask(api, group).json["server"]["id"]
    api.place(uuid, network_info=[])
    for who in ("member", "admin"):
        for minor in (1, 70, 71, 100, 104):
            version = f"2.{minor}"
            answer = api.get(f"/servers/{uuid}", who=who, version=version).json
            check("servers-show-response", minor, answer)
            assert answer["server"].get("server_groups") == ([group] if minor >= 71 else None)
            updated = api.call("PUT", f"/servers/{uuid}", {"server": {"name": "n"}}, who=who, version=version).json
            check("servers-update-response", minor, updated)
            assert updated["server"].get("server_groups") == ([group] if minor >= 71 else None)
            detail = api.get("/servers/detail", who=who, version=version).json
            check("servers-detail-response", minor, detail)
            assert "server_groups" not in detail["servers"][0]
    rebuilt = api.call("POST", f"/servers/{uuid}/action", {"rebuild": {"imageRef": IMAGE}}).json
    check("servers-rebuild-response", 104, rebuilt)
    assert rebuilt["server"]["server_groups"] == [group]
    assert api.call("DELETE", f"/os-server-groups/{group}").status_code == 204
    assert api.get(f"/servers/{uuid}").json["server"]["server_groups"] == []


@pytest.mark.parametrize("hint", [NOBODY, [NOBODY], NOBODY.replace("-", "")])
def test_an_unknown_group(api: Api, hint: Any) -> None:
    answer = ask(api, hint)
    assert answer.status_code == 400
    name = hint[0] if isinstance(hint, list) else hint
    assert answer.json["badRequest"]["message"] == f"Instance group {name} could not be found."
    assert api.counts() == (0, 0, 0)


def test_groups_of_others_and_several_groups(api: Api, group: str) -> None:
    theirs = make(api, OTHER_PROJECT)
    for who in ("member", "admin"):
        assert ask(api, theirs, who=who).status_code == 400
    said = ask(api, [group, theirs]).json["badRequest"]["message"]
    assert "one server group only" in said
    assert api.counts() == (0, 0, 0)
    assert ask(api, []).status_code == 202
    assert ask(api, group, who="admin").status_code == 202


def test_as_many_members_as_the_quota_allows(api: Api, group: str) -> None:
    assert ask(api, group, min_count=10).status_code == 202
    for count in (1, 3):
        answer = ask(api, group, min_count=1, max_count=count)
        assert answer.status_code == 403
        assert answer.json["forbidden"]["message"] == "Quota exceeded, too many servers in group"
    assert len(members(api, group)) == 10 == api.counts()[0]
    assert ask(api, make(api), min_count=11).status_code == 403
    quota.Quotas(api.api_db, api.conf).set_limits(PROJECT, {"server_group_members": 11})
    assert ask(api, group).status_code == 202
    assert quota.recount(api.api_db) == []


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[Api, MoodyDatabase]]:
    db = MoodyDatabase(sqlite_url(tmp_path / "two.sqlite"))
    cell_schema.metadata.create_all(db.engine)
    api = Api(tmp_path, [Cell(TWO, "two", db)], Asking(0.5, 1.0))
    yield api, db
    db.recover()
    api.close()
    db.close()


def test_the_group_is_known_while_the_cell_is_away(far: tuple[Api, MoodyDatabase]) -> None:
    api, db = far
    group = make(api)
    uuid = ask(api, group).json["server"]["id"]
    api.place(uuid, Cell(TWO, "two", db), network_info=[])
    db.away = True
    for minor in (69, 70, 71, 104):
        answer = api.get(f"/servers/{uuid}", version=f"2.{minor}").json
        check("servers-show-response", minor, answer)
        assert answer["server"]["status"] == "UNKNOWN"
        assert answer["server"].get("server_groups") == ([group] if minor >= 71 else None)
    assert members(api, group) == [uuid]
    with api.api_db.read() as connection:
        assert connection.execute(sa.select(api_schema.server_group_members.c.host)).scalars().all() == [None]
