"""Aggregates and the zones that they make, by the API."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tenter.store import api_schema, cell_schema
from tests.functional.api.conftest import MINORS, World, nova_validator

OF = "/os-aggregates"


def make(world: World, name: str = "a", zone: str | None = None, *hosts: str) -> int:
    body = {"aggregate": {"name": name, "availability_zone": zone}}
    key = int(world.admin.send("POST", OF, body, 41, "aggregates-create-response")["aggregate"]["id"])
    for host in hosts:
        act(world, key, "add_host", host=host)
    return key


def act(world: World, key: object, name: str, status: int = 200, **values: Any) -> Any:
    schema = f"aggregates-{name.replace('_', '-')}-response" if status == 200 else None
    return world.admin.send("POST", f"{OF}/{key}/action", {name: values}, 41, schema, status)


def shown(world: World, key: int) -> Any:
    return world.admin.get(f"{OF}/{key}", 41, "aggregates-show-response")["aggregate"]


def zones(world: World) -> dict[str, str]:
    return {row["host"]: row["zone"] for row in world.admin.get("/os-services?binary=nova-compute")["services"]}


@pytest.mark.parametrize("minor", MINORS)
def test_shapes_at_every_microversion(world: World, minor: int) -> None:
    world.add_host("h")
    body: Any = {"aggregate": {"name": "a", "availability_zone": "z"}}
    made = world.admin.send("POST", OF, body, minor, "aggregates-create-response")["aggregate"]
    assert ("uuid" in made) == (minor >= 41) and "hosts" not in made
    path = f"{OF}/{made['id']}"
    world.admin.send("POST", path + "/action", {"add_host": {"host": "h"}}, minor, "aggregates-add-host-response")
    body = {"set_metadata": {"metadata": {"k": "v"}}}
    world.admin.send("POST", path + "/action", body, minor, "aggregates-set-metadata-response")
    world.admin.send("PUT", path, {"aggregate": {"name": "b"}}, minor, "aggregates-update-response")
    found = world.admin.get(path, minor, "aggregates-show-response")["aggregate"]
    assert world.admin.get(OF, minor, "aggregates-list-response") == {"aggregates": [found]}
    assert (found["name"], found["hosts"], found["availability_zone"]) == ("b", ["h"], "z")
    assert found["metadata"] == {"availability_zone": "z", "k": "v"}
    body = {"remove_host": {"host": "h"}}
    world.admin.send("POST", path + "/action", body, minor, "aggregates-remove-host-response")
    assert world.admin.send("DELETE", path, None, minor) is None
    world.admin.get(path, minor, status=404)
    world.admin.get(OF + "?x=1", minor, status=200 if minor < 102 else 400)


def test_metadata_is_changed_key_by_key(world: World) -> None:
    key = make(world)
    act(world, key, "set_metadata", metadata={"ssd": "true", "rack": "4"})
    answer = act(world, key, "set_metadata", metadata={"ssd": None, "rack": "5", "unknown": None})["aggregate"]
    assert answer["metadata"] == {"rack": "5"} == shown(world, key)["metadata"]
    assert answer["updated_at"] is not None
    assert act(world, key, "set_metadata", metadata={})["aggregate"]["metadata"] == {"rack": "5"}


def test_a_zone_is_an_aggregates_wherever_it_is_shown(world: World) -> None:
    world.add_host("h1")
    world.add_host("h2")
    world.add_conductor("h1")
    key = make(world, "a", "z1", "h1")
    make(world, "b", None, "h2")
    assert zones(world) == {"h1": "z1", "h2": "nova"}
    listed = world.member.get("/os-availability-zone", 1, "zones-list-response")["availabilityZoneInfo"]
    assert [zone["zoneName"] for zone in listed] == ["nova", "z1"]
    detail = world.admin.get("/os-availability-zone/detail", 1, "zones-detail-response")["availabilityZoneInfo"]
    hosts = {zone["zoneName"]: {host: list(of) for host, of in zone["hosts"].items()} for zone in detail}
    assert hosts == {
        "nova": {"h2": ["nova-compute"]}, "z1": {"h1": ["nova-compute"]}, "internal": {"h1": ["nova-conductor"]},
    }  # fmt: skip
    assert sorted(world.services.servers.hosts()[0]) == [("h1", "h1.example", "z1"), ("h2", "h2.example", "nova")]
    world.admin.send("PUT", f"{OF}/{key}", {"aggregate": {"availability_zone": "z2"}}, 41)
    assert zones(world)["h1"] == "z2"
    act(world, key, "remove_host", host="h1")
    assert zones(world)["h1"] == "nova"


def test_a_host_is_in_one_zone(world: World) -> None:
    world.add_host("h")
    make(world, "one", "z1", "h")
    two, plain = make(world, "two", "z2"), make(world, "plain", None, "h")
    said = act(world, two, "add_host", 409, host="h")["conflictingRequest"]["message"]
    assert "'z2'" in said and "'z1'" in said
    said = act(world, plain, "set_metadata", 400, metadata={"availability_zone": "z2"})["badRequest"]["message"]
    assert "host h is in zone 'z1'" in said
    world.admin.send("PUT", f"{OF}/{plain}", {"aggregate": {"name": "p", "availability_zone": "z2"}}, 41, status=400)
    assert shown(world, plain)["name"] == "plain"
    act(world, plain, "set_metadata", metadata={"availability_zone": "z1"})
    assert zones(world) == {"h": "z1"}


def test_a_host_with_servers_stays_in_its_zone(world: World) -> None:
    world.add_instance(world.add_host("h"))
    away, same, plain = make(world, "away", "z1"), make(world, "same", "nova"), make(world, "plain")
    said = act(world, away, "add_host", 409, host="h")["conflictingRequest"]["message"]
    assert "from the availability zone 'nova' into 'z1'" in said and "1 instance" in said
    for key in (plain, same):
        act(world, key, "add_host", host="h")
    for body in ({"availability_zone": "z1"}, {"availability_zone": "z1", "name": "b"}):
        said = world.admin.send("PUT", f"{OF}/{same}", {"aggregate": body}, 41, status=400)
        assert "Move them" in said["badRequest"]["message"]
    act(world, same, "set_metadata", 400, metadata={"availability_zone": "z1"})
    act(world, same, "remove_host", host="h")
    act(world, plain, "set_metadata", metadata={"availability_zone": "nova"})
    with world.cell.write() as connection:
        connection.execute(sa.update(cell_schema.compute_nodes).values(availability_zone="cellar"))
    act(world, plain, "remove_host", 409, host="h")
    assert zones(world) == {"h": "nova"}


def test_unknown_hosts_and_aggregates(world: World) -> None:
    key = make(world)
    world.add_conductor("conductor")
    for host in ("none", "conductor"):
        said = act(world, key, "add_host", 404, host=host)["itemNotFound"]["message"]
        assert said == f"Compute host {host} could not be found."
        act(world, key, "remove_host", 404, host=host)
    world.add_host("h")
    act(world, key, "add_host", host="h")
    act(world, key, "add_host", 409, host="h")
    act(world, 99, "add_host", 404, host="h")
    act(world, 99, "set_metadata", 404, metadata={})
    for bad, status in (("99", 404), ("-1", 404), ("9" * 30, 404), (str(2**31), 404), ("a", 400), ("1.5", 400),
                        ("%C2%B2", 400), ("-", 400)):  # fmt: skip
        world.admin.get(f"{OF}/{bad}", status=status)
        world.admin.send("DELETE", f"{OF}/{bad}", None, status=status)
        world.admin.send("PUT", f"{OF}/{bad}", {"aggregate": {"name": "b"}}, status=status)


def test_names_are_used_once_and_hosts_keep_an_aggregate(world: World) -> None:
    world.add_host("h")
    first, second = make(world, "a", None, "h"), make(world, "b")
    world.admin.send("POST", OF, {"aggregate": {"name": "a"}}, status=409)
    said = world.admin.send("PUT", f"{OF}/{second}", {"aggregate": {"name": " a "}}, status=409)
    assert said["conflictingRequest"]["message"] == "Aggregate a already exists."
    said = world.admin.send("DELETE", f"{OF}/{first}", None, status=400)
    assert "it has hosts" in said["badRequest"]["message"]


def test_a_deleted_service_leaves_its_aggregates(world: World) -> None:
    world.add_host("h")
    world.add_conductor("h")
    key = make(world, "a", "z", "h")
    services = {row["binary"]: row["id"] for row in world.admin.get("/os-services", 53)["services"]}
    world.admin.send("DELETE", f"/os-services/{services['nova-conductor']}", None, 53, status=204)
    assert shown(world, key)["hosts"] == ["h"]
    world.admin.send("DELETE", f"/os-services/{services['nova-compute']}", None, 53, status=204)
    assert shown(world, key)["hosts"] == []


def test_a_host_that_went_unnoticed_can_be_removed(world: World) -> None:
    world.add_host("h")
    key = make(world, "a", "z", "h")
    with world.cell.write() as connection:
        for table in (cell_schema.services, cell_schema.compute_nodes):
            connection.execute(sa.delete(table))
    assert act(world, key, "remove_host", host="h")["aggregate"]["hosts"] == []


BODIES: list[tuple[str, Any, bool]] = [
    ("create", {"name": "x"}, True),
    ("create", {"name": "x", "availability_zone": None}, True),
    ("create", {"name": "x" * 255, "availability_zone": "z" * 255}, True),
    ("create", {"name": "ünï", "availability_zone": "zürich 1"}, True),
    ("create", {}, False),
    ("create", {"name": ""}, False),
    ("create", {"name": " x"}, False),
    ("create", {"name": "x" * 256}, False),
    ("create", {"name": 5}, False),
    ("create", {"name": None}, False),
    ("create", {"name": "a\0"}, False),
    ("create", {"name": "x", "availability_zone": ""}, False),
    ("create", {"name": "x", "availability_zone": "a:b"}, False),
    ("create", {"name": "x", "availability_zone": "z" * 256}, False),
    ("create", {"name": "x", "metadata": {}}, False),
    ("create", [], False),
    ("update", {"name": " x "}, True),
    ("update", {"availability_zone": "z"}, True),
    ("update", {}, False),
    ("update", {"name": "  "}, False),
    ("update", {"hosts": ["h"]}, False),
    ("update", {"availability_zone": "a:b"}, False),
    ("add_host", {"host": "h"}, True),
    ("add_host", {"host": "a/b"}, False),
    ("add_host", {"host": "h\n"}, False),
    ("add_host", {}, False),
    ("add_host", {"host": "h", "x": 1}, False),
    ("add_host", {"host": ["h"]}, False),
    ("remove_host", {"host": ""}, False),
    ("remove_host", None, False),
    ("set_metadata", {"metadata": {"a:b-c_d. e": "v", "x": None}}, True),
    ("set_metadata", {"metadata": {"k" * 255: "v" * 255}}, True),
    ("set_metadata", {"metadata": {"k" * 256: "v"}}, False),
    ("set_metadata", {"metadata": {"k": "v" * 256}}, False),
    ("set_metadata", {"metadata": {"k/": "v"}}, False),
    ("set_metadata", {"metadata": {"": "v"}}, False),
    ("set_metadata", {"metadata": {"k": 1}}, False),
    ("set_metadata", {"metadata": None}, False),
    ("set_metadata", {}, False),
]


@pytest.mark.parametrize(("name", "values", "good"), BODIES)
def test_bodies(world: World, name: str, values: Any, good: bool) -> None:
    """What Nova takes is taken, what it refuses is a 400; formats of strings are not in its schemas as JSON."""
    world.add_host("h")
    key = make(world)
    before = shown(world, key)
    method, path, of = {
        "create": ("POST", OF, "aggregate"), "update": ("PUT", f"{OF}/{key}", "aggregate"),
    }.get(name, ("POST", f"{OF}/{key}/action", name))  # fmt: skip
    world.admin.send(method, path, {of: values}, 41, status=200 if good else 400)
    if good:
        assert nova_validator(f"aggregates-{name.replace('_', '-')}-request", 41).is_valid({of: values})
    else:
        assert world.admin.get(OF, 41)["aggregates"] == [before]


def test_a_zone_is_changed_but_not_removed(world: World) -> None:
    key = make(world, "a", "z")
    for zone in (None, "", "a:b", " z"):
        said = world.admin.send("PUT", f"{OF}/{key}", {"aggregate": {"availability_zone": zone}}, 41, status=400)
        assert "availability_zone" in said["badRequest"]["message"]
        act(world, key, "set_metadata", 400, metadata={"availability_zone": zone, "k": "v"})
    assert shown(world, key)["metadata"] == {"availability_zone": "z"}


@pytest.mark.parametrize("body", [{}, [], {"jump": {}}, {"add_host": {"host": "h"}, "remove_host": {"host": "h"}}])
def test_bad_actions(world: World, body: Any) -> None:
    world.add_host("h")
    world.admin.send("POST", f"{OF}/{make(world)}/action", body, 41, status=400)


def test_for_admins_only(world: World) -> None:
    key = make(world)
    for client in (world.member, world.reader):
        client.get(OF, status=403)
        client.get(f"{OF}/{key}", status=403)
        client.send("POST", OF, {"aggregate": {"name": "b"}}, status=403)
        client.send("PUT", f"{OF}/{key}", {"aggregate": {"name": "b"}}, status=403)
        client.send("DELETE", f"{OF}/{key}", None, status=403)
        client.send("POST", f"{OF}/{key}/action", {"add_host": {"host": "h"}}, status=403)
    with world.db.read() as connection:
        assert len(connection.execute(sa.select(api_schema.aggregates)).all()) == 1
