"""Whatever comes in, no answer is a 5xx; and what Nova's schemas refuse, ours refuse too."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter import errors
from tenter_api import validation
from tenter_api.compute.resource import NO_QUERY, Chosen
from tenter_api.compute.schemas import flavors, hosts, keypairs, server_groups

from .conftest import MINORS, World, nova_validator

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip

NAMES = st.sampled_from(
    ["limit", "marker", "sort_key", "sort_dir", "minRam", "minDisk", "is_public", "user_id", "with_servers",
     "hypervisor_hostname_pattern", "host", "binary", "tenant_id", "name", "offset", "all_projects", "x"]
)  # fmt: skip
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/flavors"): {
        "flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, "swap": 0, "id": "x", "description": "d",
                   "OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": True}
    },
    ("PUT", "/flavors/1"): {"flavor": {"description": "x"}},
    ("POST", "/flavors/1/action"): {"addTenantAccess": {"tenant": "x"}},
    ("POST", "/flavors/1/os-extra_specs"): {"extra_specs": {"a": "b"}},
    ("PUT", "/flavors/1/os-extra_specs/a"): {"a": "b"},
    ("POST", "/os-keypairs"): {"keypair": {"name": "k", "type": "ssh", "public_key": "ssh-rsa A", "user_id": "u"}},
    ("POST", "/os-server-groups"): {
        "server_group": {"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 3}}
    },
    ("PUT", "/os-services/11111111-1111-4111-8111-111111111111"): {"status": "disabled", "disabled_reason": "x"},
}  # fmt: skip


def spots(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every key in a body."""
    if not isinstance(value, dict):
        return []
    return [found for key, part in value.items() for found in ((*path, key), *spots(part, (*path, key)))]


@st.composite
def mutated(draw: Any, body: Any) -> Any:
    """A body of which something is replaced, left out or added."""
    body = copy.deepcopy(body)
    path = draw(st.sampled_from(spots(body)))
    parent = body
    for key in path[:-1]:
        parent = parent[key]
    change = draw(st.sampled_from(("replace", "remove", "add")))
    if change == "replace":
        parent[path[-1]] = draw(JSON)
    elif change == "remove":
        del parent[path[-1]]
    else:
        parent[draw(st.text(max_size=10))] = draw(JSON)
    return body


@pytest.mark.parametrize("target", BODIES, ids=" ".join)
def test_bodies_never_break_it(world: World, target: tuple[str, str]) -> None:
    @SETTINGS
    @given(body=st.one_of(JSON, mutated(BODIES[target])), minor=st.sampled_from(MINORS))
    def run(body: Any, minor: int) -> None:
        method, path = target
        result = world.admin.call(method, "/v2.1" + path, minor, json=body)
        assert result.status_code < 500, (body, result.text)
        if result.status_code >= 400:
            (fault,) = result.json.values()
            assert fault["code"] == result.status_code
            assert len(fault["message"]) < 1500

    run()


@pytest.mark.parametrize(
    "path",
    ["/flavors", "/flavors/detail", "/os-keypairs", "/os-hypervisors", "/os-services", "/limits",
     "/os-server-groups"]
)  # fmt: skip
def test_queries_never_break_it(world: World, path: str) -> None:
    values = st.text(max_size=12) | st.integers().map(str) | st.sampled_from(["name", "asc", "true", "None", "1"])

    @SETTINGS
    @given(query=st.dictionaries(NAMES, values, max_size=4), minor=st.sampled_from(MINORS))
    def run(query: dict[str, str], minor: int) -> None:
        result = world.admin.call("GET", "/v2.1" + path, minor, params=query)
        assert result.status_code in (200, 400, 404), (query, result.text)

    run()


@SETTINGS
@given(path=st.text(min_size=1, max_size=30), method=st.sampled_from(["GET", "PUT", "DELETE", "POST"]))
def test_paths_never_break_it(world: World, path: str, method: str) -> None:
    for prefix in ("/v2.1/flavors/", "/v2.1/os-keypairs/", "/v2.1/os-services/", "/v2.1/", "/"):
        from urllib.parse import quote

        assert world.admin.call(method, prefix + quote(path), 104).status_code < 500


PAIRS = [
    ("flavors-create-request", flavors.CREATE, BODIES[("POST", "/flavors")]),
    ("flavors-update-request", flavors.UPDATE, BODIES[("PUT", "/flavors/1")]),
    ("extra-specs-create-request", flavors.SPECS_CREATE, BODIES[("POST", "/flavors/1/os-extra_specs")]),
    ("keypairs-create-request", keypairs.CREATE, BODIES[("POST", "/os-keypairs")]),
    ("server-groups-create-request", server_groups.CREATE, BODIES[("POST", "/os-server-groups")]),
    ("server-groups-create-request", server_groups.CREATE, {"server_group": {"name": "g", "policies": ["affinity"]}}),
    (
        "services-update-request",
        hosts.SERVICE_UPDATE,
        {"status": "enabled", "forced_down": True, "host": "h", "binary": "b"},
    ),
]


@pytest.mark.parametrize(("name", "ours", "body"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_our_schemas_decide_like_novas(name: str, ours: Any, body: Any) -> None:
    chosen = Chosen(ours)
    first = min(ours)

    @settings(SETTINGS, max_examples=150)
    @given(body=st.one_of(st.just(body), mutated(body)), minor=st.integers(first, 104))
    def run(body: Any, minor: int) -> None:
        schema = chosen.at(minor)
        assert schema is not None
        theirs = accepts(nova_validator(name, minor).schema, body)
        assert accepts(schema, body) == theirs, (minor, body)

    run()


QUERIES = [
    ("flavors-list-query", flavors.LIST_QUERY),
    ("keypairs-list-query", keypairs.LIST_QUERY),
    ("keypairs-show-query", keypairs.ITEM_QUERY),
    ("hypervisors-list-query", hosts.HYPERVISORS_QUERY),
    ("hypervisors-show-query", hosts.HYPERVISOR_QUERY),
    ("server-groups-list-query", server_groups.LIST_QUERY),
    ("server-groups-show-query", NO_QUERY),
    ("services-list-query", hosts.SERVICES_QUERY),
    ("limits-show-query", hosts.LIMITS_QUERY),
    ("zones-list-query", NO_QUERY),
]


@pytest.mark.parametrize(("name", "ours"), QUERIES, ids=[pair[0] for pair in QUERIES])
def test_our_queries_decide_like_novas(name: str, ours: Any) -> None:
    chosen = Chosen(ours)
    values = st.text(max_size=4) | st.integers().map(str) | st.sampled_from(["rxtx_factor", "asc", "true", "h1"])

    @settings(SETTINGS, max_examples=150)
    @given(
        query=st.dictionaries(NAMES, st.lists(values, min_size=1, max_size=2), max_size=3),
        minor=st.sampled_from(MINORS),
    )
    def run(query: Any, minor: int) -> None:
        assert accepts(chosen.at(minor), query) == accepts(nova_validator(name, minor).schema, query), (minor, query)

    run()


def accepts(schema: Any, body: Any) -> bool:
    try:
        validation.check_body(schema, body)
    except errors.Invalid:
        return False
    return True
