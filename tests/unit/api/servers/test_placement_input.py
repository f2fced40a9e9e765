"""What is asked of hosts by flavors, images and hints is refused at the request if it is malformed; nothing is left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter import errors
from tenter.contracts.scheduling import MAX_UNIT
from tenter.operations.placement import hosts_of, placement_request
from tenter.store import api_schema, cell_schema, flavors
from tenter_api.compute.extra_specs import check_extra_specs
from tests.unit.api.servers.conftest import IMAGE, Api

NOBODY = "99999999-9999-4999-8999-999999999999"
NODE = "55555555-5555-4555-8555-555555555555"
BASE = {"name": "s", "flavorRef": "special", "imageRef": IMAGE, "networks": "none"}


def with_specs(api: Api, specs: Mapping[str, str]) -> None:
    """Have a flavor with these extra specs, however they came there."""
    with api.api_db.write() as connection:
        connection.execute(sa.delete(api_schema.flavors).where(api_schema.flavors.c.flavorid == "special"))
    flavors.create_flavor(
        api.api_db, name="special", flavorid="special", memory_mb=512, vcpus=2, root_gb=1, ephemeral_gb=0, swap=0,
        rxtx_factor=1.0, is_public=True, description=None,
    )  # fmt: skip
    flavors.set_extra_specs(api.api_db, "special", dict(specs))


def create(api: Api, hints: Any = None, who: str = "member", **server: Any) -> Any:
    body: dict[str, Any] = {"server": {**BASE, **server}}
    if hints is not None:
        body["os:scheduler_hints"] = hints
    return api.call("POST", "/servers", body, who=who)


def nested(depth: int) -> list[Any]:
    """Return lists in each other."""
    return [nested(depth - 1)] if depth > 1 else []


def refused(api: Api, answer: Any, *names: str) -> None:
    assert answer.status_code == 400, answer.text
    message = answer.json["badRequest"]["message"]
    assert all(name in message for name in names), message
    assert api.counts()[1] == 0


@pytest.mark.parametrize(
    ("specs", "key"),
    [
        ({"resources:VCPU": "lots"}, "resources:VCPU"),
        ({"resources:VGPU": "-1"}, "resources:VGPU"),
        ({"resources:VGPU": str(2**31)}, "resources:VGPU"),
        ({"resources:NOTHING": "1"}, "resources:NOTHING"),
        ({"trait:NOTHING": "required"}, "trait:NOTHING"),
        ({"trait:COMPUTE_NODE": "yes"}, "trait:COMPUTE_NODE"),
        ({"resources1:VGPU": "1", "resources2:VGPU": "1"}, "group_policy"),
        ({"pci_passthrough:alias": "gpu:1"}, "pci_passthrough:alias"),
        ({"hw:numa_nodes": "3"}, "hw:numa_nodes"),
    ],
)
def test_a_flavor_that_is_malformed_already(api: Api, specs: dict[str, str], key: str) -> None:
    with_specs(api, specs)
    refused(api, create(api), key)


def test_an_image_that_is_malformed(api: Api) -> None:
    with_specs(api, {"hw:numa_nodes": "2"})
    refused(api, create(api, imageRef=api.images.add(properties={"trait:ODD": "required"})), "trait:ODD")
    refused(api, create(api, imageRef=api.images.add(properties={"hw_numa_nodes": "2"})), "hw_numa_nodes")
    with_specs(api, {"trait:CUSTOM_A": "forbidden"})
    refused(api, create(api, imageRef=api.images.add(properties={"trait:CUSTOM_A": "required"})), "trait:CUSTOM_A")


def test_what_is_well_formed_is_recorded(api: Api) -> None:
    specs = {"resources:CUSTOM_GOLD": "1", "trait:COMPUTE_NODE": "required", "hw:numa_nodes": "2"}
    with_specs(api, specs)
    assert create(api).status_code == 202
    with api.api_db.read() as connection:
        request = placement_request(connection.execute(sa.select(api_schema.places.c.record)).scalar_one())
    assert request.resources == {"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 1, "CUSTOM_GOLD": 1}
    assert [group.resources for group in request.groups] == [{"VCPU": 1, "MEMORY_MB": 256}] * 2
    assert (request.flavor, request.image_id, request.extra_specs) == ("special", IMAGE, specs)


@pytest.mark.parametrize(
    ("hints", "name"),
    [
        ({"query": "no JSON"}, "query"),
        ({"query": "{}"}, "query"),
        ({"query": '"="'}, "query"),
        ({"query": {}}, "query"),
        ({"query": '["~", "$free_ram_mb", 1]'}, "query"),
        ({"query": '[[">"]]'}, "query"),
        ({"query": '["and", {"a": 1}]'}, "query"),
        ({"query": '["and", ["or", ["like", 1]]]'}, "query"),
        ({"query": '["not",' * 40 + "[]" + "]" * 40}, "query"),
        ({"query": "[" * 100000}, "query"),
        ({"force_hosts": nested(300)}, "force_hosts"),
        ({"anything": {"a": nested(32)}}, "anything"),
        ({"same_host": NOBODY}, "same_host"),
        ({"different_host": [NOBODY]}, "different_host"),
        ({"same_host": "node1"}, "same_host"),
        ({"same_host": [NOBODY] * 200}, "same_host"),
        ({"build_near_host_ip": "10.0.0.1", "cidr": "/33"}, "cidr"),
        ({"build_near_host_ip": "10.0.0.1", "cidr": "/a"}, "cidr"),
        ({"build_near_host_ip": "10.0.0.1", "cidr": "/10.0"}, "cidr"),
        ({"cidr": "/200"}, "cidr"),
        ({"build_near_host_ip": "10.0.0.300"}, "build_near_host_ip"),
    ],
)
def test_a_hint_that_is_malformed(api: Api, hints: dict[str, Any], name: str) -> None:
    with_specs(api, {})
    refused(api, create(api, hints), name)


@pytest.mark.parametrize(
    "hints",
    [
        {"query": '["and", [">=", "$free_ram_mb", 1024], ["not", ["in", "$host", "a", "b"]], true]'},
        {"query": "[]"},
        {"query": ""},
        {"build_near_host_ip": "10.0.0.1"},
        {"build_near_host_ip": "10.0.0.1", "cidr": "/32"},
        {"build_near_host_ip": "2001:db8::1", "cidr": "/64"},
        {"same_host": []},
        {"anything": {"else": [1]}},
    ],
)
def test_a_hint_that_is_well_formed(api: Api, hints: dict[str, Any]) -> None:
    with_specs(api, {})
    answer = create(api, hints)
    assert answer.status_code == 202, answer.text


def test_a_hint_to_a_server(api: Api) -> None:
    with_specs(api, {})
    mine, bare = api.active(), api.create()["id"]
    assert create(api, {"same_host": mine, "different_host": [bare]}).status_code == 202
    assert create(api, {"same_host": mine.replace("-", "").upper()}).status_code == 202
    answer = create(api, {"same_host": mine}, who="stranger")
    assert answer.status_code == 400 and mine in answer.text and "same_host" in answer.text
    assert create(api, {"different_host": mine}, who="admin").status_code == 202
    assert api.call("DELETE", f"/servers/{bare}").status_code == 204
    answer = create(api, {"different_host": [mine, bare]})
    assert answer.status_code == 400 and bare in answer.text


def test_where_the_servers_of_a_hint_are(api: Api) -> None:
    mine, bare = api.active(), api.create()["id"]
    cells = api.fabric.cells
    assert hosts_of(api.api_db, cells, {"same_host": mine, "different_host": [bare, NOBODY, "x", 7]}) == {mine: "node1"}
    odd = mine.replace("-", "").upper()
    assert hosts_of(api.api_db, cells, {"different_host": odd}) == {odd: "node1"}
    assert hosts_of(None, None, {"query": "x", "group": mine}) == {}  # type: ignore[arg-type]


def test_a_rebuild_with_an_image_that_the_host_does_not_do(api: Api) -> None:
    with_specs(api, {})
    with api.cell_db.write() as connection:
        connection.execute(sa.update(cell_schema.compute_nodes).values(uuid=NODE, traits=["COMPUTE_NODE", "CUSTOM_A"]))
    uuid = api.active(flavorRef="special", values={"node_uuid": NODE})

    def rebuild(image: str, status: int, *words: str) -> None:
        answer = api.call("POST", f"/servers/{uuid}/action", {"rebuild": {"imageRef": image}})
        assert answer.status_code == status, answer.text
        assert all(word in answer.text for word in words), answer.text

    rebuild(api.images.add(properties={"trait:CUSTOM_B": "required"}), 409, "lacks CUSTOM_B")
    rebuild(api.images.add(properties={"trait:CUSTOM_A": "forbidden"}), 409, "has CUSTOM_A")
    rebuild(api.images.add(properties={"hw_numa_nodes": "2"}), 400, "NUMA")
    rebuild(api.images.add(properties={"hw_numa_nodes": "x"}), 400, "hw_numa_nodes")
    rebuild(api.images.add(properties={"trait:OOPS": "required"}), 400, "trait:OOPS")
    rebuild(api.images.add(properties={"trait:CUSTOM_A": "required", "trait:CUSTOM_C": "forbidden"}), 202)


GOOD = {
    "hw:cpu_policy": "dedicated", "hw:numa_nodes": "2", "hw:numa_cpus.0": "0-1,^1", "hw:numa_mem.0": "512",
    "hw:mem_page_size": "1GB", "hw:cpu_realtime_mask": "^0-1,3", "quota:cpu_quota": "10000",
    "quota:vif_shares_share": "-1", "hw:boot_menu": "True", "hw:tpm_version": "2.0", "os:secure_boot": "required",
    "hw_rng:rate_bytes": "0", "resources:VGPU": "1", "resources_X-1:CUSTOM_GOLD": "2", "trait1:CUSTOM_A": "forbidden",
    "trait:HW_CPU_X86_AVX2": "required", "group_policy": "isolate", "pci_passthrough:alias": "a b:1, c:2",
    "aggregate_instance_extra_specs:ssd": "true", "capabilities:cpu_info:features": "<in> avx",
    "capabilities:hypervisor_version": ">= 5", "anything": "goes", "our:own": "words", "hw": "x", "hw_foo:bar": "1",
    "accel:device_profile": "fpga", "quota:disk_read_bytes_sec": "1",
}  # fmt: skip
BAD = {
    "hw:cpu_policy": "pinned", "hw:numa_nodes": "0", "hw:numa_cpus.0": "a", "hw:numa_cpus.x": "0", "hw:numa_mem.0": "0",
    "hw:cpu_cores": "four", "hw:cpu_sockets": "9" * 40, "hw:mem_page_size": "huge", "hw:boot_menu": "perhaps",
    "hw:invented": "1", "quota:cpu_quota": "-1", "quota:n": "5", "os:other": "x", "resources:VGPU": "-1",
    "resources:VCPU": str(MAX_UNIT + 1), "resources:NONE": "1", "trait:NONE": "required", "trait1:CUSTOM_A": "maybe",
    "group_policy": "x", "pci_passthrough:alias": "gpu", "capabilities:invented": "1", "pci_passthrough:other": "x",
    "aggregate_instance_extra_specs:": "x", "hw:numa_cpus.1": "0-4096",
}  # fmt: skip


@pytest.mark.parametrize("key", GOOD)
def test_extra_specs_that_are_known_or_nobodys(key: str) -> None:
    check_extra_specs({key: GOOD[key]})


@pytest.mark.parametrize("key", BAD)
def test_extra_specs_that_are_malformed(key: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        check_extra_specs({**GOOD, key: BAD[key]})
    assert key in str(caught.value) and len(str(caught.value)) < 400


def test_extra_specs_are_checked_since_2_86(api: Api) -> None:
    with_specs(api, {})
    path = "/flavors/special/os-extra_specs"
    for version, status in (("2.85", 200), ("2.86", 400), ("2.104", 400)):
        for method, where, body in (
            ("POST", path, {"extra_specs": {"hw:cpu_policy": "pinned"}}),
            ("PUT", f"{path}/hw:cpu_policy", {"hw:cpu_policy": "pinned"}),
        ):
            answer = api.call(method, where, body, who="admin", version=version)
            assert answer.status_code == status, answer.text
            assert status == 200 or "hw:cpu_policy" in answer.text
    good = {"extra_specs": {"resources:VGPU": 1, "trait:CUSTOM_A": "required", "hw:numa_nodes": 1}}
    assert api.call("POST", path, good, who="admin").status_code == 200


_KEYS = st.sampled_from([*GOOD, *BAD, "trait:", "resources1:VGPU"]) | st.text("az:_.09", min_size=1, max_size=9)
_SPECS = st.dictionaries(_KEYS, st.sampled_from([*GOOD.values(), *BAD.values()]) | st.text(max_size=8), max_size=5)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats()
    | st.sampled_from([NOBODY, "", "=", "and", "10.0.0.1", "/24"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip
_HINTS = st.dictionaries(
    st.sampled_from(["query", "same_host", "different_host", "build_near_host_ip", "cidr", "x"]),
    _JSON | _JSON.map(json.dumps), max_size=3,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(specs=_SPECS, image=_SPECS, hints=_HINTS)
def test_nothing_malformed_is_an_internal_error_or_reaches_the_scheduler(
    api: Api, specs: dict[str, str], image: dict[str, str], hints: dict[str, Any]
) -> None:
    api.reset()
    with_specs(api, specs)
    body = {"server": {**BASE, "imageRef": api.images.add(properties=image)}, "os:scheduler_hints": hints}
    answer = api.call("POST", "/servers", json.dumps(body).encode())
    assert answer.status_code in (202, 400), answer.text
    with api.api_db.read() as connection:
        records = connection.execute(sa.select(api_schema.places.c.record)).scalars().all()
    assert len(records) == (answer.status_code == 202)
    for record in records:
        request = placement_request(record, aliases=api.conf.pci.alias)
        assert all(0 < amount <= MAX_UNIT for amount in request.resources.values())
    for key, value in specs.items():
        answer = api.call("PUT", f"/flavors/special/os-extra_specs/{key}", {key: value}, who="admin")
        assert answer.status_code in (200, 400, 404), answer.text
