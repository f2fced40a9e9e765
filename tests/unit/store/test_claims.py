"""Claims never exceed capacity and come back exactly."""

from __future__ import annotations

import uuid as uuidlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from tenter.contracts.virt import Inventory, NodeInventory, ProviderInventory
from tenter.store import claims
from tenter.store.cell_schema import claims as claims_table
from tenter.store.cell_schema import host_changes, inventories, providers
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


PARTS = tuple(
    ProviderInventory(
        str(uuidlib.uuid5(uuidlib.NAMESPACE_OID, name)), name,
        {"CUSTOM_GPU": Inventory(5), "PCPU": Inventory(16, step_size=2, max_unit=4)},
    )
    for name in ("gpu1", "gpu2")
)  # fmt: skip


@pytest.fixture
def nested(any_cell_db: Database) -> Database:
    with any_cell_db.write() as connection:
        set_inventory(connection, replace(NODE, vcpus=100, providers=PARTS), {})
    return any_cell_db


def test_threads_claim_of_a_node_and_its_parts_all_or_nothing(nested: Database) -> None:
    one, two = PARTS[0].uuid, PARTS[1].uuid

    def take(n: int) -> str | None:
        order = (one, two, NODE.uuid) if n % 2 else (NODE.uuid, two, one)
        wanted = {uuid: {"VCPU": 1} if uuid == NODE.uuid else {"PCPU": 2, "CUSTOM_GPU": 1} for uuid in order}
        holder = str(uuidlib.uuid4())
        try:
            with nested.write() as connection:
                claims.take(connection, holder, wanted)
        except claims.ClaimLost as exc:
            assert (exc.resource_class, exc.reason) == ("CUSTOM_GPU", claims.FULL)
            assert exc.provider_uuid == min(one, two)
            assert exc.holder is not None and exc.holder.kind == claims.INSTANCE
            return None
        return holder

    with ThreadPoolExecutor(16) as pool:
        holders = [holder for holder in pool.map(take, range(32)) if holder]
    assert len(holders) == 5
    with nested.read() as connection:
        rows = connection.execute(sa.select(claims_table)).all()
        logged = connection.execute(sa.select(host_changes.c.node_uuid)).scalars().all()
    assert {row.holder_uuid for row in rows} == set(holders) and len(rows) == 5 * 5
    assert all(row.taken_at > 0 for row in rows)
    assert logged == [NODE.uuid] * 5, "a part's claim concerns its node, once"
    with nested.write() as connection:
        claims.hand_over(connection, holders[0], "left", claims.LEFTOVER)
    for holder in (*holders[1:], "left"):
        with nested.write() as connection:
            claims.give_back(connection, holder)
    assert set(_used(nested).values()) == {0}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"PCPU": 3}, claims.UNIT),
        ({"PCPU": 6}, claims.UNIT),
        ({"VGPU": 1}, claims.GONE),
        ({"CUSTOM_GPU": 6}, claims.FULL),
        ({"PCPU": 4}, None),
    ],
)
def test_a_lost_claim_says_why(nested: Database, wanted: dict[str, int], reason: str | None) -> None:
    try:
        with nested.write() as connection:
            claims.take(connection, "h", {NODE.uuid: {"VCPU": 1}, PARTS[0].uuid: wanted})
    except claims.ClaimLost as exc:
        assert (exc.reason, exc.holder, exc.provider_uuid) == (reason, None, PARTS[0].uuid)
        assert set(_used(nested).values()) == {0}
    else:
        assert reason is None


def test_a_lost_claim_names_who_claimed_last(nested: Database) -> None:
    for holder in ("first", "last"):
        with nested.write() as connection:
            claims.take(connection, holder, {PARTS[0].uuid: {"CUSTOM_GPU": 2}})
    with (
        pytest.raises(claims.ClaimLost, match="full; last claimed by instance last") as lost,
        nested.write() as connection,
    ):
        claims.take(connection, "late", {PARTS[0].uuid: {"CUSTOM_GPU": 2}})
    assert lost.value.holder == claims.Holder("last", claims.INSTANCE)


def test_what_is_claimed_goes_only_when_it_is_given_back(nested: Database, caplog: pytest.LogCaptureFixture) -> None:
    with nested.write() as connection:
        claims.take(connection, "h", {PARTS[0].uuid: {"CUSTOM_GPU": 2}})
        assert set_inventory(connection, NODE, {})
        assert "no longer the CUSTOM_GPU that is claimed" in caplog.text
        assert not set_inventory(connection, NODE, {}), "the same again is no change"
    with nested.read() as connection:
        kept = connection.execute(sa.select(inventories).where(inventories.c.provider_uuid != NODE.uuid)).one()
        part = connection.execute(sa.select(providers)).one()
    assert (kept.resource_class, kept.total, kept.capacity, kept.used) == ("CUSTOM_GPU", 0, 0, 2)
    assert (part.uuid, part.parent_uuid) == (PARTS[0].uuid, NODE.uuid)
    with nested.write() as connection:
        claims.give_back(connection, "h")
        assert set_inventory(connection, NODE, {})
        assert not connection.execute(sa.select(providers)).all()
        assert len(connection.execute(sa.select(inventories)).all()) == 3
