"""Lists of servers: filters, sorting, paging, and who sees what."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tenter.store.cell_schema import services
from tenter_api.compute import server_schemas
from tests.unit.api.servers import oracle
from tests.unit.api.servers.conftest import IMAGE, Api, a_vif

NOBODY = "99999999-9999-4999-8999-999999999999"


def names(api: Api, query: str = "", path: str = "/servers/detail", **more: Any) -> list[str]:
    """Return the names listed, sorted."""
    answer = api.get(path, query_string=query, **more)
    assert answer.status_code == 200, answer.text
    return sorted(server["name"] for server in answer.json["servers"])


@pytest.fixture
def three(api: Api) -> dict[str, str]:
    """One server that is active, one that is being rebooted, one that is waiting for a host."""
    return {
        "web-1": api.active(name="web-1", tags=["a", "b"], key_name="mine", metadata={"x": "y"}),
        "web-2": api.active(
            [a_vif("10.0.0.6"), a_vif("fd00::6")],
            {"task_state": "rebooting", "access_ip_v4": "192.0.2.1"},
            name="web-2", tags=["a"], flavorRef="2",
        ),  # fmt: skip
        "db-1": api.create(name="db-1", tags=["c"])["id"],
    }


@pytest.mark.parametrize(("query", "wanted"), [
    ("", ["db-1", "web-1", "web-2"]),
    ("name=web", ["web-1", "web-2"]),
    ("name=%5Eweb-1", ["web-1"]),
    ("name=%5Eweb-1$", ["web-1"]),
    ("name=-1", ["db-1", "web-1"]),
    ("name=(db|web)-1", ["db-1", "web-1"]),
    ("name=%5Ewe.-2", ["web-2"]),
    ("name=webx*-1", ["web-1"]),
    ("name=b-%5B2%5D", ["web-2"]),
    ("name=%25", []),
    ("name=_", []),
    ("status=ACTIVE", ["web-1"]),
    ("status=active", ["web-1"]),
    ("status=REBOOT", ["web-2"]),
    ("status=BUILD", ["db-1"]),
    ("status=BUILD&status=ACTIVE", ["db-1", "web-1"]),
    ("status=ERROR", []),
    ("flavor=1", ["db-1", "web-1"]),
    ("flavor=2", ["web-2"]),
    ("flavor=none", []),
    (f"image={IMAGE}", ["db-1", "web-1", "web-2"]),
    (f"image={NOBODY}", []),
    ("ip=10.0.0.5", ["web-1"]),
    ("ip=10%5C.0", ["web-1", "web-2"]),
    ("ip6=fd00", ["web-2"]),
    ("tags=a", ["web-1", "web-2"]),
    ("tags=a,b", ["web-1"]),
    ("tags-any=b,c", ["db-1", "web-1"]),
    ("not-tags=a,b", ["db-1", "web-2"]),
    ("not-tags-any=a,b", ["db-1"]),
    ("key_name=mine", ["web-1"]),
    ("availability_zone=nova", ["web-1", "web-2"]),
    ("power_state=1", ["web-1", "web-2"]),
    ("vm_state=building", ["db-1"]),
    ("task_state=rebooting", ["web-2"]),
    ("locked=true", []),
    ("locked=false", ["db-1", "web-1", "web-2"]),
    ("hostname=web-1", ["web-1"]),
    ("user_id=ann", ["db-1", "web-1", "web-2"]),
    ("user_id=rob", []),
    ("config_drive=true", ["db-1", "web-1", "web-2"]),
    ("changes-since=2020-01-01T00:00:00Z", ["db-1", "web-1", "web-2"]),
    ("changes-since=2090-01-01T00:00:00%2B02:00", []),
    ("changes-before=2020-01-01T00:00:00Z", []),
    ("deleted=False", ["db-1", "web-1", "web-2"]),
    ("deleted=True", ["db-1", "web-1", "web-2"]),  # stripped: he is no administrator
    ("limit=0", []),
])  # fmt: skip
def test_filters(api: Api, three: dict[str, str], query: str, wanted: list[str]) -> None:
    assert names(api, query) == wanted
    assert names(api, query, path="/servers") == wanted


@pytest.mark.parametrize(("query", "wanted"), [
    ("deleted=True", []),
    ("soft_deleted=True", []),
    ("status=deleted", []),
    ("host=node1", ["web-1", "web-2"]),
    ("host=node2", []),
    ("node=node1", ["web-1", "web-2"]),
    ("access_ip_v4=192", ["web-2"]),
    ("all_tenants=1", ["db-1", "theirs", "web-1", "web-2"]),
    ("all_tenants", ["db-1", "theirs", "web-1", "web-2"]),
    ("all_tenants=0", ["db-1", "web-1", "web-2"]),
    (f"all_tenants=1&project_id={'b' * 32}", ["theirs"]),
    (f"all_tenants=1&tenant_id={'b' * 32}", ["theirs"]),
    (f"project_id={'b' * 32}", ["db-1", "web-1", "web-2"]),
    ("all_tenants=1&name=t", ["theirs"]),
    (f"uuid={NOBODY}", []),
])  # fmt: skip
def test_filters_of_administrators(api: Api, three: dict[str, str], query: str, wanted: list[str]) -> None:
    body = {"name": "theirs", "flavorRef": "1", "imageRef": IMAGE, "networks": "none"}
    assert api.call("POST", "/servers", {"server": body}, who="stranger").status_code == 202
    assert names(api, query, who="admin") == wanted


@pytest.mark.parametrize(("query", "status"), [
    ("name=%5B", 400),
    ("name=(a%2B)%2B$", 400),
    ("name=" + "a" * 300, 400),
    ("ip=*", 400),
    ("marker=none", 400),
    (f"marker={NOBODY}", 400),
    ("limit=-1", 400),
    ("limit=x", 400),
    ("limit=" + "9" * 5000, 400),
    ("sort_key=nothing", 400),
    ("sort_key=uuid&sort_dir=up", 400),
    ("sort_key=host", 403),
    ("status=nonsense", 400),
    ("status=deleted", 403),
    ("all_tenants=1", 403),
    ("all_tenants=maybe", 400),
    ("changes-since=yesterday", 400),
    ("changes-since=2026-01-02T00:00:00Z&changes-before=2026-01-01T00:00:00Z", 400),
    ("locked=maybe", 400),
    ("unknown=1", 400),
    ("_private=1", 400),
    ("metadata=1", 200),
    ("name=%00", 400),
    ("limit=99999999", 200),
])  # fmt: skip
def test_bad_queries(api: Api, query: str, status: int) -> None:
    assert api.get("/servers", query_string=query).status_code == status


def test_unknown_filters_are_ignored_below_2_75(api: Api, three: dict[str, str]) -> None:
    assert len(names(api, "unknown=1", version="2.74")) == 3
    assert len(names(api, "availability_zone=none", version="2.82")) == 3
    assert names(api, "availability_zone=none", version="2.83") == []
    assert names(api, "status=nonsense", version="2.37") == []
    assert api.get("/servers?_x=1", version="2.1").status_code == 400
    assert api.get("/servers?metadata=1", version="2.1", who="admin").status_code == 400


@pytest.mark.parametrize("sort", [
    "", "sort_key=display_name&sort_dir=asc", "sort_key=task_state&sort_dir=asc&sort_key=uuid&sort_dir=desc",
    "sort_key=vm_state&sort_dir=desc&sort_key=display_name&sort_dir=asc", "sort_key=key_name",
    "sort_key=launched_at&sort_dir=asc", "sort_key=locked",
])  # fmt: skip
def test_pages_are_the_whole_list_in_parts(api: Api, sort: str) -> None:
    for number in range(5):
        api.active(name=f"s{number}", values={"task_state": "rebooting" if number % 2 else None})
        api.create(name=f"t{number}")
    whole = [server["id"] for server in api.get(f"/servers?{sort}").json["servers"]]
    assert len(set(whole)) == 10
    got: list[str] = []
    path = f"/servers?limit=3&{sort}"
    while path:
        page = api.get(path).json
        oracle.check("servers-list-response", 104, page)
        got += [server["id"] for server in page["servers"]]
        following = page.get("servers_links")
        path = following[0]["href"].split("/v2.1")[1] if following else ""
    assert got == whole


def test_newest_first(api: Api) -> None:
    made = [api.active(name=f"s{number}") for number in range(3)]
    assert [server["id"] for server in api.get("/servers").json["servers"]] == made[::-1]


def test_the_last_page_of_a_filtered_list_is_found(api: Api) -> None:
    for number in range(30):
        api.active(name=f"s{number:02}")
    assert names(api, "name=s0[07]$&limit=2") == ["s00", "s07"]


def test_projects_do_not_see_each_other(api: Api) -> None:
    uuid = api.active()
    assert names(api, who="stranger") == []
    for path in ("", "/metadata", "/ips", "/tags", "/os-interface", "/os-volume_attachments", "/os-instance-actions"):
        assert api.get(f"/servers/{uuid}{path}", who="stranger").status_code == 404
        assert api.get(f"/servers/{uuid}{path}", who="reader").status_code == 200
    assert api.get(f"/servers?marker={uuid}", who="stranger").status_code == 400
    assert api.get("/servers", who="unscoped").status_code == 403


def test_host_status(api: Api) -> None:
    uuid = api.active()
    changes = (
        ({"disabled": True}, "MAINTENANCE"),
        ({"last_seen": 0.0}, "UNKNOWN"),
        ({"forced_down": True}, "DOWN"),
    )
    for values, wanted in changes:
        with api.cell_db.write() as connection:
            connection.execute(sa.update(services).values(**values))
        assert api.get(f"/servers/{uuid}", who="admin").json["server"]["host_status"] == wanted
        assert api.get("/servers/detail", who="admin").json["servers"][0]["host_status"] == wanted


@pytest.mark.parametrize("minor", [1, 26, 66, 73, 75])
def test_our_query_schema_knows_the_same_names(minor: int) -> None:
    theirs, ours = oracle.schema("servers-list-query", minor), server_schemas.LIST_QUERY[minor]
    assert set(ours["properties"]) == set(theirs["properties"])
    assert ours["additionalProperties"] == theirs["additionalProperties"]
    for name in ("sort_key", "name", "host"):
        ours_items, theirs_items = ours["properties"][name]["items"], theirs["properties"][name]["items"]
        assert set(ours_items.get("enum", ())) == set(theirs_items.get("enum", ()))
        assert ours_items.get("format") == theirs_items.get("format")
