"""The Network API v2.0 over the local driver, request by request."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import pytest

from tenter.contracts.identity import Identity
from tenter.contracts.network import AllocateRequest, CheckRequest, InstancePorts, RequestedNetwork
from tenter_api import network as network_api
from tenter_api.errors import ErrorHandlers
from tests.unit.network.drivers import OTHER, PROJECT, Local, build

ROLES = {
    "admin": {"admin", "manager", "member", "reader"},
    "member": {"member", "reader"},
    "reader": {"reader"},
    "none": set(),
}
UNKNOWN = "99999999-9999-4999-8999-999999999999"


class Caller:
    """Stands for the authentication middleware: the token says project and role."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        project, _, role = (req.get_header("X-Auth-Token") or "").partition(":")
        if role:
            req.context.identity = Identity(
                "u", "u", project or None, project or None, frozenset(ROLES[role])
            )


class Client:
    """Asks as one role of one project."""

    def __init__(self, app: falcon.App, role: str = "member", project: str = PROJECT) -> None:
        self._client = falcon.testing.TestClient(app)
        self._headers = {"X-Auth-Token": f"{project}:{role}"}

    def __call__(
        self, method: str, path: str, json: Any = None, status: int | None = None, **kwargs: Any
    ) -> Any:
        answer = self._client.simulate_request(
            method, f"/network{path}", json=json, headers=self._headers, **kwargs
        )
        if status is not None:
            assert answer.status_code == status, answer.text
        if answer.status_code >= 400:
            assert set(answer.json["NeutronError"]) == {"type", "message", "detail"}
            assert answer.json["NeutronError"]["message"]
        return answer.json if answer.text else None

    def network(self, **body: Any) -> dict[str, Any]:
        return self("POST", "/v2.0/networks", {"network": body}, 201)["network"]

    def subnet(self, network_id: str, cidr: str, **body: Any) -> dict[str, Any]:
        body = {"network_id": network_id, "cidr": cidr, "ip_version": 4, **body}
        return self("POST", "/v2.0/subnets", {"subnet": body}, 201)["subnet"]

    def port(self, network_id: str, **body: Any) -> dict[str, Any]:
        return self("POST", "/v2.0/ports", {"port": {"network_id": network_id, **body}}, 201)["port"]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    driver = build(tmp_path)
    yield driver
    driver.close()


@pytest.fixture
def app(local: Local) -> falcon.App:
    app = falcon.App(middleware=[Caller()])
    app.req_options.strip_url_path_trailing_slash = True
    network_api.add_routes(app, "/network", local)
    ErrorHandlers([("/network", network_api.render_error)]).install(app)
    return app


@pytest.fixture
def me(app: falcon.App) -> Client:
    return Client(app)


@pytest.fixture
def admin(app: falcon.App) -> Client:
    return Client(app, "admin")


@pytest.fixture
def stranger(app: falcon.App) -> Client:
    return Client(app, project=OTHER)


def test_versions_need_no_token(app: falcon.App) -> None:
    nobody = Client(app, role="")
    for path in ("", "/"):
        (version,) = nobody("GET", path, status=200)["versions"]
        assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
        assert version["links"][0]["href"].endswith("/network/v2.0/")
    assert {one["collection"] for one in nobody("GET", "/v2.0/", status=200)["resources"]} >= {
        "networks",
        "ports",
    }


def test_the_shared_network_is_found_as_the_client_finds_it(me: Client) -> None:
    me("GET", "/v2.0/networks/private", status=404)
    (network,) = me("GET", "/v2.0/networks", params={"name": "private"}, status=200)["networks"]
    assert network["shared"] and network["status"] == "ACTIVE" and len(network["subnets"]) == 1
    assert me("GET", f"/v2.0/networks/{network['id']}", status=200) == {"network": network}
    (subnet,) = me("GET", "/v2.0/subnets", status=200)["subnets"]
    assert subnet["id"] in network["subnets"] and subnet["gateway_ip"] == "10.77.0.1"


