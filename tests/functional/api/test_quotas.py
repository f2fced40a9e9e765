"""Quotas by the API: limits of projects and classes, what is used of them, and what happens at the limit."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tenter.store import api_schema, instances, quota

from .conftest import MINORS, World, nova_validator

EVERYTHING = {name: index + 1 for index, name in enumerate(quota.RESOURCES)}


@pytest.fixture
def project(world: World) -> str:
    """The id of project demo, of which ``member`` and ``reader`` are."""
    return str(world.member.project_id)


def put(world: World, project: str, minor: int | None = None, status: int = 200, **limits: Any) -> Any:
    body = {"quota_set": limits}
    answer = world.admin.send("PUT", f"/os-quota-sets/{project}", body, minor, status=status)
    return answer["quota_set"] if status == 200 else answer


def hold(world: World, project: str, count: int) -> None:
    """Write places of a project, counted as they are when servers are created."""
    rows = [
        {"uuid": f"{index:08}-0000-4000-8000-000000000000", "project_id": project, "user_id": world.member.user_id,
         "created_at": 1.0, "flavor": {"vcpus": 2, "memory_mb": 512}, "image_ref": None, "pinned_zone": None,
         "locked": False}
        for index in range(count)
    ]  # fmt: skip
    with world.db.write() as connection:
        instances.take_places(connection, rows, dict.fromkeys(quota.RESOURCES, -1))


@pytest.mark.parametrize("minor", MINORS)
def test_shapes_at_every_microversion(world: World, project: str, minor: int) -> None:
    path = f"/os-quota-sets/{project}"
    world.admin.get(path, minor, "quota-sets-show-response")
    world.member.get(path, minor, "quota-sets-show-response")
    world.reader.get(path + "/detail", minor, "quota-sets-detail-response")
    world.reader.get(path + "/defaults", minor, "quota-sets-defaults-response")
    world.reader.get("/limits", minor, "limits-show-response")
    world.admin.get("/os-quota-class-sets/default", minor, "quota-classes-show-response")
    for kind, url in (("quota_set", path), ("quota_class_set", "/os-quota-class-sets/default")):
        schema = "quota-sets-update" if kind == "quota_set" else "quota-classes-update"
        known = nova_validator(schema + "-request", minor).schema["properties"][kind]["properties"]
        asked = {name: EVERYTHING[name] for name in known if name != "force"}
        shown = world.admin.send("PUT", url, {kind: asked}, minor, schema + "-response")[kind]
        assert shown == {name: EVERYTHING[name] for name in shown}
        for name in set(EVERYTHING) - set(known):
            world.admin.send("PUT", url, {kind: {name: 1}}, minor, status=400)
    world.admin.send("DELETE", path, None, minor, status=202)


@pytest.mark.parametrize("value", [-2, "-2", 1 << 31, "x", "", 1.5, None, True, [1], "1" * 50])
def test_what_is_no_limit_is_refused_as_by_nova(world: World, project: str, value: Any) -> None:
    for kind, url, schema in (
        ("quota_set", f"/os-quota-sets/{project}", "quota-sets-update-request"),
        ("quota_class_set", "/os-quota-class-sets/default", "quota-classes-update-request"),
    ):
        world.admin.send("PUT", url, {kind: {"cores": value}}, 60, status=400)
        world.admin.send("PUT", url, {kind: [value]}, 60, status=400)
        world.admin.send("PUT", url, {kind: {}, "x": 1}, 60, status=400)
    assert world.admin.get(f"/os-quota-sets/{project}")["quota_set"]["cores"] == -1


def test_limits_stand_over_the_class_over_the_options(world: World, project: str) -> None:
    path = f"/os-quota-sets/{project}"
    world.conf.set_override("cores", 20, "quota")
    try:
        assert world.member.get(path, 57)["quota_set"] == {
            "id": project, "instances": -1, "cores": 20, "ram": -1, "key_pairs": 100, "metadata_items": 128,
            "server_groups": 10, "server_group_members": 10,
        }  # fmt: skip
        world.admin.send("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"cores": "7", "ram": 9}})
        world.admin.send("PUT", "/os-quota-class-sets/other", {"quota_class_set": {"instances": 1}})
        assert put(world, project, 57, ram=5, force=True)["ram"] == 5
        shown = world.member.get(path, 57)["quota_set"]
        assert (shown["instances"], shown["cores"], shown["ram"]) == (-1, 7, 5)
        assert put(world, project, ram=6)["ram"] == 6
        shown = world.member.get(path + "/defaults", 57)["quota_set"]
        assert (shown["cores"], shown["ram"]) == (7, 9)
        shown = world.admin.get("/os-quota-class-sets/other", 57)["quota_class_set"]
        assert (shown["id"], shown["instances"], shown["cores"]) == ("other", 1, 20)
        world.admin.send("DELETE", path, None, status=202)
        world.admin.send("DELETE", path, None, status=202)
        assert world.member.get(path)["quota_set"]["ram"] == 9
    finally:
        world.conf.clear_override("cores", "quota")


def test_what_is_used_is_shown(world: World, project: str) -> None:
    hold(world, project, 3)
    put(world, project, instances=5)
    detail = world.member.get(f"/os-quota-sets/{project}/detail", 104)["quota_set"]
    assert detail["instances"] == {"limit": 5, "in_use": 3, "reserved": 0}
    assert (detail["cores"]["in_use"], detail["ram"]["in_use"]) == (6, 1536)
    world.member.send("POST", "/os-keypairs", {"keypair": {"name": "k"}}, 91, status=201)
    for user, servers, pairs in ((world.member, 3, 1), (world.reader, 0, 0)):
        mine = world.admin.get(f"/os-quota-sets/{project}/detail?user_id={user.user_id}", 104)["quota_set"]
        assert (mine["instances"]["in_use"], mine["key_pairs"]["in_use"]) == (servers, pairs)
    absolute = world.member.get("/limits", 104)["limits"]["absolute"]
    assert absolute == {
        "maxServerMeta": 128, "maxTotalInstances": 5, "maxTotalCores": -1, "maxTotalRAMSize": -1,
        "maxTotalKeypairs": 100, "maxServerGroups": 10, "maxServerGroupMembers": 10, "totalInstancesUsed": 3,
        "totalCoresUsed": 6, "totalRAMUsed": 1536, "totalServerGroupsUsed": 0,
    }  # fmt: skip
    assert world.stranger.get("/limits")["limits"]["absolute"]["totalInstancesUsed"] == 0
    query = f"/limits?tenant_id={project}"
    assert world.admin.get(query)["limits"]["absolute"]["totalInstancesUsed"] == 3
    world.stranger.get(query, status=403)
    world.member.get("/limits?x=1", 75, status=400)


def test_a_limit_below_what_is_used_takes_force(world: World, project: str) -> None:
    hold(world, project, 3)
    answer = put(world, project, status=400, ram=99999, instances=2)
    assert answer["badRequest"]["message"] == (
        "Quota limit 2 for instances must be greater than or equal to already used and reserved 3."
    )
    assert world.member.get(f"/os-quota-sets/{project}")["quota_set"]["ram"] == -1
    put(world, project, instances=-1)
    put(world, project, instances=3)
    assert put(world, project, instances=2, force="true")["instances"] == 2
    assert put(world, project, status=400, instances=0, force="no")
    detail = world.member.get(f"/os-quota-sets/{project}/detail")["quota_set"]["instances"]
    assert detail == {"limit": 2, "in_use": 3, "reserved": 0}


def test_who_may(world: World, project: str) -> None:
    path, classes = f"/os-quota-sets/{project}", "/os-quota-class-sets/default"
    for client in (world.member, world.reader, world.stranger):
        client.send("PUT", path, {"quota_set": {"cores": 1}}, status=403)
        client.send("DELETE", path, None, status=403)
        client.get(classes, status=403)
        client.send("PUT", classes, {"quota_class_set": {"cores": 1}}, status=403)
    world.stranger.get(path, status=403)
    world.stranger.get(path + "/detail", status=403)
    world.stranger.get(path + "/defaults")
    world.nobody.get(path, status=401)


def test_projects_and_users_that_cannot_have_limits(world: World, project: str) -> None:
    for path in ("/os-quota-sets/nobody", "/os-quota-sets/nobody/detail", "/os-quota-sets/nobody/defaults"):
        answer = world.admin.get(path, status=400)
        assert answer["badRequest"]["message"] == "Project ID nobody is not a valid project."
    world.member.get("/os-quota-sets/nobody", status=403)
    put(world, "nobody", status=400, cores=1)
    user = f"/os-quota-sets/{project}?user_id={world.member.user_id}"
    world.admin.send("PUT", user, {"quota_set": {"cores": 1}}, status=400)
    put(world, project, cores=4)
    world.admin.send("DELETE", user, None, status=202)
    assert world.admin.get(user)["quota_set"]["cores"] == 4
    world.admin.get(f"/os-quota-sets/{project}?x=1", 75, status=400)
    world.admin.get(f"/os-quota-sets/{project}?x=1", 74)
    world.admin.send("PUT", "/os-quota-class-sets/" + "x" * 256, {"quota_class_set": {"cores": 1}}, status=400)


def test_key_pairs_are_counted_for_each_user(world: World, project: str) -> None:
    put(world, project, key_pairs=2)
    for name, status in (("a", 201), ("a", 409), ("b", 201), ("c", 403)):
        answer = world.member.send("POST", "/os-keypairs", {"keypair": {"name": name}}, 91, status=status)
        if status == 403:
            assert answer["forbidden"]["message"] == "Quota exceeded, too many key pairs."
    world.member.send("DELETE", "/os-keypairs/a", None, status=202)
    world.member.send("DELETE", "/os-keypairs/a", None, status=404)
    world.member.send("POST", "/os-keypairs", {"keypair": {"name": "c"}}, 91, status=201)
    assert quota.recount(world.db) == []
    with world.db.read() as connection:
        assert connection.execute(sa.select(api_schema.quota_usages.c.used)).scalars().all() == [2]
