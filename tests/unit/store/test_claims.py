"""Claims never exceed capacity and come back exactly."""

from __future__ import annotations

import uuid as uuidlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tenter.contracts.virt import NodeInventory
from tenter.store import claims
from tenter.store.cell_schema import claims as claims_table
from tenter.store.cell_schema import inventories
from tenter.store.engine import Database
from tenter.store.inventory import set_inventory

NODE = NodeInventory(uuid=str(uuidlib.uuid4()), name="n", vcpus=10, memory_mib=1000, disk_gib=50)
RATIOS = {"VCPU": 2.0}


def _used(db: Database) -> dict[str, int]:
    with db.read() as connection:
        rows = connection.execute(sa.select(inventories)).mappings().all()
    return {row["resource_class"]: row["used"] for row in rows}


@pytest.fixture
def db(cell_db: Database) -> Database:
    with cell_db.write() as connection:
        set_inventory(connection, NODE, RATIOS)
    return cell_db


def test_sixty_four_threads_never_take_more_than_there_is(db: Database) -> None:
    asked = {"VCPU": 3, "MEMORY_MB": 10, "DISK_GB": 1}

    def take(n: int) -> str | None:
        holder = str(uuidlib.uuid4())
        try:
            with db.write() as connection:
                claims.take(connection, holder, {NODE.uuid: asked})
        except claims.ClaimLost as exc:
            assert exc.resource_class == "VCPU"
            return None
        return holder

    with ThreadPoolExecutor(64) as pool:
        holders = [holder for holder in pool.map(take, range(64)) if holder]
    assert len(holders) == 6  # 10 CPUs, each offered twice, by 3
    assert _used(db) == {"VCPU": 18, "MEMORY_MB": 60, "DISK_GB": 6}

    def give(holder: str) -> None:
        with db.write() as connection:
            claims.give_back(connection, holder)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(give, holders * 3))
    assert _used(db) == {"VCPU": 0, "MEMORY_MB": 0, "DISK_GB": 0}
    with db.read() as connection:
        assert connection.execute(sa.select(claims_table)).all() == []


def test_a_lost_claim_leaves_nothing_of_its_other_classes(db: Database) -> None:
    with pytest.raises(claims.ClaimLost), db.write() as connection:
        claims.take(connection, "h", {NODE.uuid: {"VCPU": 1, "MEMORY_MB": 10, "DISK_GB": 51}})
    assert _used(db) == {"VCPU": 0, "MEMORY_MB": 0, "DISK_GB": 0}


def test_an_inventory_that_changes_keeps_what_is_used(db: Database) -> None:
    with db.write() as connection:
        claims.take(connection, "h", {NODE.uuid: {"MEMORY_MB": 900}})
        smaller = NodeInventory(
            uuid=NODE.uuid, name="n", vcpus=1, memory_mib=500, disk_gib=1, reserved={"MEMORY_MB": 9999}
        )
        set_inventory(connection, smaller, {})
    assert _used(db)["MEMORY_MB"] == 900
    with pytest.raises(claims.ClaimLost), db.write() as connection:
        claims.take(connection, "other", {NODE.uuid: {"MEMORY_MB": 1}})
    with db.write() as connection:
        claims.give_back(connection, "h")
    assert _used(db)["MEMORY_MB"] == 0