def test_a_network_from_first_to_last(me: Client) -> None:
    network = me.network(name="net", description="mine", admin_state_up=True, mtu=1400)
    assert (network["name"], network["mtu"], network["project_id"]) == ("net", 1400, PROJECT)
    subnet = me.subnet(
        network["id"],
        "192.168.7.0/24",
        name="sub",
        dns_nameservers=["1.1.1.1"],
        gateway_ip=None,
        enable_dhcp=False,
        allocation_pools=[{"start": "192.168.7.10", "end": "192.168.7.20"}],
    )
    assert subnet["allocation_pools"] == [{"start": "192.168.7.10", "end": "192.168.7.20"}]
    assert (subnet["gateway_ip"], subnet["enable_dhcp"], subnet["dns_nameservers"]) == (
        None,
        False,
        ["1.1.1.1"],
    )
    assert me("GET", f"/v2.0/networks/{network['id']}")["network"]["subnets"] == [subnet["id"]]
    port = me.port(network["id"], name="p", mac_address="FA:16:3E:00:00:01")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "192.168.7.10"}]
    assert (port["mac_address"], port["status"], port["device_id"]) == ("fa:16:3e:00:00:01", "DOWN", "")
    me("DELETE", f"/v2.0/networks/{network['id']}", status=409)
    me("DELETE", f"/v2.0/subnets/{subnet['id']}", status=409)
    me("DELETE", f"/v2.0/ports/{port['id']}", status=204)
    me("DELETE", f"/v2.0/subnets/{subnet['id']}", status=204)
    me("DELETE", f"/v2.0/networks/{network['id']}", status=204)
    for path in (f"networks/{network['id']}", f"subnets/{subnet['id']}", f"ports/{port['id']}"):
        me("GET", f"/v2.0/{path}", status=404)
        me("DELETE", f"/v2.0/{path}", status=404)


def test_an_mtu_as_the_openstack_client_writes_it(me: Client) -> None:
    assert me.network(mtu="1400")["mtu"] == 1400
    for wrong in ("575", "65536", "99999999999", "0x600", "1400\n", "\u0661\u0664\u0660\u0660", "", True):
        me("POST", "/v2.0/networks", {"network": {"mtu": wrong}}, 400)


def test_changes(me: Client, admin: Client) -> None:
    network = me.network(name="old")
    subnet, path = me.subnet(network["id"], "10.1.0.0/24"), f"/v2.0/networks/{network['id']}"
    changed = me("PUT", path, {"network": {"name": "new", "admin_state_up": False}}, 200)["network"]
    assert (changed["name"], changed["admin_state_up"], changed["status"]) == ("new", False, "DOWN")
    me("PUT", path, {"network": {"mtu": 9000}}, 400)
    me("PUT", path, {"network": {"shared": True}}, 403)
    assert admin("PUT", path, {"network": {"shared": True}}, 200)["network"]["shared"]
    port = me.port(network["id"])
    for kind, id in (("subnet", subnet["id"]), ("port", port["id"])):
        assert me("PUT", f"/v2.0/{kind}s/{id}", {kind: {"name": "x"}}, 200)[kind]["name"] == "x"
        me("PUT", f"/v2.0/{kind}s/{UNKNOWN}", {kind: {"name": "x"}}, 404)


def test_sharing_cannot_end_while_others_use_it(me: Client, admin: Client, stranger: Client) -> None:
    network = admin.network(shared=True)
    admin.subnet(network["id"], "10.1.0.0/24")
    port = stranger.port(network["id"])
    path, body = f"/v2.0/networks/{network['id']}", {"network": {"shared": False}}
    admin("PUT", path, body, 409)
    stranger("DELETE", f"/v2.0/ports/{port['id']}", status=204)
    admin("PUT", path, body, 200)
    stranger("GET", path, status=404)


def test_bound_ports_cannot_be_removed(me: Client, local: Local) -> None:
    network_id = local.check(CheckRequest(PROJECT, None))[0].network_id
    instance = str(uuid.uuid4())
    local.allocate(AllocateRequest(instance, PROJECT, "host", "vm", (RequestedNetwork(network_id),)))
    (port,) = me("GET", "/v2.0/ports", params={"device_id": instance})["ports"]
    assert (port["status"], port["device_owner"], port["binding:host_id"]) == (
        "ACTIVE",
        "compute:nova",
        "host",
    )
    me("DELETE", f"/v2.0/ports/{port['id']}", status=409)
    local.deallocate(InstancePorts(instance))
    assert me("GET", "/v2.0/ports") == {"ports": []}


