"""Server groups by the API: shapes at every microversion, who may what, pages, rules and quotas."""

from __future__ import annotations

import uuid as uuidlib
from typing import Any

import pytest
import sqlalchemy as sa

from tenter.store import api_schema, quota, server_groups

from .conftest import MINORS, Client, World

OF = "/os-server-groups"
NOBODY = "11111111-1111-4111-8111-111111111111"
SOFT = ("soft-affinity", "soft-anti-affinity")


def body(minor: int, policy: str, **values: Any) -> dict[str, Any]:
    how = {"policy": policy} if minor >= 64 else {"policies": [policy]}
    return {"server_group": {"name": "g", **how, **values}}


def make(world: World, policy: str = "affinity", minor: int = 64, client: Client | None = None, **values: Any) -> Any:
    answer = (client or world.member).send(
        "POST", OF, body(minor, policy, **values), minor, "server-groups-create-response"
    )
    return answer["server_group"]


def refused(world: World, asked: Any, minor: int = 64, status: int = 400) -> str:
    (fault,) = world.member.send("POST", OF, asked, minor, status=status).values()
    return str(fault["message"])


def member(world: World, group: str, host: str | None = None) -> str:
    """Write a member of a group; return its UUID."""
    uuid = str(uuidlib.uuid4())
    with world.db.write() as connection:
        server_groups.add_members(connection, group, [uuid])
        server_groups.force(connection, uuid, host)
    return uuid


@pytest.mark.parametrize("minor", MINORS)
def test_shapes_at_every_microversion(world: World, minor: int) -> None:
    made = make(world, "anti-affinity", minor)
    one = member(world, made["id"])
    shown = world.reader.get(f"{OF}/{made['id']}", minor, "server-groups-show-response")["server_group"]
    assert shown == {**made, "members": [one]} and made["members"] == []
    assert world.member.get(OF, minor, "server-groups-list-response") == {"server_groups": [shown]}
    expected: dict[str, Any] = {"id": made["id"], "name": "g", "members": [one]}
    if minor >= 13:
        expected |= {"project_id": world.member.project_id, "user_id": world.member.user_id}
    if minor >= 64:
        expected |= {"policy": "anti-affinity", "rules": {}}
    else:
        expected |= {"policies": ["anti-affinity"], "metadata": {}}
    assert shown == expected
    assert world.member.send("DELETE", f"{OF}/{made['id']}", None, minor, status=204) is None
    world.member.get(f"{OF}/{made['id']}", minor, status=404)
    assert world.member.get(OF, minor) == {"server_groups": []}


@pytest.mark.parametrize("policy", SOFT)
def test_soft_policies_came_with_2_15(world: World, policy: str) -> None:
    refused(world, body(14, policy), 14)
    made = make(world, policy, 15)
    assert made["policies"] == [policy]
    for minor in (1, 13, 14, 15, 63, 64, 104):
        shown = world.member.get(f"{OF}/{made['id']}", minor, "server-groups-show-response")["server_group"]
        assert shown.get("policy", policy) == policy
        assert shown.get("policies", []) == ([policy] if 15 <= minor < 64 else [])


def test_how_many_may_be_on_one_host(world: World) -> None:
    for value in (3, "3"):
        made = make(world, "anti-affinity", rules={"max_server_per_host": value})
        assert made["rules"] == {"max_server_per_host": 3}
    shown = world.member.get(f"{OF}/{made['id']}", 63, "server-groups-show-response")["server_group"]
    assert shown["policies"] == ["anti-affinity"]
    assert make(world, "anti-affinity", rules={"max_server_per_host": 2**31 - 1})
    for policy in ("anti-affinity", "affinity", *SOFT):
        assert make(world, policy, rules={})["rules"] == {}
        if policy != "anti-affinity":
            said = refused(world, body(64, policy, rules={"max_server_per_host": 3}))
            assert said == "Only anti-affinity policy supports rules."
    for bad in (0, -1, "0", "", "x", 1.5, None, True, [1], 2**31, 10**40, "9" * 5000):
        said = refused(world, body(64, "anti-affinity", rules={"max_server_per_host": bad}))
        assert "max_server_per_host" in said
    refused(world, body(64, "anti-affinity", rules={"max_server_per_host": 1, "x": 1}))
    refused(world, body(63, "anti-affinity", rules={"max_server_per_host": 1}), 63)


@pytest.mark.parametrize(
    ("minor", "asked"),
    [
        (63, {"policy": "affinity"}), (64, {"policies": ["affinity"]}), (1, {"policies": []}),
        (1, {"policies": ["affinity", "anti-affinity"]}), (1, {"policies": "affinity"}), (1, {}), (64, {}),
        (1, {"policies": ["legacy"]}), (64, {"policy": "legacy"}), (64, {"policy": None}), (1, {"policies": [None]}),
        (1, {"policies": ["affinity"], "metadata": {}}), (64, {"policy": "affinity", "members": []}),
        (64, {"policy": "affinity", "name": ""}), (64, {"policy": "affinity", "name": " g"}),
        (64, {"policy": "affinity", "name": "x" * 256}), (64, {"policy": "affinity", "name": "a\nb"}),
        (64, {"policy": "affinity", "name": 5}),
    ],
)  # fmt: skip
def test_what_is_no_group_is_refused(world: World, minor: int, asked: dict[str, Any]) -> None:
    refused(world, {"server_group": {"name": "g", **asked}}, minor)
    assert world.member.get(OF) == {"server_groups": []}


