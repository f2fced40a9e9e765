"""The dry run: any body of a create will do, what is malformed is a 400, and members are not told where."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tenter.store import api_schema, cell_schema, flavors, host_changes
from tests.unit.api.servers.conftest import IMAGE, Api


def a_flavor(api: Api, name: str, vcpus: int) -> None:
    with api.api_db.write() as connection:
        connection.execute(sa.delete(api_schema.flavors).where(api_schema.flavors.c.flavorid == name))
    flavors.create_flavor(
        api.api_db, name=name, flavorid=name, memory_mb=64, vcpus=vcpus, root_gb=1, ephemeral_gb=0, swap=0,
        rxtx_factor=1.0, is_public=True, description=None,
    )  # fmt: skip


@pytest.fixture
def sized(api: Api) -> Api:
    a_flavor(api, "small", 1)
    a_flavor(api, "huge", 10_000)
    with api.cell_db.write() as connection:
        node = connection.execute(sa.select(cell_schema.compute_nodes.c.uuid)).scalars().first()
        for name in ("VCPU", "MEMORY_MB", "DISK_GB"):
            values = {"provider_uuid": node, "resource_class": name, "total": 1000, "capacity": 1000}
            connection.execute(sa.insert(cell_schema.inventories).values(values))
        assert node is not None
        host_changes.of_providers(connection, [node])
    return api


def run(api: Api, who: str = "member", hints: Any = None, **server: Any) -> Any:
    body: dict[str, Any] = {"server": server}
    if hints is not None:
        body["os:scheduler_hints"] = hints
    return api.call("POST", "/tenter/placement/dry-run", body, who=who)


def test_the_body_of_a_create_will_do(sized: Api) -> None:
    before = sized.counts()
    whole = {"name": "s", "flavorRef": "small", "imageRef": IMAGE, "networks": "none", "metadata": {"a": "b"}}
    answer = run(sized, **whole, min_count=2)
    assert answer.status_code == 200, answer.text
    said = answer.json["dry_run"]
    assert (said["wanted"], said["fits"], said["at_least"], said["changes"]) == (2, 2, True, [])
    assert "hosts" not in said
    assert run(sized, who="reader", flavorRef="small").status_code == 200
    admin = run(sized, who="admin", flavorRef="small", min_count=2).json["dry_run"]
    assert sum(host["servers"] for host in admin["hosts"]) == 2
    assert sized.counts() == before


def test_what_does_not_fit_is_told_with_what_would(sized: Api) -> None:
    said = run(sized, flavorRef="huge").json["dry_run"]
    assert said["fits"] == 0 and said["reasons"][0]["code"] == "cpu.short"
    assert [(change["what"], change["resource_class"]) for change in said["changes"]] == [("resource", "VCPU")]
    fits = said["changes"][0]["fits"]
    a_flavor(sized, "fits", fits)
    assert run(sized, flavorRef="fits").json["dry_run"]["fits"] >= 1


@pytest.mark.parametrize(
    ("server", "hints", "words"),
    [
        ({}, None, "flavorRef"),
        ({"flavorRef": "none"}, None, "Flavor none could not be found"),
        ({"flavorRef": "small", "min_count": 0}, None, "min_count"),
        ({"flavorRef": "small", "min_count": 10**5}, None, "max_count may be at most"),
        ({"flavorRef": "small", "availability_zone": "nowhere"}, None, "nowhere"),
        ({"flavorRef": "small", "imageRef": "no"}, None, "image"),
        ({"flavorRef": "small"}, {"query": "nonsense"}, "query"),
        ({"flavorRef": "small"}, {"group": "99999999-9999-4999-8999-999999999999"}, "could not be found"),
    ],
)
def test_what_is_malformed(sized: Api, server: dict[str, Any], hints: Any, words: str) -> None:
    answer = run(sized, hints=hints, **server)
    assert answer.status_code == 400, answer.text
    assert words in answer.json["badRequest"]["message"]


def test_only_administrators_choose_hosts(sized: Api) -> None:
    assert run(sized, flavorRef="small", host="host-1").status_code in (400, 403)