class TestProjects:
    def test_what_belongs_to_another_project_is_not_there(
        self, me: Client, stranger: Client, admin: Client
    ) -> None:
        network = me.network(name="mine")
        subnet, port = me.subnet(network["id"], "10.1.0.0/24"), me.port(network["id"])
        for plural, item in (("networks", network), ("subnets", subnet), ("ports", port)):
            path = f"/v2.0/{plural}/{item['id']}"
            assert item["id"] not in [one["id"] for one in stranger("GET", f"/v2.0/{plural}")[plural]]
            stranger("GET", path, status=404)
            stranger("PUT", path, {plural[:-1]: {"name": "x"}}, 404)
            stranger("DELETE", path, status=404)
            admin("GET", path, status=200)
        body = {"network_id": network["id"], "cidr": "10.2.0.0/24", "ip_version": 4}
        stranger("POST", "/v2.0/subnets", {"subnet": body}, 404)
        stranger("POST", "/v2.0/ports", {"port": {"network_id": network["id"]}}, 404)

    def test_a_shared_network_may_be_used_but_not_changed(self, me: Client) -> None:
        (network,) = me("GET", "/v2.0/networks")["networks"]
        path = f"/v2.0/networks/{network['id']}"
        me("DELETE", path, status=403)
        me("PUT", path, {"network": {"name": "x"}}, 403)
        me("DELETE", f"/v2.0/subnets/{network['subnets'][0]}", status=403)
        body = {"network_id": network["id"], "cidr": "10.2.0.0/24", "ip_version": 4}
        me("POST", "/v2.0/subnets", {"subnet": body}, 403)
        me.port(network["id"])

    def test_roles(self, app: falcon.App, me: Client, admin: Client) -> None:
        reader, nobody = Client(app, "reader"), Client(app, "none")
        assert len(reader("GET", "/v2.0/networks", status=200)["networks"]) == 1
        reader("POST", "/v2.0/networks", {"network": {}}, 403)
        reader("DELETE", f"/v2.0/networks/{UNKNOWN}", status=403)
        reader("PUT", f"/v2.0/networks/{UNKNOWN}", {"network": {}}, 403)
        for plural in ("networks", "ports", "security-groups"):
            nobody("GET", f"/v2.0/{plural}", status=403)
        Client(app, "member", project="")("GET", "/v2.0/networks", status=403)
        me("POST", "/v2.0/networks", {"network": {"shared": True}}, 403)
        assert admin.network(shared=True)["shared"]

    def test_only_an_admin_makes_things_for_others(self, me: Client, admin: Client, stranger: Client) -> None:
        me("POST", "/v2.0/networks", {"network": {"project_id": OTHER}}, 403)
        assert me.network(tenant_id=PROJECT)["project_id"] == PROJECT
        theirs = admin.network(project_id=OTHER)
        stranger("GET", f"/v2.0/networks/{theirs['id']}", status=200)
        me("POST", "/v2.0/networks", {"network": {"project_id": OTHER, "tenant_id": PROJECT}}, 400)


