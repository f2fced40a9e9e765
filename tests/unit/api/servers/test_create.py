"""Creating servers and acting on them: what is accepted, and what is refused with nothing left behind."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter.contracts.network import RequestedNetwork
from tenter.store import aggregates
from tenter.store.api_schema import places
from tenter.store.cell_schema import instances, operations
from tests.unit.api.servers import oracle
from tests.unit.api.servers.conftest import IMAGE, NETWORK, PORT, Api

NOBODY = "99999999-9999-4999-8999-999999999999"
BASE = {"name": "s", "flavorRef": "1", "imageRef": IMAGE, "networks": "auto"}
BOOT_DISK = {
    "uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local",
    "delete_on_termination": True,
}  # fmt: skip


def post(api: Api, server: dict[str, Any], version: str = "2.104", who: str = "member", **beside: Any) -> Any:
    return api.call("POST", "/servers", {"server": server, **beside}, version=version, who=who)


def record(api: Api) -> dict[str, Any]:
    with api.api_db.read() as connection:
        return connection.execute(sa.select(places.c.record)).scalar_one()


def test_what_openstackclient_sends(api: Api) -> None:
    answer = post(api, {**BASE, "networks": [{"uuid": NETWORK}], "min_count": 1, "max_count": 1,
                        "block_device_mapping_v2": [BOOT_DISK]}, version="2.100")  # fmt: skip
    assert answer.status_code == 202, answer.text
    oracle.check("servers-create-response", 100, answer.json)
    server = answer.json["server"]
    assert set(server) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert server["security_groups"] == [{"name": "default"}]
    assert answer.headers["Location"].endswith(f"/v2.1/servers/{server['id']}")
    assert api.get(f"/servers/{server['id']}").json["server"]["status"] == "BUILD"
    assert api.network.asked == [("a" * 32, [RequestedNetwork(network_id=NETWORK)], 1)]


def test_everything_that_can_be_asked(api: Api) -> None:
    answer = post(api, {
        **BASE, "description": "d", "hostname": "host-1", "key_name": "mine", "user_data": "aGk=",
        "metadata": {"a": "b"}, "config_drive": "false", "availability_zone": "nova", "tags": ["t"],
        "security_groups": [{"name": "default"}], "OS-DCF:diskConfig": "AUTO", "accessIPv4": "192.0.2.1",
        "accessIPv6": "2001:db8::1", "adminPass": "secret",
    }, **{"OS-SCH-HNT:scheduler_hints": {"build_near_host_ip": "192.0.2.9"}})  # fmt: skip
    assert answer.status_code == 202, answer.text
    assert answer.json["server"]["adminPass"] == "secret"
    row = record(api)
    wanted = {"description": "d", "hostname": "host-1", "key_name": "mine", "metadata": {"a": "b"}, "tags": ["t"],
              "config_drive": False, "pinned_zone": "nova", "disk_config": "AUTO", "access_ip_v4": "192.0.2.1",
              "access_ip_v6": "2001:db8::1", "hints": {"build_near_host_ip": "192.0.2.9"}}  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    assert "secret" not in json.dumps(row)


def test_several_servers_and_a_reservation(api: Api) -> None:
    answer = post(api, {**BASE, "min_count": "2", "max_count": 3, "return_reservation_id": True})
    assert answer.status_code == 202
    oracle.check("servers-create-response", 104, answer.json)
    reservation = answer.json["reservation_id"]
    listed = api.get(f"/servers?reservation_id={reservation}").json["servers"]
    assert sorted(server["name"] for server in listed) == ["s-1", "s-2", "s-3"]
    assert api.network.asked[-1] == ("a" * 32, None, 3)


def test_networks_before_2_37_and_none(api: Api) -> None:
    without = {key: value for key, value in BASE.items() if key != "networks"}
    assert post(api, without, version="2.1").status_code == 202
    assert post(api, without, version="2.37").status_code == 400
    assert post(api, {**BASE, "networks": []}).status_code == 202
    assert post(api, {**BASE, "networks": [{"port": PORT}]}).status_code == 202
    assert len(api.network.asked) == 3
    assert post(api, {**BASE, "networks": "none"}).status_code == 202
    assert len(api.network.asked) == 3


@pytest.mark.parametrize(
    ("asked", "zone", "host", "node"),
    [
        ({"availability_zone": "nova:node1"}, "nova", "node1", None),
        ({"availability_zone": ":node1"}, None, "node1", None),
        ({"availability_zone": "elsewhere:node1"}, None, "node1", None),
        ({"availability_zone": "nova::node1.example"}, "nova", None, "node1.example"),
        ({"availability_zone": "nova:node1:node1.example"}, "nova", "node1", "node1.example"),
        ({"host": "node1"}, None, "node1", None),
        ({"host": "node1", "availability_zone": "nova"}, "nova", "node1", None),
        ({"hypervisor_hostname": "node1.example"}, None, None, "node1.example"),
        ({"host": "node1", "hypervisor_hostname": "node1.example"}, None, "node1", "node1.example"),
    ],
)
def test_administrators_choose_hosts(
    api: Api, asked: dict[str, str], zone: str | None, host: str | None, node: str | None
) -> None:
    refused = post(api, {**BASE, **asked})
    assert refused.status_code == 403 and "only administrators" in refused.text
    assert post(api, {**BASE, **asked}, who="admin").status_code == 202
    made = record(api)
    assert (made["pinned_zone"], made["spec"]["forced_host"], made["spec"]["forced_node"]) == (zone, host, node)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"availability_zone": "nova:elsewhere"}, "Compute host elsewhere could not be found"),
        ({"availability_zone": "nova::elsewhere"}, "Compute host elsewhere could not be found"),
        ({"availability_zone": "nova:node1:elsewhere"}, "Compute host node1 has no node elsewhere"),
        ({"host": "node1.example"}, "Compute host node1.example could not be found"),
        ({"hypervisor_hostname": "node1"}, "Compute host node1 could not be found"),
        ({"host": "node1", "hypervisor_hostname": "elsewhere"}, "Compute host node1 has no node elsewhere"),
        ({"host": "node1", "availability_zone": "mars"}, "node1 is in the availability zone 'nova', not in 'mars'"),
        ({"host": "node1", "availability_zone": "nova:node1"}, "not by both"),
        ({"availability_zone": "a:b:c:d"}, "must look like zone, zone:host or zone:host:node"),
    ],
)
def test_destinations_that_there_are_not(api: Api, asked: dict[str, str], said: str) -> None:
    answer = post(api, {**BASE, **asked}, who="admin")
    assert answer.status_code == 400 and said in answer.json["badRequest"]["message"]
    assert api.counts() == (0, 0, 0)


def test_the_zone_of_a_host_is_its_aggregates(api: Api) -> None:
    key = aggregates.create_aggregate(api.api_db, "racks", "rack1").id
    aggregates.add_host(api.api_db, key, "node1", lambda moves: None)
    try:
        assert post(api, {**BASE, "availability_zone": "nova"}).status_code == 400
        assert post(api, {**BASE, "availability_zone": "rack1"}).status_code == 202
        assert record(api)["pinned_zone"] == "rack1"
        answer = post(api, {**BASE, "host": "node1", "availability_zone": "nova"}, who="admin")
        assert "is in the availability zone 'rack1', not in 'nova'" in answer.json["badRequest"]["message"]
    finally:
        aggregates.forget_host(api.api_db, "node1")
        aggregates.delete_aggregate(api.api_db, key)


def many(length: int) -> dict[str, str]:
    return {f"key{number}": "v" for number in range(length)}


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("unknown flavor", {"flavorRef": "none"}, "Flavor none could not be found"),
    ("flavor of no kind", {"flavorRef": ["1"]}, "flavorRef"),
    ("unknown image", {"imageRef": NOBODY}, "image"),
    ("image that is no id", {"imageRef": "x"}, "imageRef"),
    ("no image", {"imageRef": ""}, "imageRef"),
    ("unknown network", {"networks": [{"uuid": NOBODY}]}, "could not be found"),
    ("network that is no id", {"networks": [{"uuid": "x"}]}, "networks"),
    ("empty network", {"networks": [{}]}, "uuid"),
    ("port twice", {"networks": [{"port": PORT}, {"port": PORT}]}, "twice"),
    ("port and address", {"networks": [{"port": PORT, "fixed_ip": "10.0.0.1"}]}, "together"),
    ("no address", {"networks": [{"uuid": NETWORK, "fixed_ip": "10.0.0.256"}]}, "networks"),
    ("unknown word for networks", {"networks": "some"}, "networks"),
    ("one port for two", {"networks": [{"port": PORT}], "max_count": 2}, "port"),
    ("one address for two", {"networks": [{"uuid": NETWORK, "fixed_ip": "10.0.0.1"}], "max_count": 2}, "fixed IP"),
    ("unknown key", {"key_name": "nobody's"}, "key_name"),
    ("unknown zone", {"availability_zone": "mars"}, "availability zone"),
    ("unknown security group", {"security_groups": [{"name": "none"}]}, "Security group none not found"),
    ("name too long", {"name": "n" * 256}, "name"),
    ("empty name", {"name": ""}, "name"),
    ("name of spaces", {"name": "  "}, "name"),
    ("name with a control character", {"name": "a\x07b"}, "name"),
    ("name of no kind", {"name": 5}, "name"),
    ("unknown server key", {"nonsense": 1}, "nonsense"),
    ("user data that is no base64", {"user_data": "***"}, "user_data"),
    ("user data too large", {"user_data": base64.b64encode(b"x" * 65536).decode()}, "user_data"),
    ("metadata of no kind", {"metadata": {"a": 1}}, "metadata"),
    ("metadata key too long", {"metadata": {"k" * 256: "v"}}, "metadata"),
    ("metadata value too long", {"metadata": {"k": "v" * 256}}, "metadata"),
    ("too few", {"min_count": 0}, "min_count"),
    ("too many", {"max_count": 100000}, "max_count"),
    ("number too long", {"max_count": "9" * 5000}, "max_count"),
    ("more than the most", {"min_count": 3, "max_count": 2}, "min_count"),
    ("a boolean for a count", {"min_count": True}, "min_count"),
    ("one hostname for two", {"hostname": "same", "max_count": 2}, "hostname"),
    ("bad hostname", {"hostname": "a b"}, "hostname"),
    ("long name for two", {"name": "n" * 254, "max_count": 2}, "name"),
    ("bad tag", {"tags": ["a,b"]}, "tags"),
    ("too many tags", {"tags": [f"t{number}" for number in range(51)]}, "tags"),
    ("personality", {"personality": [{"path": "/a", "contents": ""}]}, "personality"),
    ("certificates", {"trusted_image_certificates": [NOBODY]}, "not supported"),
    ("volume", {"block_device_mapping_v2": [{**BOOT_DISK, "destination_type": "volume"}]}, "not supported"),
    ("two disks", {"block_device_mapping_v2": [BOOT_DISK, BOOT_DISK]}, "not supported"),
    ("blank disk", {"block_device_mapping_v2": [{"source_type": "blank", "boot_index": -1}]}, "not supported"),
    ("other disk", {"block_device_mapping_v2": [{**BOOT_DISK, "uuid": NOBODY}]}, "imageRef"),
    ("old mapping", {"block_device_mapping": [{"device_name": "vda", "volume_id": NOBODY}]}, "not supported"),
    ("address of no kind", {"accessIPv4": "::1"}, "accessIPv4"),
    ("disk config", {"OS-DCF:diskConfig": "auto"}, "diskConfig"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_bad_input_is_refused_and_leaves_nothing(api: Api, change: dict[str, Any], says: str) -> None:
    answer = post(api, {**BASE, **change})
    assert answer.status_code == 400, answer.text
    assert answer.json["badRequest"]["code"] == 400
    assert says.lower() in answer.json["badRequest"]["message"].lower()
    assert api.counts() == (0, 0, 0)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"5", b'"x"', b"{}", b'{"server": null}',
                                  b'{"server": {}}',
                                  b'{"server": []}', b"\xff\xfe", b'{"server": {"name": "\\ud800"}}',
                                  b"[" * 5000])  # fmt: skip
def test_bodies_that_are_none(api: Api, body: bytes) -> None:
    assert api.call("POST", "/servers", body).status_code == 400
    assert api.counts() == (0, 0, 0)


def test_other_refusals(api: Api) -> None:
    assert api.call("POST", "/servers", b"x" * (2 << 20)).status_code == 413
    assert api.call("POST", "/servers", b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    assert post(api, BASE, who="reader").status_code == 403
    assert post(api, BASE, who="unscoped").status_code == 403
    assert post(api, BASE, who="nobody").status_code == 401
    assert post(api, {**BASE, "metadata": many(129)}).status_code == 403
    assert post(api, BASE, **{"os:scheduler_hints": {"group": NOBODY}}).status_code == 400
    assert post(api, BASE, **{"os:scheduler_hints": {"group": "none"}}).status_code == 400
    assert post(api, BASE, surplus=1).status_code == 400
    for changes in ({"status": "queued"}, {"min_ram": 4096}, {"min_disk": 2}, {"size": 2 << 30}):
        assert post(api, {**BASE, "imageRef": api.images.add(**changes)}).status_code == 400
    assert api.counts() == (0, 0, 0)


@pytest.mark.parametrize("minor", [1, 18, 19, 31, 32, 33, 36, 37, 41, 42, 51, 52, 56, 57, 62, 63, 66, 67, 73,
                                   74, 89, 90, 93, 94, 104])  # fmt: skip
def test_our_create_schema_agrees_with_novas(api: Api, minor: int) -> None:
    nic = {"uuid": NETWORK}
    changes: list[dict[str, Any]] = [
        {}, {"description": "d"}, {"networks": [{**nic, "tag": "t"}]}, {"networks": "none"}, {"tags": ["t"]},
        {"personality": []}, {"trusted_image_certificates": None}, {"hostname": "host-1"}, {"hostname": "a.b"},
        {"host": "node1"}, {"block_device_mapping_v2": [{**BOOT_DISK, "tag": "t"}]}, {"min_count": "1"},
        {"config_drive": "maybe"}, {"config_drive": "yes"}, {"user_data": "aGk="}, {"imageRef": ""}, {"flavorRef": 1},
        {"block_device_mapping_v2": [{**BOOT_DISK, "volume_type": "t"}]}, {"metadata": {"a:b c": ""}},
    ]  # fmt: skip
    for change in changes:
        body = {"server": {**BASE, "networks": [nic], **change}}
        try:
            oracle.check("servers-create-request", minor, copy.deepcopy(body))
            allowed = True
        except oracle.jsonschema.ValidationError:
            allowed = False
        answer = api.call("POST", "/servers", body, version=f"2.{minor}", who="admin")
        refused_by_schema = answer.status_code == 400 and (
            "Invalid input" in answer.text or "Invalid request body" in answer.text
        )
        assert refused_by_schema != allowed, (change, answer.text)


def action(api: Api, uuid: str, body: Any, **more: Any) -> Any:
    return api.call("POST", f"/servers/{uuid}/action", body, **more)


def test_actions_by_state(api: Api) -> None:
    uuid = api.active()
    assert action(api, uuid, {"os-start": None}).status_code == 409
    stopped = action(api, uuid, {"os-stop": None})
    assert (stopped.status_code, stopped.text) == (202, "")
    again = action(api, uuid, {"os-stop": {}})
    assert again.status_code == 409
    message = again.json["conflictingRequest"]["message"]
    assert message.startswith(f"Cannot 'stop' instance {uuid} while it is in task_state")
    waiting = api.create()["id"]
    for body in ({"os-stop": None}, {"reboot": {"type": "HARD"}}, {"os-getConsoleOutput": {}},
                 {"rebuild": {"imageRef": IMAGE}}):  # fmt: skip
        assert action(api, waiting, body).status_code == 409


def test_reboot_kinds(api: Api) -> None:
    for kind, hard in (("SOFT", False), ("hard", True)):
        uuid = api.active()
        assert action(api, uuid, {"reboot": {"type": kind}}).status_code == 202
        with api.cell_db.read() as connection:
            query = sa.select(operations.c.args).where(operations.c.instance_uuid == uuid)
            args = connection.execute(query).scalar_one()
        assert args["hard"] is hard


def test_console_output(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = api.active()
    asked: list[Any] = []

    def call(host: str, method: str, **kwargs: Any) -> str:
        asked.append((host, method, kwargs["lines"]))
        return "hello\n"

    monkeypatch.setattr(api.bus, "call", call)
    for length, lines in ((None, None), (-1, None), ("5", 5), (0, 0)):
        answer = action(api, uuid, {"os-getConsoleOutput": {"length": length}}, who="member")
        assert answer.status_code == 200
        oracle.check("console-output-response", 104, answer.json)
        assert asked[-1] == ("node1", "console_output", lines)
    assert action(api, uuid, {"os-getConsoleOutput": {}}).json == {"output": "hello\n"}


@pytest.mark.parametrize("body", [
    {}, [], None, "os-start", {"nonsense": {}}, {"createImage": {"name": "x"}}, {"resize": {"flavorRef": "1"}},
    {"os-stop": None, "os-start": None}, {"reboot": {}}, {"reboot": {"type": "MEDIUM"}}, {"reboot": None},
    {"os-getConsoleOutput": {"length": "x"}}, {"os-getConsoleOutput": None},
    {"os-getConsoleOutput": {"length": "9" * 5000}},
    {"rebuild": {}}, {"rebuild": {"imageRef": NOBODY}}, {"rebuild": {"imageRef": IMAGE, "x": 1}},
    {"rebuild": {"imageRef": IMAGE, "key_name": "none"}}, {"rebuild": {"imageRef": IMAGE, "name": ""}},
    {"rebuild": {"imageRef": IMAGE, "preserve_ephemeral": True}},
])  # fmt: skip
def test_bad_actions(api: Api, body: Any) -> None:
    uuid = api.active()
    answer = action(api, uuid, body)
    assert answer.status_code == 400, answer.text
    with api.cell_db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(operations)).scalar() == 0


def test_actions_are_for_members_of_the_project(api: Api) -> None:
    uuid = api.active()
    for who, status in (("reader", 403), ("stranger", 404)):
        for body in ({"os-stop": None}, {"reboot": {"type": "SOFT"}}, {"rebuild": {"imageRef": IMAGE}}):
            assert action(api, uuid, body, who=who).status_code == status
        assert api.call("DELETE", f"/servers/{uuid}", who=who).status_code == status
        assert api.call("PUT", f"/servers/{uuid}", {"server": {"name": "x"}}, who=who).status_code == status
    for missing in (NOBODY, "nobody", "%00", "..."):
        assert action(api, missing, {"os-stop": None}).status_code == 404
        assert api.call("DELETE", f"/servers/{missing}").status_code == 404
        assert api.get(f"/servers/{missing}").status_code == 404


def test_locked_servers(api: Api) -> None:
    uuid = api.active(values={"locked": True})
    for body in ({"os-stop": None}, {"reboot": {"type": "SOFT"}}, {"rebuild": {"imageRef": IMAGE}}):
        assert action(api, uuid, body).status_code == 409
    assert api.call("DELETE", f"/servers/{uuid}").status_code == 409
    assert action(api, uuid, {"os-stop": None}, who="admin").status_code == 202
    assert api.call("DELETE", f"/servers/{uuid}", who="admin").status_code == 204


def test_delete(api: Api) -> None:
    waiting, uuid = api.create()["id"], api.active()
    assert api.call("DELETE", f"/servers/{waiting}").status_code == 204
    assert api.call("DELETE", f"/servers/{waiting}").status_code == 404
    first = api.call("DELETE", f"/servers/{uuid}")
    assert (first.status_code, first.text) == (204, "")
    assert api.call("DELETE", f"/servers/{uuid}").status_code == 204
    assert api.get(f"/servers/{uuid}").json["server"]["OS-EXT-STS:task_state"] == "deleting"


def test_update(api: Api) -> None:
    for uuid in (api.active(), api.create()["id"]):
        change = {"name": "new", "description": None, "hostname": "other", "accessIPv4": "192.0.2.7",
                  "OS-DCF:diskConfig": "AUTO"}  # fmt: skip
        answer = api.call("PUT", f"/servers/{uuid}", {"server": change})
        assert answer.status_code == 200
        for name in ("name", "description", "accessIPv4", "OS-DCF:diskConfig"):
            assert answer.json["server"][name] == change[name]
        assert answer.json["server"]["OS-EXT-SRV-ATTR:hostname"] == "other"
        for bad in ({"name": ""}, {"x": 1}, {"hostname": ""}, {"name": "n" * 256}, {"accessIPv4": "x"}):
            assert api.call("PUT", f"/servers/{uuid}", {"server": bad}).status_code == 400


def test_pinning_a_zone(api: Api) -> None:
    uuid = api.active()

    def pin(zone: str | None, version: str = "2.104") -> Any:
        return api.call("PUT", f"/servers/{uuid}", {"server": {"pinned_availability_zone": zone}}, version=version)

    assert pin("nova", "2.103").status_code == 400
    assert pin("mars").status_code == 409
    assert pin("nova").json["server"]["pinned_availability_zone"] == "nova"
    assert pin("mars").status_code == 409
    assert pin(None).json["server"]["pinned_availability_zone"] is None


def test_rebuild_changes_what_it_names(api: Api) -> None:
    uuid = api.active(key_name="mine", user_data="aGk=", description="d")
    other = api.images.add()
    answer = action(api, uuid, {"rebuild": {"imageRef": other, "name": "new", "key_name": None, "user_data": None,
                                            "metadata": {"a": "b"}, "description": None}})  # fmt: skip
    assert answer.status_code == 202, answer.text
    server = answer.json["server"]
    assert server["image"]["id"] == other
    assert [server[name] for name in ("name", "key_name", "user_data", "metadata", "description")] == [
        "new", None, None, {"a": "b"}, None,
    ]  # fmt: skip
    assert len(server["adminPass"]) == 12


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["name", "flavorRef", "imageRef", "networks", "adminPass", "metadata", "availability_zone", "key_name", "min_count",
     "max_count", "user_data", "block_device_mapping_v2", "block_device_mapping", "security_groups", "config_drive",
     "tags", "hostname", "host", "description", "personality", "return_reservation_id", "OS-DCF:diskConfig",
     "accessIPv4", "trusted_image_certificates"]
)  # fmt: skip
ITEM_KEYS = st.sampled_from(["uuid", "port", "fixed_ip", "tag", "source_type", "boot_index", "name"])
NESTED = JUNK | st.lists(st.dictionaries(ITEM_KEYS, JUNK), max_size=3)
ACTIONS = st.sampled_from(["os-start", "os-stop", "reboot", "rebuild", "os-getConsoleOutput"])
FILTERS = st.sampled_from(
    ["name", "status", "limit", "marker", "sort_key", "sort_dir", "ip", "tags", "changes-since", "x", "flavor",
     "all_tenants", "locked", "deleted", "created_at"]
)  # fmt: skip
VERSIONS = st.sampled_from(["2.1", "2.36", "2.37", "2.57", "2.75", "2.96", "2.104"])
FUZZ = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(change=st.dictionaries(KEYS, NESTED, max_size=4), hints=st.none() | JUNK, version=VERSIONS)
def test_no_create_is_an_internal_error(api: Api, change: dict[str, Any], hints: Any, version: str) -> None:
    body: dict[str, Any] = {"server": {**BASE, **change}}
    if hints is not None:
        body["os:scheduler_hints"] = hints
    answer = api.call("POST", "/servers", body, version=version, who="admin")
    assert answer.status_code < 500, (body, answer.text)


@FUZZ
@given(body=JUNK | st.dictionaries(ACTIONS, JUNK))
def test_no_action_is_an_internal_error(api: Api, body: Any) -> None:
    with api.cell_db.read() as connection:
        uuid = connection.execute(sa.select(instances.c.uuid)).scalar() or api.active(values={"launched_at": None})
    answer = action(api, uuid, body)
    assert answer.status_code < 500, (body, answer.text)


@FUZZ
@given(name=FILTERS, value=st.text(max_size=30), version=VERSIONS)
def test_no_list_is_an_internal_error(api: Api, name: str, value: str, version: str) -> None:
    answer = api.get("/servers/detail", params={name: value}, version=version, who="admin")
    assert answer.status_code < 500, answer.text
