"""Hypervisors, services, zones, limits and extensions by the API."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tenter_api.compute.host_lists import number_of

from .conftest import MINORS, World


@pytest.mark.parametrize("minor", MINORS)
def test_shapes_at_every_microversion(world: World, minor: int) -> None:
    node = world.add_host()
    world.add_instance(node)
    key = node if minor >= 53 else number_of(node)
    world.admin.get("/os-hypervisors", minor, "hypervisors-list-response")
    world.admin.get("/os-hypervisors/detail", minor, "hypervisors-detail-response")
    world.admin.get(f"/os-hypervisors/{key}", minor, "hypervisors-show-response")
    world.admin.get("/os-services", minor, "services-list-response")
    world.admin.get("/limits", minor, "limits-show-response")
    world.member.get("/os-availability-zone", minor, "zones-list-response")
    world.admin.get("/os-availability-zone/detail", minor, "zones-detail-response")
    world.member.get("/extensions", minor, "extensions-list-response")
    world.member.get("/extensions/os-keypairs", minor, "extensions-show-response")
    for path, last in (
        (f"{key}/uptime", 87),
        ("statistics", 87),
        ("host1/search", 52),
        ("host1/servers", 52),
    ):
        schema = f"hypervisors-{path.rpartition('/')[2]}-response"
        if minor <= last:
            world.admin.get(f"/os-hypervisors/{path}", minor, schema)
        elif path != "statistics":
            world.admin.get(f"/os-hypervisors/{path}", minor, status=404)
    if minor > 87:
        world.admin.get("/os-hypervisors/statistics", minor, status=404)


def test_hypervisor_figures(world: World) -> None:
    node = world.add_host(disabled=True, disabled_reason="broken fan")
    world.add_instance(node)
    world.add_instance(node, task_state="rebooting")
    shown = world.admin.get(f"/os-hypervisors/{node}", 87)["hypervisor"]
    assert shown["service"]["disabled_reason"] == "broken fan"
    assert (shown["status"], shown["state"], shown["cpu_info"]) == ("disabled", "up", {"arch": "x86_64"})
    figures = {name: value for name, value in shown.items() if isinstance(value, int)}
    assert figures == {
        "hypervisor_version": 1000, "vcpus": 8, "vcpus_used": 3, "memory_mb": 16384, "memory_mb_used": 1536,
        "free_ram_mb": 14848, "local_gb": 100, "local_gb_used": 10, "free_disk_gb": 90, "running_vms": 2,
        "current_workload": 1,
    }  # fmt: skip
    assert world.admin.get("/os-hypervisors/statistics", 1)["hypervisor_statistics"]["count"] == 0
    assert world.admin.get("/os-hypervisors/detail", 1)["hypervisors"][0]["cpu_info"] == '{"arch":"x86_64"}'


def test_hypervisors_with_servers(world: World) -> None:
    full, empty = world.add_host("full"), world.add_host("empty")
    server = world.add_instance(full, "one")
    for minor, of_empty in ((53, None), (74, None), (75, []), (88, [])):
        shown = {h["id"]: h for h in world.admin.get("/os-hypervisors?with_servers=true", minor)["hypervisors"]}
        assert shown[full]["servers"] == [{"uuid": server, "name": "one"}]
        assert shown[empty].get("servers") == of_empty
    assert "servers" not in world.admin.get(f"/os-hypervisors/{full}?with_servers=0", 88)["hypervisor"]
    assert world.admin.get(f"/os-hypervisors/{full}?with_servers=1", 88)["hypervisor"]["servers"]


def test_hypervisor_pages_and_patterns(world: World) -> None:
    nodes = sorted(world.add_host(f"h{number}") for number in range(3))
    page = world.admin.get("/os-hypervisors/detail?limit=2", 88, "hypervisors-detail-response")
    assert [item["id"] for item in page["hypervisors"]] == nodes[:2]
    assert page["hypervisors_links"][0]["href"].endswith(f"/os-hypervisors/detail?limit=2&marker={nodes[1]}")
    rest = world.admin.get(f"/os-hypervisors?limit=2&marker={nodes[1]}", 88)
    assert [item["id"] for item in rest["hypervisors"]] == nodes[2:]
    found = world.admin.get("/os-hypervisors?hypervisor_hostname_pattern=H1", 53)["hypervisors"]
    assert [item["hypervisor_hostname"] for item in found] == ["h1.example"]
    world.admin.get("/os-hypervisors?hypervisor_hostname_pattern=zz", 53, status=404)
    world.admin.get("/os-hypervisors?hypervisor_hostname_pattern=h&limit=1", 53, status=400)
    world.admin.get("/os-hypervisors?limit=1&limit=2", 53, status=400)
    world.admin.get("/os-hypervisors?marker=x", 33, status=400)
    world.admin.get("/os-hypervisors?x=1", 53, status=400)
    world.admin.get("/os-hypervisors?x=1", 52)


def test_unknown_hypervisors(world: World) -> None:
    world.admin.get("/os-hypervisors/1", 52, status=404)
    world.admin.get("/os-hypervisors/x", 52, status=404)
    world.admin.get("/os-hypervisors/1", 53, status=400)
    world.admin.get(f"/os-hypervisors/{uuid.uuid4()}", 53, status=404)


def service(world: World, minor: int = 53, **filters: str) -> Any:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return world.admin.get(f"/os-services?{query}", minor)["services"]


def test_services_and_their_filters(world: World) -> None:
    world.add_host("a")
    world.add_host("b", last_seen=1.0)
    world.add_host("c", forced_down=True)
    states = {row["host"]: row["state"] for row in service(world)}
    assert states == {"a": "up", "b": "down", "c": "down"}
    (row,) = service(world, host="a")
    assert (row["binary"], row["zone"], row["status"]) == ("nova-compute", "nova", "enabled")
    assert len(service(world, binary="nova-compute")) == 3
    assert service(world, binary="nova-scheduler") == []
    assert [row["host"] for row in world.admin.get("/os-services?host=b&x=1", 74)["services"]] == ["b"]
    world.admin.get("/os-services?x=1", 75, status=400)


def test_services_change_by_uuid_since_2_53(world: World) -> None:
    world.add_host("a")
    path = f"/os-services/{service(world)[0]['id']}"
    for body, expected in (
        ({"status": "disabled", "disabled_reason": "why"}, ("disabled", "why", False, "up")),
        ({"forced_down": True}, ("disabled", "why", True, "down")),
        ({"status": "enabled", "forced_down": "false"}, ("enabled", None, False, "up")),
        ({"status": "disabled"}, ("disabled", None, False, "up")),
    ):
        row = world.admin.send("PUT", path, body, 53, "services-update-response")["service"]
        assert (row["status"], row["disabled_reason"], row["forced_down"], row["state"]) == expected
    for body in (
        {},
        {"status": "off"},
        {"status": "enabled", "disabled_reason": "x"},
        {"x": 1},
        {"disabled_reason": "x"},
        [],
    ):
        world.admin.send("PUT", path, body, 53, status=400)
    world.admin.send("PUT", f"/os-services/{uuid.uuid4()}", {"status": "enabled"}, 53, status=404)
    world.admin.send("PUT", "/os-services/enable", {"status": "enabled"}, 53, status=400)


@pytest.mark.parametrize(
    ("minor", "verb", "more", "status", "expected"),
    [
        (1, "disable", {}, 200, {"status": "disabled"}),
        (1, "enable", {}, 200, {"status": "enabled"}),
        (
            1,
            "disable-log-reason",
            {"disabled_reason": "r"},
            200,
            {"status": "disabled", "disabled_reason": "r"},
        ),
        (1, "disable-log-reason", {}, 400, None),
        (1, "force-down", {}, 404, None),
        (10, "force-down", {"forced_down": True}, 400, None),
        (11, "force-down", {"forced_down": True}, 200, {"forced_down": True}),
        (11, "force-down", {}, 400, None),
        (1, "dance", {}, 404, None),
        (1, "enable", {"binary": "nova-scheduler"}, 404, None),
        (1, "enable", {"host": "other"}, 404, None),
        (1, "enable", {"host": "no/host"}, 400, None),
    ],
)
def test_services_change_by_verb_before(
    world: World, minor: int, verb: str, more: dict[str, Any], status: int, expected: dict[str, Any] | None
) -> None:
    world.add_host("a")
    named = {"host": "a", "binary": "nova-compute"}
    schema = "services-update-response" if expected else None
    answer = world.admin.send("PUT", f"/os-services/{verb}", named | more, minor, schema, status)
    if expected:
        assert answer["service"] == named | expected


def test_a_service_is_deleted_when_nothing_is_on_it(world: World) -> None:
    node = world.add_host("a")
    path = f"/os-services/{service(world)[0]['id']}"
    world.add_instance(node)
    world.admin.send("DELETE", path, None, 53, status=409)
    world.reset()
    world.add_host("a")
    path = f"/os-services/{service(world)[0]['id']}"
    world.admin.send("DELETE", path, None, 53, status=204)
    world.admin.send("DELETE", path, None, 53, status=404)
    assert world.admin.get("/os-hypervisors")["hypervisors"] == []


@pytest.mark.parametrize("minor", [1, 11, 53, 69, 104])
def test_conductors_are_listed(world: World, minor: int) -> None:
    world.add_host("a")
    world.add_conductor("a")
    world.add_conductor("b", last_seen=1.0)
    rows = world.admin.get("/os-services", minor, "services-list-response")["services"]
    shown = {(row["host"], row["binary"]): (row["state"], row["zone"], row["status"]) for row in rows}
    assert shown == {
        ("a", "nova-compute"): ("up", "nova", "enabled"),
        ("a", "nova-conductor"): ("up", "internal", "enabled"),
        ("b", "nova-conductor"): ("down", "internal", "enabled"),
    }
    assert [row["host"] for row in service(world, minor, binary="nova-conductor", host="b")] == ["b"]
    zones = world.admin.get("/os-availability-zone/detail", minor, "zones-detail-response")["availabilityZoneInfo"]
    (internal,) = [zone for zone in zones if zone["zoneName"] == "internal"]
    assert internal["hosts"]["b"]["nova-conductor"]["available"] is False
    assert [zone["zoneName"] for zone in world.member.get("/os-availability-zone")["availabilityZoneInfo"]] == ["nova"]
    assert len(world.admin.get("/os-hypervisors", minor)["hypervisors"]) == 1


def test_conductors_cannot_be_disabled_or_declared_down(world: World) -> None:
    key = world.add_conductor("a")
    for body in ({"status": "disabled"}, {"status": "enabled"}, {"forced_down": True}):
        said = world.admin.send("PUT", f"/os-services/{key}", body, 53, status=400)
        assert "nova-conductor" in said["badRequest"]["message"] and "nova-compute" in said["badRequest"]["message"]
    named = {"host": "a", "binary": "nova-conductor"}
    for verb, more in (("disable", {}), ("force-down", {"forced_down": True})):
        world.admin.send("PUT", f"/os-services/{verb}", {**named, **more}, 11, status=400)
    (row,) = service(world)
    assert (row["status"], row["forced_down"]) == ("enabled", False)


@pytest.mark.parametrize("minor", [1, 53])
def test_a_dead_conductor_is_deleted(world: World, minor: int) -> None:
    dead, alive = world.add_conductor("a", last_seen=1.0), world.add_conductor("b")
    path = f"/os-services/{dead if minor >= 53 else number_of(dead)}"
    world.admin.send("DELETE", path, None, minor, status=204)
    world.admin.send("DELETE", path, None, minor, status=404)
    assert [row["id"] for row in service(world)] == [alive]


def test_zones(world: World) -> None:
    assert world.member.get("/os-availability-zone") == {"availabilityZoneInfo": []}
    world.add_host("a", disabled=True)
    zone = {"zoneName": "nova", "zoneState": {"available": False}, "hosts": None}
    assert world.member.get("/os-availability-zone") == {"availabilityZoneInfo": [zone]}
    world.add_host("b")
    (zone,) = world.member.get("/os-availability-zone")["availabilityZoneInfo"]
    assert zone["zoneState"] == {"available": True}
    (zone,) = world.admin.get("/os-availability-zone/detail")["availabilityZoneInfo"]
    assert list(zone["hosts"]) == ["b"]
    assert zone["hosts"]["b"]["nova-compute"]["available"] is True


def test_unknown_extension(world: World) -> None:
    world.member.get("/extensions/os-none", status=404)


@pytest.mark.parametrize("path", ["/os-hypervisors", "/os-hypervisors/detail", "/os-hypervisors/1", "/os-services",
                                  "/os-availability-zone/detail", "/os-hypervisors/statistics"])  # fmt: skip
def test_for_admins_only(world: World, path: str) -> None:
    assert world.member.get(path, status=403)["forbidden"]["code"] == 403
    world.member.send("PUT", "/os-services/enable", {"host": "a", "binary": "b"}, status=403)


@pytest.mark.parametrize("path", ["/flavors/1", "/os-availability-zone", "/extensions", "/flavors/1/os-extra_specs"])
def test_unknown_query_keys_are_refused_since_2_102(world: World, path: str) -> None:
    world.member.get(f"{path}?x=1", 101)
    world.member.get(f"{path}?x=1", 102, status=400)