class TestBadInput:
    @pytest.mark.parametrize(
        "body",
        [{}, [], None, {"network": []}, {"network": {"name": 5}}, {"network": {"name": "x" * 256}}, {"networks": []},
         {"network": {"name": "a\nb"}}, {"network": {"admin_state_up": "yes"}}, {"network": {"mtu": 10}},
         {"network": {"vlan": 1}}, {"network": {"router:external": True}}, {"network": {}, "more": 1}],
    )  # fmt: skip
    def test_networks(self, me: Client, body: Any) -> None:
        me("POST", "/v2.0/networks", body, 400)
        assert len(me("GET", "/v2.0/networks")["networks"]) == 1

    @pytest.mark.parametrize(
        "change",
        [{"cidr": "10.1.0.1/24"}, {"cidr": "x"}, {"ip_version": 6}, {"ip_version": "4"}, {"cidr": "fd00::/64"},
         {"gateway_ip": "10.9.0.1"}, {"gateway_ip": 1}, {"dns_nameservers": ["x"]}, {"network_id": "x"},
         {"allocation_pools": [{"start": "10.1.0.200", "end": "10.1.0.100"}]}, {"host_routes": [{}]},
         {"allocation_pools": [{"start": "10.1.0.1", "end": "10.1.0.100"}]}, {"cidr": None}, {"name": None},
         {"cidr": "10.1.0.0/31"}, {"unknown": 1}, {"enable_dhcp": 1}],
    )  # fmt: skip
    def test_subnets(self, me: Client, change: dict[str, Any]) -> None:
        network = me.network()
        body = {"network_id": network["id"], "cidr": "10.1.0.0/24", "ip_version": 4, **change}
        me("POST", "/v2.0/subnets", {"subnet": body}, 400)
        assert len(me("GET", "/v2.0/subnets")["subnets"]) == 1

    def test_overlapping_subnets(self, me: Client) -> None:
        network = me.network()
        me.subnet(network["id"], "10.1.0.0/24")
        body = {"network_id": network["id"], "cidr": "10.1.0.128/25", "ip_version": 4}
        assert "overlaps" in str(me("POST", "/v2.0/subnets", {"subnet": body}, 400))
        me.subnet(me.network()["id"], "10.1.0.0/24")

    @pytest.mark.parametrize(
        ("change", "status"),
        [({"network_id": UNKNOWN}, 404), ({"network_id": 1}, 400), ({"mac_address": "x"}, 400),
         ({"mac_address": "01:00:5e:00:00:01"}, 400), ({"fixed_ips": [{"ip_address": "10.1.0.1"}]}, 400),
         ({"fixed_ips": [{"ip_address": "10.2.0.5"}]}, 400), ({"fixed_ips": [{"subnet_id": UNKNOWN}]}, 400),
         ({"fixed_ips": [{}]}, 400), ({"fixed_ips": []}, 400), ({"device_id": "x"}, 400),
         ({"security_groups": [UNKNOWN]}, 404), ({"binding:vnic_type": "direct"}, 400), ({"unknown": 1}, 400)],
    )  # fmt: skip
    def test_ports(self, me: Client, change: dict[str, Any], status: int) -> None:
        network = me.network()
        me.subnet(network["id"], "10.1.0.0/24")
        me("POST", "/v2.0/ports", {"port": {"network_id": network["id"], **change}}, status)
        assert me("GET", "/v2.0/ports") == {"ports": []}

    def test_ports_that_collide(self, me: Client) -> None:
        network = me.network()
        me("POST", "/v2.0/ports", {"port": {"network_id": network["id"]}}, 400)
        me.subnet(network["id"], "10.1.0.0/30")
        port = me.port(network["id"])
        address = {"fixed_ips": [{"ip_address": port["fixed_ips"][0]["ip_address"]}]}
        for body in ({}, address, {"mac_address": port["mac_address"]}):
            me("POST", "/v2.0/ports", {"port": {"network_id": network["id"], **body}}, 409)
        assert len(me("GET", "/v2.0/ports")["ports"]) == 1

    def test_bodies_paths_and_methods(self, me: Client) -> None:
        me("POST", "/v2.0/networks", status=400)
        me("POST", "/v2.0/networks", body="{", status=400)
        me("POST", "/v2.0/networks", body="[" * 3000, status=400)
        me("POST", "/v2.0/networks", body="x", content_type="text/plain", status=415)
        me("GET", "/v2.0/nothing", status=404)
        me("DELETE", "/v2.0/networks", status=405)
        me("GET", "/v2.0/networks/%ff%00", status=404)
        me("DELETE", "/v2.0/ports/" + "x" * 3000, status=404)