def test_names_need_not_differ(world: World) -> None:
    assert make(world)["id"] != make(world)["id"]
    assert make(world, name="x" * 255) and make(world, name="ünïcode group")["name"] == "ünïcode group"


def test_who_may(world: World) -> None:
    mine = make(world)
    path = f"{OF}/{mine['id']}"
    world.reader.send("POST", OF, body(64, "affinity"), 64, status=403)
    world.reader.send("DELETE", path, None, status=403)
    world.nobody.get(OF, status=401)
    said = world.stranger.get(path, status=404)["itemNotFound"]["message"]
    assert said == f"Instance group {mine['id']} could not be found."
    world.stranger.send("DELETE", path, None, status=404)
    assert world.stranger.get(OF) == {"server_groups": []}
    assert world.stranger.get(OF + "?all_projects=1") == {"server_groups": []}
    assert world.admin.get(OF) == {"server_groups": []}
    theirs = make(world, client=world.stranger)
    for query in ("all_projects", "all_projects=True", "all_projects=no", "all_projects=1&all_projects=2"):
        found = world.admin.get(f"{OF}?{query}", 64, "server-groups-list-response")["server_groups"]
        assert [group["id"] for group in found] == [mine["id"], theirs["id"]]
    assert world.admin.get(path, 64)["server_group"]["project_id"] == world.member.project_id
    world.admin.send("DELETE", path, None, status=204)
    assert quota.recount(world.db) == []


def test_pages(world: World) -> None:
    made = [make(world)["id"] for _ in range(5)]

    def page(query: str) -> list[str]:
        return [group["id"] for group in world.member.get(f"{OF}?{query}", 104)["server_groups"]]

    assert page("") == made
    assert (page("limit=2"), page("limit=2&offset=2"), page("offset=4"), page("offset=5")) == (
        made[:2], made[2:4], made[4:], [],
    )  # fmt: skip
    assert page("limit=0") == made, "as by Nova, where 0 sets no limit"
    assert page("limit=1&limit=3") == made[:3] and page("limit=007&offset=0") == made
    assert page("limit=" + "9" * 400) == made and page("offset=" + "9" * 400) == []
    for bad in ("limit=-1", "limit=x", "offset=-1", "offset=1.5", "limit="):
        world.member.get(f"{OF}?{bad}", status=400)
    world.member.get(OF + "?x=1", 74)
    world.member.get(OF + "?x=1", 75, status=400)
    world.member.get(f"{OF}/{made[0]}?x=1", 101)
    world.member.get(f"{OF}/{made[0]}?x=1", 102, status=400)


@pytest.mark.parametrize("bad", [NOBODY, "none", "1", "%00", "a" * 300, "%C3%BC", NOBODY.replace("-", "")])
def test_groups_that_are_none(world: World, bad: str) -> None:
    world.member.get(f"{OF}/{bad}", status=404)
    world.admin.send("DELETE", f"{OF}/{bad}", None, status=404)


def test_groups_are_counted_for_each_project(world: World) -> None:
    project = world.member.project_id
    path = f"/os-quota-sets/{project}"
    world.admin.send("PUT", path, {"quota_set": {"server_groups": 2, "server_group_members": 3}})
    made = [make(world)["id"], make(world)["id"]]
    assert refused(world, body(64, "affinity"), status=403) == "Quota exceeded, too many server groups."
    make(world, client=world.stranger)
    absolute = world.member.get("/limits", 104)["limits"]["absolute"]
    shown = (absolute["maxServerGroups"], absolute["totalServerGroupsUsed"], absolute["maxServerGroupMembers"])
    assert shown == (2, 2, 3)
    detail = world.member.get(path + "/detail", 104)["quota_set"]
    assert detail["server_groups"] == {"limit": 2, "in_use": 2, "reserved": 0}
    assert detail["server_group_members"] == {"limit": 3, "in_use": 0, "reserved": 0}
    for client, count in ((world.member, 2), (world.reader, 0)):
        mine = world.admin.get(f"{path}/detail?user_id={client.user_id}", 104)["quota_set"]
        assert mine["server_groups"]["in_use"] == count
    said = world.admin.send("PUT", path, {"quota_set": {"server_groups": 1}}, status=400)["badRequest"]["message"]
    assert "1 for server_groups" in said
    world.member.send("DELETE", f"{OF}/{made[0]}", None, status=204)
    world.member.send("DELETE", f"{OF}/{made[0]}", None, status=404)
    assert world.member.get("/limits", 104)["limits"]["absolute"]["totalServerGroupsUsed"] == 1
    make(world)
    assert quota.recount(world.db) == []


def test_ten_groups_unless_more_are_allowed(world: World) -> None:
    for _ in range(10):
        make(world)
    refused(world, body(64, "affinity"), status=403)
    with world.db.write() as connection:
        connection.execute(sa.update(api_schema.quota_usages).values(used=99))
    assert [quota.correct(world.db, difference) for difference in quota.recount(world.db)] == [True]
    world.conf.set_override("server_groups", -1, "quota")
    try:
        make(world)
    finally:
        world.conf.clear_override("server_groups", "quota")
