"""Servers look as the Compute API's own schemas say, at every microversion and for every caller."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tenter.store.cell_schema import instances, operations
from tests.unit.api.servers.conftest import IMAGE, PORT, Api, a_vif
from tests.unit.api.servers.oracle import check

CHANGES = (1, 2, 3, 8, 9, 15, 16, 18, 19, 25, 26, 46, 47, 53, 54, 56, 57, 62, 63, 69, 70, 71, 72, 73, 74, 75, 89, 90,
           95, 96, 97, 98, 99, 100, 104)  # fmt: skip


@pytest.mark.parametrize("who", ["admin", "member", "reader"])
def test_show_and_detail_at_every_microversion(api: Api, who: str) -> None:
    uuid = api.active(metadata={"a": "b"}, tags=["t1"], key_name="mine", user_data="aGk=")
    for minor in range(1, 105):
        version = f"2.{minor}"
        shown = api.get(f"/servers/{uuid}", who=who, version=version)
        assert shown.status_code == 200, shown.text
        check("servers-show-response", minor, shown.json)
        check("servers-detail-response", minor, api.get("/servers/detail", who=who, version=version).json)
        check("servers-list-response", minor, api.get("/servers", who=who, version=version).json)


@pytest.mark.parametrize("who", ["admin", "member"])
def test_update_and_rebuild_at_every_change(api: Api, who: str) -> None:
    uuid = api.active(user_data="aGk=")
    for minor in CHANGES:
        version = f"2.{minor}"
        updated = api.call("PUT", f"/servers/{uuid}", {"server": {"name": version}}, who=who, version=version)
        assert updated.status_code == 200, updated.text
        assert updated.json["server"]["name"] == version
        check("servers-update-response", minor, updated.json)
        body = {"rebuild": {"imageRef": IMAGE}}
        rebuilt = api.call("POST", f"/servers/{uuid}/action", body, who=who, version=version)
        assert rebuilt.status_code == 202, rebuilt.text
        check("servers-rebuild-response", minor, rebuilt.json)
        assert rebuilt.json["server"]["status"] == "REBUILD"
        assert rebuilt.headers["Location"].endswith(f"/v2.1/servers/{uuid}")
        assert rebuilt.json["server"].get("user_data") == ("aGk=" if minor >= 57 else None)
        with api.cell_db.write() as connection:
            connection.execute(sa.update(instances).values(task_state=None))


@pytest.mark.parametrize("values", [
    {"vm_state": "error", "fault": {"code": 500, "message": "no", "details": "why", "created": 1.5}},
    {"vm_state": "error", "fault": {"code": 404, "message": "no", "details": "why", "created": 1.5}},
    {"vm_state": "stopped", "power_state": 4, "image_ref": None, "image": None},
    {"vm_state": "building", "task_state": "spawning", "power_state": 0, "host": None, "node": None,
     "launched_at": None},
    {"network_info": [a_vif("fd00::1"), a_vif(), a_vif("10.1.0.7", "other net")]},
    {"locked": True, "access_ip_v4": "192.0.2.1", "access_ip_v6": "2001:db8::1", "config_drive": False},
])  # fmt: skip
def test_unusual_servers(api: Api, values: dict[str, Any]) -> None:
    network_info = values.pop("network_info", None)
    uuid = api.active(values=values, network_info=network_info)
    for minor in CHANGES:
        for who in ("admin", "member"):
            check("servers-show-response", minor, api.get(f"/servers/{uuid}", who=who, version=f"2.{minor}").json)


def test_unscheduled_and_failed_servers_are_shown(api: Api) -> None:
    uuid = api.create(tags=["x"])["id"]
    for minor in CHANGES:
        answer = api.get(f"/servers/{uuid}", version=f"2.{minor}").json
        check("servers-show-response", minor, answer)
        assert answer["server"]["status"] == "BUILD"
        assert answer["server"]["OS-EXT-STS:task_state"] == "scheduling"


def test_fault_details_are_for_administrators(api: Api) -> None:
    fault = {"code": 500, "message": "it broke", "details": "inside", "created": 0.0}
    uuid = api.active(values={"vm_state": "error", "fault": fault})
    assert api.get(f"/servers/{uuid}").json["server"]["fault"] == {
        "code": 500, "message": "it broke", "created": "1970-01-01T00:00:00Z",
    }  # fmt: skip
    assert api.get(f"/servers/{uuid}", who="admin").json["server"]["fault"]["details"] == "inside"


def test_admin_sees_where_a_server_is_and_others_do_not(api: Api) -> None:
    uuid = api.active(user_data="aGk=")
    admins = api.get(f"/servers/{uuid}", who="admin").json["server"]
    assert admins["OS-EXT-SRV-ATTR:host"] == "node1"
    assert admins["OS-EXT-SRV-ATTR:user_data"] == "aGk="
    assert admins["host_status"] == "UP"
    members = api.get(f"/servers/{uuid}").json["server"]
    assert {key for key in members if key.startswith("OS-EXT-SRV-ATTR")} == {"OS-EXT-SRV-ATTR:hostname"}
    assert "host_status" not in members
    assert members["hostId"] == admins["hostId"] != ""


def test_addresses_and_image_properties(api: Api) -> None:
    uuid = api.active()
    server = api.get(f"/servers/{uuid}").json["server"]
    assert server["addresses"] == {
        "net": [
            {"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS:type": "fixed",
             "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"}
        ]
    }  # fmt: skip
    assert server["image"]["properties"] == {"hw_disk_bus": "virtio", "os_distro": "debian"}
    assert api.get(f"/servers/{uuid}/ips").json == {"addresses": {"net": [{"addr": "10.0.0.5", "version": 4}]}}
    check("server-ips-list-response", 104, api.get(f"/servers/{uuid}/ips").json)


def test_links_name_the_project_when_the_url_does(api: Api) -> None:
    uuid = api.active()
    project = "a" * 32
    server = api.get(f"/{project}/servers/{uuid}", version="2.1").json["server"]
    hrefs = {link["rel"]: link["href"] for link in server["links"]}
    assert hrefs["self"].endswith(f"/v2.1/{project}/servers/{uuid}")
    assert hrefs["bookmark"].endswith(f"/{project}/servers/{uuid}") and "/v2.1/" not in hrefs["bookmark"]


def test_children(api: Api) -> None:
    uuid = api.active()
    for minor in (1, 69, 70, 104):
        listed = api.get(f"/servers/{uuid}/os-interface", version=f"2.{minor}").json
        check("interfaces-list-response", minor, listed)
        shown = api.get(f"/servers/{uuid}/os-interface/{PORT}", version=f"2.{minor}").json
        check("interfaces-show-response", minor, shown)
    assert api.get(f"/servers/{uuid}/os-volume_attachments").json == {"volumeAttachments": []}
    check("security-groups-list-response", 104, api.get(f"/servers/{uuid}/os-security-groups").json)


def test_metadata(api: Api) -> None:
    uuid = api.active(metadata={"a": "1"})
    path = f"/servers/{uuid}/metadata"
    check("server-metadata-list-response", 104, api.get(path).json)
    assert api.call("POST", path, {"metadata": {"b": "2"}}).json == {"metadata": {"a": "1", "b": "2"}}
    assert api.call("PUT", path + "/c", {"meta": {"c": "3"}}).json == {"meta": {"c": "3"}}
    assert api.call("PUT", path + "/c", {"meta": {"d": "3"}}).status_code == 400
    assert api.call("DELETE", path + "/a").status_code == 204
    assert api.call("DELETE", path + "/a").status_code == 404
    assert api.get(path + "/b").json == {"meta": {"b": "2"}}
    assert api.call("PUT", path, {"metadata": {}}).json == {"metadata": {}}
    assert api.get(path).json == {"metadata": {}}
    too_many = {f"k{number}": "v" for number in range(129)}
    assert api.call("PUT", path, {"metadata": too_many}).status_code == 403
    assert api.call("PUT", path, {"metadata": {"k" * 256: "v"}}).status_code == 400


def test_tags(api: Api) -> None:
    uuid = api.active()
    assert api.call("PUT", f"/servers/{uuid}/tags", {"tags": ["b", "a"]}).json == {"tags": ["a", "b"]}
    assert api.get(f"/servers/{uuid}/tags").json == {"tags": ["a", "b"]}
    assert api.get(f"/servers/{uuid}/tags", version="2.25").status_code == 404
    assert api.call("DELETE", f"/servers/{uuid}/tags").status_code == 204


def test_one_tag(api: Api) -> None:
    path = f"/servers/{api.active()}/tags"
    made = api.call("PUT", f"{path}/a b")
    assert (made.status_code, made.headers["location"].endswith(f"{path}/a%20b")) == (201, True)
    assert api.call("PUT", f"{path}/a b").status_code == 204
    assert api.get(f"{path}/a b").status_code == 204
    assert api.get(f"{path}/c").status_code == 404
    for bad in ("a,b", "t" * 61):
        assert api.call("PUT", f"{path}/{bad}").status_code == 400, bad
    assert api.call("PUT", f"{path}/d", version="2.25").status_code == 404
    assert api.get(path).json == {"tags": ["a b"]}
    assert [api.call("DELETE", f"{path}/a b").status_code for _ in range(2)] == [204, 404]
    api.call("PUT", path, {"tags": [f"t{number}" for number in range(50)]})
    assert api.call("PUT", f"{path}/one-more").status_code == 400


def test_instance_actions(api: Api) -> None:
    uuid = api.active()
    stopped = api.call("POST", f"/servers/{uuid}/action", {"os-stop": None})
    assert stopped.status_code == 202
    event = {"event": "compute_stop_instance", "step": "stop", "started": 1.0, "finished": None, "result": None,
             "host": "node1", "details": None}  # fmt: skip
    with api.cell_db.write() as connection:
        connection.execute(sa.update(operations).values(events=[event], error={"code": "x", "message": "no"}))
    path = f"/servers/{uuid}/os-instance-actions"
    for minor in (1, 20, 21, 50, 51, 57, 58, 61, 62, 65, 66, 83, 84, 104):
        for who in ("admin", "member"):
            listed = api.get(path, who=who, version=f"2.{minor}").json
            check("instance-actions-list-response", minor, listed)
            assert [action["action"] for action in listed["instanceActions"]] == ["stop", "create"]
            request = listed["instanceActions"][0]["request_id"]
            shown = api.get(f"{path}/{request}", who=who, version=f"2.{minor}").json
            check("instance-actions-show-response", minor, shown)
            assert shown["instanceAction"]["message"] == "no"
            assert ("events" in shown["instanceAction"]) == (who == "admin" or minor >= 51)
            for event in shown["instanceAction"].get("events", []):  # an error's words may name a host
                assert ("details" in event) == (who == "admin" and minor >= 84)
    page = api.get(path + "?limit=1").json
    assert len(page["instanceActions"]) == 1 and page["links"][0]["rel"] == "next"
    rest = api.get(path + f"?marker={page['instanceActions'][0]['request_id']}").json
    assert [action["action"] for action in rest["instanceActions"]] == ["create"]
    assert api.get(path + "?marker=nothing").status_code == 400
    assert api.get(path + "?unknown=1").status_code == 400
    assert api.get(path, who="stranger").status_code == 404
    assert api.get(path + "/req-none").status_code == 404