class TestLists:
    def test_filters_by_any_attribute(self, me: Client) -> None:
        nets = [me.network(name=name) for name in ("a", "b", "b")]
        me.subnet(nets[0]["id"], "10.1.0.0/24")
        port = me.port(nets[0]["id"])

        def names(plural: str, **query: Any) -> list[str]:
            return [one["name"] for one in me("GET", f"/v2.0/{plural}", params=query, status=200)[plural]]

        assert names("networks", name="b") == ["b", "b"]
        assert names("networks", name=["a", "private"]) == ["private", "a"]
        assert names("networks", id=nets[1]["id"]) == ["b"]
        assert names("networks", shared="True") == ["private"] == names("networks", is_default="true")
        assert names("networks", **{"router:external": "True"}) == []
        assert names("networks", project_id=PROJECT, shared="false", name="a") == ["a"]
        assert names("networks", unknown="x") == ["private", "a", "b", "b"]
        assert (
            len(names("subnets", network_id=nets[0]["id"]))
            == 1
            == len(names("subnets", ip_version="4", cidr="10.1.0.0/24"))
        )
        assert len(names("ports", mac_address=port["mac_address"])) == 1
        assert len(names("ports", fixed_ips="ip_address=" + port["fixed_ips"][0]["ip_address"])) == 1
        assert names("ports", fixed_ips="ip_address=10.1.0.77") == []
        assert names("ports", device_id="nobody") == []

    def test_fields(self, me: Client) -> None:
        listed = me("GET", "/v2.0/networks", params={"fields": ["id", "name"]})["networks"]
        assert [set(one) for one in listed] == [{"id", "name"}]
        shown = me("GET", f"/v2.0/networks/{listed[0]['id']}", params={"fields": "mtu"})
        assert shown == {"network": {"mtu": 1500}}

    def test_pages(self, me: Client) -> None:
        for number in range(4):
            me.network(name=f"n{number}")
        query, seen = {"limit": "2", "sort_key": "name", "sort_dir": "desc"}, []
        for _ in range(4):
            answer = me("GET", "/v2.0/networks", params=query, status=200)
            seen += [one["name"] for one in answer["networks"]]
            if "networks_links" not in answer:
                break
            query = dict(falcon.uri.parse_query_string(answer["networks_links"][0]["href"].partition("?")[2]))
        assert seen == ["private", "n3", "n2", "n1", "n0"]

    @pytest.mark.parametrize(
        "query",
        [{"limit": "x"}, {"limit": "-1"}, {"marker": "x"}, {"sort_dir": "up"}, {"sort_key": "subnets"}],
    )
    def test_bad_queries(self, me: Client, query: dict[str, str]) -> None:
        me("GET", "/v2.0/networks", params=query, status=400)


def test_security_groups(me: Client, stranger: Client) -> None:
    (group,) = me("GET", "/v2.0/security-groups", params={"name": "default"}, status=200)["security_groups"]
    assert me("GET", f"/v2.0/security-groups/{group['id']}", status=200)["security_group"] == group
    stranger("GET", f"/v2.0/security-groups/{group['id']}", status=404)
    network = me("GET", "/v2.0/networks")["networks"][0]
    me.port(network["id"], security_groups=[group["id"]])


def test_extensions(me: Client) -> None:
    aliases = {one["alias"] for one in me("GET", "/v2.0/extensions", status=200)["extensions"]}
    assert "security-group" in aliases
    me("GET", "/v2.0/extensions/security-group", status=200)
    me("GET", "/v2.0/extensions/router", status=404)


def test_quotas_say_that_nothing_is_limited(me: Client, stranger: Client) -> None:
    limits = me("GET", f"/v2.0/quotas/{PROJECT}", status=200)["quota"]
    assert (limits["network"], limits["port"], limits["router"]) == (-1, -1, 0)
    assert me("GET", f"/v2.0/quotas/{PROJECT}/default", status=200)["quota"] == limits
    before = me("GET", f"/v2.0/quotas/{PROJECT}/details", status=200)["quota"]
    assert set(before) == set(limits) and before["security_group"]["used"] == 1
    me.network(name="one more")
    after = me("GET", f"/v2.0/quotas/{PROJECT}/details.json", status=200)["quota"]["network"]
    assert after == {"limit": -1, "used": before["network"]["used"] + 1, "reserved": 0}
    stranger("GET", f"/v2.0/quotas/{PROJECT}", status=403)
    stranger("GET", f"/v2.0/quotas/{PROJECT}/details", status=403)
    me("PUT", f"/v2.0/quotas/{PROJECT}", {"quota": {"network": 1}}, status=405)
