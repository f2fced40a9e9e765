"""Members of server groups damaged by hand: found, repaired, and nothing else is touched."""

from __future__ import annotations

import uuid as uuidlib

import pytest
import sqlalchemy as sa

from tenter.conductor.audit import Auditor
from tenter.operations.findings import Finding
from tenter.store import api_schema, cell_schema, instances, operations, server_groups
from tests.conftest import MakeCloud
from tests.helpers.cloud import PROJECT, Cloud

MEMBERS = api_schema.server_group_members


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    return make_cloud(operations={"audit_interval": 0, "watch_interval": 3600})


def audit(cloud: Cloud, repair: bool = True) -> list[Finding]:
    return Auditor(cloud.conf, cloud.fabric.api_db, cloud.fabric.cells, cloud.embedded.network).run(repair)


def codes(cloud: Cloud, repair: bool = True) -> dict[str, bool]:
    return {finding.code: finding.repaired for finding in audit(cloud, repair)}


def claimed(cloud: Cloud) -> dict[str, str | None]:
    with cloud.fabric.api_db.read() as connection:
        return {row.instance_uuid: row.host for row in connection.execute(sa.select(MEMBERS))}


def force(cloud: Cloud, uuid: str, host: str | None) -> None:
    with cloud.fabric.api_db.write() as connection:
        server_groups.force(connection, uuid, host)


@pytest.fixture
def group(cloud: Cloud) -> str:
    return server_groups.create_group(cloud.fabric.api_db, PROJECT, "u", "g", "soft-anti-affinity").uuid


@pytest.fixture
def uuid(cloud: Cloud, group: str) -> str:
    """An active server in a group, and another that is in none."""
    made = [cloud.create(hints={"group": group}), cloud.create()]
    for each in made:
        cloud.active(each)
    force(cloud, made[0], "host-1")
    assert codes(cloud) == {}
    return made[0]


@pytest.mark.parametrize("wrong", [None, "host-2"])
def test_a_claim_that_is_not_where_the_server_is(cloud: Cloud, uuid: str, wrong: str | None) -> None:
    force(cloud, uuid, wrong)
    (found,) = audit(cloud, repair=False)
    assert (found.code, found.subject, found.cell, found.repaired) == ("group.claim", uuid, "cell1", False)
    where = "on host-2" if wrong else "on no host"
    assert found.sentence == f"Server {uuid} counts in its server group as {where}, but is on host-1."
    assert claimed(cloud) == {uuid: wrong}
    assert codes(cloud) == {"group.claim": True} and claimed(cloud) == {uuid: "host-1"}
    assert codes(cloud) == {}


def test_nothing_is_judged_while_something_is_being_done(cloud: Cloud, uuid: str) -> None:
    operation = operations.Operation(
        uuid=str(uuidlib.uuid4()), kind="stop", instance_uuid=uuid, project_id=PROJECT, user_id="u",
        request_id="req-x", step="stop", role="compute", host="host-gone", deadline=2e9,
    )  # fmt: skip
    with cloud.cell.db.write() as connection:
        operations.insert(connection, cell_schema.operations, operation)
    force(cloud, uuid, "host-2")
    assert codes(cloud) == {} and claimed(cloud) == {uuid: "host-2"}


def test_a_server_without_a_host_has_claimed_none(cloud: Cloud, uuid: str) -> None:
    table = cell_schema.instances
    nowhere = {"host": None, "node": None, "node_uuid": None, "vm_state": "error"}
    with cloud.cell.db.write() as connection:
        connection.execute(sa.update(table).where(table.c.uuid == uuid).values(nowhere))
    assert codes(cloud)["group.claim"] is True and claimed(cloud) == {uuid: None}


def test_a_server_that_found_no_host_has_claimed_none(cloud: Cloud, group: str) -> None:
    wanted = dict.fromkeys(("instance_uuid",), str(uuidlib.uuid4()))
    place = {**wanted, "project_id": PROJECT, "user_id": "u", "state": instances.LOST, "created_at": 1.0, "record": {}}
    with cloud.fabric.api_db.write() as connection:
        connection.execute(sa.insert(api_schema.places).values(**place))
        connection.execute(sa.insert(MEMBERS).values(**wanted, group_uuid=group, host="host-1", created_at=1.0))
    assert codes(cloud)["group.claim"] is True
    assert claimed(cloud) == {wanted["instance_uuid"]: None}
    assert "group.claim" not in codes(cloud)


def test_a_member_that_is_gone(cloud: Cloud, uuid: str, group: str) -> None:
    gone = str(uuidlib.uuid4())
    with cloud.fabric.api_db.write() as connection:
        connection.execute(
            sa.insert(MEMBERS).values(instance_uuid=gone, group_uuid=group, host="host-1", created_at=1.0)
        )
    (found,) = audit(cloud, repair=False)
    assert (found.code, found.subject) == ("group.no_server", gone)
    assert found.sentence == f"Server {gone} is counted in a server group, but is gone."
    assert set(claimed(cloud)) == {uuid, gone}
    assert codes(cloud) == {"group.no_server": True} and claimed(cloud) == {uuid: "host-1"}
    assert codes(cloud) == {}


def test_a_server_whose_place_is_lost_stays_in_its_group(cloud: Cloud, uuid: str) -> None:
    with cloud.fabric.api_db.write() as connection:
        connection.execute(sa.delete(api_schema.places).where(api_schema.places.c.instance_uuid == uuid))
    found = codes(cloud)
    assert found["instance.no_place"] and "group.no_server" not in found
    assert claimed(cloud) == {uuid: "host-1"}
    cloud.delete(uuid)
    assert claimed(cloud) == {}


def test_a_host_that_is_renamed_keeps_its_claims(cloud: Cloud, uuid: str) -> None:
    server_groups.rename_host(cloud.fabric.api_db, "host-1", "host-9")
    assert claimed(cloud) == {uuid: "host-9"}
    cloud.stop()
    server_groups.rename_host(cloud.fabric.api_db, "host-9", "host-1")
    cloud.sections = {**cloud.sections, "DEFAULT": {"host": "host-new"}}
    cloud.start()
    assert claimed(cloud) == {uuid: "host-new"} and codes(cloud) == {}
