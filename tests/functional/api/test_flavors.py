"""Flavors by the API."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import MINORS, World


def make(world: World, minor: int | None = 102, status: int = 200, **values: Any) -> Any:
    flavor = {"name": "f", "ram": 64, "vcpus": 1, "disk": 0} | values
    schema = "flavors-create-response" if status == 200 else None
    return world.admin.send("POST", "/flavors", {"flavor": flavor}, minor, schema, status)


@pytest.mark.parametrize("minor", MINORS)
def test_shapes_at_every_microversion(world: World, minor: int) -> None:
    world.member.get("/flavors", minor, "flavors-list-response")
    world.member.get("/flavors/detail", minor, "flavors-detail-response")
    world.member.get("/flavors/1", minor, "flavors-show-response")
    make(world, minor)


def test_show_in_full(world: World) -> None:
    flavor = world.member.get("/flavors/2", 102)["flavor"]
    links = flavor.pop("links")
    assert [link["rel"] for link in links] == ["self", "bookmark"]
    assert flavor == {
        "id": "2", "name": "m1.small", "description": None, "ram": 2048, "vcpus": 1, "disk": 20, "swap": 0,
        "OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": True, "extra_specs": {},
    }  # fmt: skip
    old = world.member.get("/flavors/2", 1)["flavor"]
    assert (old["swap"], old["rxtx_factor"], old["OS-FLV-DISABLED:disabled"]) == ("", 1.0, False)
    assert "description" not in old


def test_the_classic_flavors_are_there_once(world: World) -> None:
    from tenter.store.flavors import seed_flavors

    seed_flavors(world.db)
    names = [flavor["name"] for flavor in world.member.get("/flavors")["flavors"]]
    assert names == ["m1.tiny", "m1.small", "m1.medium", "m1.large", "m1.nano", "m1.xlarge"]


def test_pages(world: World) -> None:
    seen, path = [], "/flavors?limit=2&sort_key=memory_mb"
    while path:
        page = world.member.get(path, 102, "flavors-list-response")
        seen += [flavor["id"] for flavor in page["flavors"]]
        links = page.get("flavors_links")
        path = links[0]["href"].partition("/v2.1")[2] if links else ""
    assert seen == ["42", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("key", ["created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id",
                                 "is_public",
                                 "memory_mb", "name", "root_gb", "swap", "updated_at", "vcpu_weight", "vcpus"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_every_sort_key_pages_without_loss(world: World, key: str, direction: str) -> None:
    make(world, id=None, description="of one")
    whole = [f["id"] for f in world.admin.get(f"/flavors?sort_key={key}&sort_dir={direction}", 102)["flavors"]]
    assert len(whole) == len(set(whole)) == 7
    seen: list[str] = []
    while len(seen) < 7:
        marker = f"&marker={seen[-1]}" if seen else ""
        page = world.admin.get(f"/flavors?limit=3&sort_key={key}&sort_dir={direction}{marker}", 102)
        assert page["flavors"]
        seen += [flavor["id"] for flavor in page["flavors"]]
    assert seen == whole


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("minRam=8192", ["4", "5"]),
        ("minDisk=80&minRam=9000", ["5"]),
        ("name=m1.tiny", ["1"]),
        ("name=none", []),
        ("limit=0", []),
        ("minRam=99999999999999999999999", []),
        ("marker=4&sort_key=id", ["5", "42"]),
    ],
)
def test_filters(world: World, query: str, found: list[str]) -> None:
    assert [flavor["id"] for flavor in world.member.get(f"/flavors?{query}", 102)["flavors"]] == found


@pytest.mark.parametrize("minor", [74, 75, 101, 102])
@pytest.mark.parametrize("key", ["color=red", "name=m1.tiny", "sort_key=rxtx_factor"])
def test_keys_of_queries_by_version(world: World, minor: int, key: str) -> None:
    refused = {
        "color=red": minor >= 75,
        "name=m1.tiny": 75 <= minor < 102,
        "sort_key=rxtx_factor": minor >= 102,
    }
    answer = world.member.get(f"/flavors?{key}", minor, status=400 if refused[key] else 200)
    if refused[key]:
        assert key.partition("=")[0] in answer["badRequest"]["message"]


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=x", "limit=", "marker=none", "minRam=x", "minDisk=1.5", "sort_key=x",
              "sort_dir=up", "is_public=maybe", "limit=%00", "minRam=" + "9" * 5000]
)  # fmt: skip
def test_bad_queries(world: World, query: str) -> None:
    status = 200 if query.startswith("minRam=9") else 400
    world.admin.get(f"/flavors?{query}", 1, status=status)


@pytest.mark.parametrize(
    "values",
    [
        {"ram": 0}, {"ram": -1}, {"ram": 2**31}, {"ram": "x"}, {"ram": None}, {"ram": 1.5}, {"ram": True},
        {"ram": "9" * 50}, {"vcpus": 0}, {"disk": -1}, {"swap": -1}, {"name": ""}, {"name": " "}, {"name": " f"},
        {"name": "f\n"}, {"name": "x" * 256}, {"name": "a\x00b"}, {"name": 5}, {"id": " 1"}, {"id": ""},
        {"id": "a/b"}, {"id": "x" * 256}, {"id": True}, {"id": 1e300}, {"unknown": 1}, {"description": "x" * 65536},
        {"os-flavor-access:is_public": "maybe"}, {"description": "a\x07"},
    ],
)  # fmt: skip
def test_bad_flavors(world: World, values: dict[str, Any]) -> None:
    message = make(world, status=400, **values)["badRequest"]["message"]
    assert next(iter(values)) in message
    assert len(world.admin.get("/flavors?is_public=None")["flavors"]) == 6


@pytest.mark.parametrize("factor", [0, -1, "x", "1e5", "0"])
def test_bad_rxtx_factor(world: World, factor: Any) -> None:
    make(world, 101, status=400, rxtx_factor=factor)


def test_create_with_everything(world: World) -> None:
    made = make(world, 55, id="big one", ram="128", rxtx_factor="2.5", swap="8",
                **{"OS-FLV-EXT-DATA:ephemeral": 3, "description": "Ünïcode"})["flavor"]  # fmt: skip
    assert (made["id"], made["ram"], made["rxtx_factor"], made["swap"]) == ("big one", 128, 2.5, 8)
    assert (made["OS-FLV-EXT-DATA:ephemeral"], made["description"]) == (3, "Ünïcode")
    assert world.member.get("/flavors/big%20one", 55)["flavor"] == made


def test_ids_and_names_are_taken_once(world: World) -> None:
    first = make(world, id=None)["flavor"]
    assert len(first["id"]) == 36
    assert "name f" in make(world, status=409)["conflictingRequest"]["message"]
    assert "ID 1" in make(world, status=409, name="g", id="1")["conflictingRequest"]["message"]


def test_update_is_since_2_55(world: World) -> None:
    body = {"flavor": {"description": "new"}}
    world.admin.send("PUT", "/flavors/1", body, 54, status=404)
    answer = world.admin.send("PUT", "/flavors/1", body, 55, "flavors-update-response")
    assert answer["flavor"]["description"] == "new"
    world.admin.send("PUT", "/flavors/none", body, 55, status=404)
    world.admin.send("PUT", "/flavors/1", {"flavor": {"ram": 1}}, 55, status=400)


def test_delete(world: World) -> None:
    world.admin.send("DELETE", "/flavors/1", None, status=202)
    world.admin.send("DELETE", "/flavors/1", None, status=404)
    world.admin.get("/flavors/1", status=404)


def test_private_flavors_are_for_those_who_were_let_in(world: World) -> None:
    make(world, id="p", **{"os-flavor-access:is_public": False})
    path = "/flavors/p/action"
    world.member.get("/flavors/p", status=404)
    assert "p" not in [flavor["id"] for flavor in world.member.get("/flavors?is_public=None")["flavors"]]
    body = {"addTenantAccess": {"tenant": world.member.project_id}}
    answer = world.admin.send("POST", path, body, schema="flavor-access-list-response")
    assert answer == {"flavor_access": [{"flavor_id": "p", "tenant_id": world.member.project_id}]}
    world.admin.send("POST", path, body, status=409)
    assert world.member.get("/flavors/p")["flavor"]["os-flavor-access:is_public"] is False
    assert "p" in [flavor["id"] for flavor in world.member.get("/flavors")["flavors"]]
    world.stranger.get("/flavors/p", status=404)
    assert world.admin.get("/flavors/p/os-flavor-access", 1, "flavor-access-list-response") == answer
    body = {"removeTenantAccess": {"tenant": world.member.project_id}}
    assert world.admin.send("POST", path, body) == {"flavor_access": []}
    world.admin.send("POST", path, body, status=404)
    world.member.get("/flavors/p", status=404)


def test_public_flavors_have_no_access_list(world: World) -> None:
    world.admin.get("/flavors/1/os-flavor-access", status=404)
    world.admin.send("POST", "/flavors/1/action", {"addTenantAccess": {"tenant": "x"}}, status=409)


@pytest.mark.parametrize("body", [{}, [], {"jump": {}}, {"addTenantAccess": {}}, {"addTenantAccess": {"tenant": 1}},
                                  {"addTenantAccess": {"tenant": "x"}, "removeTenantAccess": {}}])  # fmt: skip
def test_bad_actions(world: World, body: Any) -> None:
    world.admin.send("POST", "/flavors/1/action", body, status=400)


def test_extra_specs(world: World) -> None:
    base = "/flavors/1/os-extra_specs"
    body = {"extra_specs": {"hw:cpu_policy": "shared", "quota:n": 5}}
    assert world.admin.send("POST", base, body, 1, "extra-specs-create-response") == body
    assert world.member.get(base, 102, "extra-specs-list-response")["extra_specs"]["quota:n"] == "5"
    assert world.admin.send("PUT", f"{base}/quota:n", {"quota:n": "6"}) == {"quota:n": "6"}
    assert world.member.get(f"{base}/quota:n") == {"quota:n": "6"}
    assert world.member.get("/flavors/1", 61)["flavor"]["extra_specs"]["quota:n"] == "6"
    world.admin.send("DELETE", f"{base}/quota:n", None)
    world.admin.send("DELETE", f"{base}/quota:n", None, status=404)
    world.member.get(f"{base}/quota:n", status=404)
    world.member.get("/flavors/none/os-extra_specs", status=404)


@pytest.mark.parametrize(
    "specs", [{"a/b": "x"}, {"": "x"}, {"k": None}, {"k": "x" * 256}, {"k" * 256: "x"}, [], {"k": {}}]
)
def test_bad_extra_specs(world: World, specs: Any) -> None:
    world.admin.send("POST", "/flavors/1/os-extra_specs", {"extra_specs": specs}, status=400)


def test_the_key_in_the_url_counts(world: World) -> None:
    for body in ({"b": "1"}, {}, {"a": "1", "b": "2"}):
        world.admin.send("PUT", "/flavors/1/os-extra_specs/a", body, status=400)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1}}),
        ("DELETE", "/flavors/1", None),
        ("POST", "/flavors/1/action", {"addTenantAccess": {"tenant": "x"}}),
        ("POST", "/flavors/1/os-extra_specs", {"extra_specs": {"a": "b"}}),
        ("PUT", "/flavors/1/os-extra_specs/a", {"a": "b"}),
        ("DELETE", "/flavors/1/os-extra_specs/a", None),
        ("GET", "/flavors/1/os-flavor-access", None),
    ],
)
def test_only_admins_manage(world: World, method: str, path: str, body: Any) -> None:
    for client in (world.member, world.reader):
        assert client.send(method, path, body, status=403)["forbidden"]["code"] == 403
