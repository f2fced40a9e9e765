"""Servers in groups that are deleted at any moment of their build leave nothing in the group."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tenter.store import api_schema, quota, server_groups
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, PROJECT, Cloud

MEMBERS = api_schema.server_group_members


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    # What is claimed is given back with the member, not by an audit.
    return make_cloud(operations={"audit_interval": 0}, quota={"server_group_members": -1})


def members(cloud: Cloud) -> set[str]:
    with cloud.fabric.api_db.read() as connection:
        return set(connection.execute(sa.select(MEMBERS.c.instance_uuid)).scalars())


def make(cloud: Cloud, policy: str = "soft-affinity") -> str:
    return server_groups.create_group(cloud.fabric.api_db, PROJECT, CALLER.user_id, "g", policy).uuid


def test_deletes_while_they_are_created(cloud: Cloud) -> None:
    group = make(cloud)
    cloud.image()

    def once(number: int) -> str:
        uuid = cloud.create(nics=0, hints={"group": group})
        time.sleep(random.Random(number).uniform(0, 0.15))
        cloud.requests.delete(CALLER, uuid)
        return uuid

    with ThreadPoolExecutor(6) as pool:
        uuids = list(pool.map(once, range(30)))
    for uuid in uuids:
        cloud.wait(uuid, lambda row: row is None, 30)
    cloud.idle(timeout=30)
    assert members(cloud) == set()
    cloud.check()


def test_a_group_that_is_deleted_leaves_its_servers_alone(cloud: Cloud) -> None:
    group = make(cloud)
    building, active = (cloud.create(hints={"group": group}) for _ in range(2))
    cloud.active(active)
    server_groups.delete_group(cloud.fabric.api_db, group)
    cloud.active(building)
    assert members(cloud) == set()
    for uuid in (building, active):
        cloud.delete(uuid)
    cloud.check()


def test_a_server_that_found_no_host_is_a_member_until_it_is_deleted(cloud: Cloud) -> None:
    uuid = cloud.create(hints={"group": make(cloud)}, zone="nowhere")
    row = cloud.settled(uuid)
    assert row is not None and row["vm_state"] == "error" and members(cloud) == {uuid}
    cloud.delete(uuid)
    assert members(cloud) == set() and quota.recount(cloud.fabric.api_db) == []
