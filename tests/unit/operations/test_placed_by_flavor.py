"""From a flavor's extra specs to what is claimed of a host and its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.contracts.virt import Inventory, ProviderInventory
from tenter.operations import placement
from tenter.operations.requests import RebuildServer
from tenter.store import api_schema, cell_schema, flavors
from tenter_plugins.virt.fake import FakeDriver
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud

HALF = {"VCPU": Inventory(4), "MEMORY_MB": Inventory(4096)}
NICS = tuple(
    ProviderInventory(f"7a000000-0000-4000-8000-00000000001{n}", f"nic{n}", {"CUSTOM_NIC": Inventory(1)})
    for n in range(4)
)
PARTS = (
    *NICS,
    ProviderInventory("7a000000-0000-4000-8000-000000000001", "node0", HALF, frozenset({"HW_NUMA_ROOT"})),
    ProviderInventory("7a000000-0000-4000-8000-000000000002", "node1", HALF, frozenset({"HW_NUMA_ROOT"})),
    ProviderInventory("7a000000-0000-4000-8000-000000000003", "t4", {"CUSTOM_PCI_10DE_1EB8": Inventory(1)}),
)  # fmt: skip


@pytest.fixture
def cloud(make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A cloud whose host has two NUMA nodes and a device."""
    plain = FakeDriver.inventory

    def inventory(self: FakeDriver) -> Any:
        return [dataclasses.replace(node, providers=PARTS, traits=frozenset({"CUSTOM_A"})) for node in plain(self)]

    monkeypatch.setattr(FakeDriver, "inventory", inventory)
    alias = '{"name": "t4", "vendor_id": "10de", "product_id": "1eb8"}'
    return make_cloud(pci={"alias": alias})


def server(cloud: Cloud, specs: Mapping[str, str], **values: Any) -> str:
    """Ask for a server of a flavor with these extra specs, as one who is not checked by the API."""
    key = f"f{len(flavors.list_flavors(cloud.fabric.api_db, limit=100))}"
    flavors.create_flavor(
        cloud.fabric.api_db, name=key, flavorid=key, memory_mb=128, vcpus=2, root_gb=1, ephemeral_gb=0, swap=0,
        rxtx_factor=1.0, is_public=True, description=None,
    )  # fmt: skip
    flavors.set_extra_specs(cloud.fabric.api_db, key, dict(specs))
    return cloud.create(flavor=key, **values)


def held(cloud: Cloud, uuid: str) -> set[tuple[str, str, int]]:
    """Return what a server has claimed, by the provider's name."""
    names = {each.uuid: each.name for each in PARTS}
    table = cell_schema.claims
    with cloud.cell.db.read() as connection:
        rows = connection.execute(sa.select(table).where(table.c.holder_uuid == uuid)).all()
    return {(names.get(row.provider_uuid, "host"), row.resource_class, row.amount) for row in rows}


WHOLE = {("host", "VCPU", 2), ("host", "MEMORY_MB", 128), ("host", "DISK_GB", 1)}


def test_guest_numa_nodes_and_a_device(cloud: Cloud) -> None:
    uuid = server(cloud, {"hw:numa_nodes": "2", "pci_passthrough:alias": "t4:1", "trait:CUSTOM_A": "required"})
    cloud.active(uuid)
    nodes = {(f"node{n}", name, amount) for n in (0, 1) for name, amount in (("VCPU", 1), ("MEMORY_MB", 64))}
    assert held(cloud, uuid) == WHOLE | nodes | {("t4", "CUSTOM_PCI_10DE_1EB8", 1)}
    other = cloud.settled(server(cloud, {"pci_passthrough:alias": "t4:1"}))
    assert other["vm_state"] == "error" and "No valid host" in other["fault"]["message"]
    cloud.delete(uuid)
    assert held(cloud, uuid) == set()


def test_of_equal_devices_another_is_tried_when_one_was_lost(cloud: Cloud) -> None:
    table = cell_schema.inventories
    taken = table.c.provider_uuid.in_([each.uuid for each in NICS[:3]])
    with cloud.cell.db.write() as connection:  # nobody tells the scheduler
        connection.execute(sa.update(table).where(taken).values(used=1))
    for vm_state in ("active", "error"):
        uuid = server(cloud, {"resources:CUSTOM_NIC": "1"})
        assert cloud.settled(uuid)["vm_state"] == vm_state
        assert ("nic3", "CUSTOM_NIC", 1) in held(cloud, uuid) or vm_state == "error"


@pytest.mark.parametrize(
    ("specs", "claims"),
    [
        ({"resources:VCPU": "1", "resources:DISK_GB": "0"}, {("host", "VCPU", 1), ("host", "MEMORY_MB", 128)}),
        ({"resources1:CUSTOM_PCI_10DE_1EB8": "1"}, WHOLE | {("t4", "CUSTOM_PCI_10DE_1EB8", 1)}),
        ({"resources:CUSTOM_PCI_10DE_1EB8": "1"}, WHOLE | {("t4", "CUSTOM_PCI_10DE_1EB8", 1)}),
    ],
)
def test_what_is_claimed(cloud: Cloud, specs: dict[str, str], claims: set[tuple[str, str, int]]) -> None:
    uuid = server(cloud, specs)
    cloud.active(uuid)
    assert held(cloud, uuid) == claims


def test_a_malformed_flavor_that_nobody_refused_is_an_error_that_names_the_key(cloud: Cloud) -> None:
    row = cloud.settled(server(cloud, {"resources:VCPU": "many"}))
    assert row["vm_state"] == "error" and "resources:VCPU" in row["fault"]["message"]


@pytest.mark.parametrize("specs", [{"hw:numa_nodes": "3"}, {"trait1:CUSTOM_A": "required"}])
def test_nothing_malformed_is_decided_about(cloud: Cloud, specs: dict[str, str]) -> None:
    row = cloud.settled(server(cloud, specs))
    assert row["vm_state"] == "error" and next(iter(specs)) in row["fault"]["message"]


def test_a_rebuild_sees_the_traits_of_the_parts_that_the_server_has(cloud: Cloud) -> None:
    uuid = server(cloud, {"hw:numa_nodes": "1"})
    cloud.active(uuid)
    image = dataclasses.replace(cloud.image(), id="5e5e5e5e-0000-4000-8000-000000000000")
    without = dataclasses.replace(image, properties={"trait:CUSTOM_B": "required"})
    with pytest.raises(errors.Conflict, match="lacks CUSTOM_B"):
        cloud.requests.rebuild(CALLER, uuid, RebuildServer(image=without))
    row = cloud.row(uuid)
    assert row is not None
    with cloud.cell.db.read() as connection:
        placement.refuse_image(connection, row, {"trait:HW_NUMA_ROOT": "required", "trait:CUSTOM_A": "required"})
        with pytest.raises(errors.Conflict, match="has HW_NUMA_ROOT"):
            placement.refuse_image(connection, row, {"trait:HW_NUMA_ROOT": "forbidden"})


def test_a_hint_to_a_server_whose_cell_does_not_answer(cloud: Cloud) -> None:
    other = cloud.create()
    cloud.active(other)
    places = api_schema.places
    elsewhere = sa.update(places).where(places.c.instance_uuid == other)
    with cloud.fabric.api_db.write() as connection:
        connection.execute(elsewhere.values(cell_uuid="99999999-0000-4000-8000-000000000000"))
    with pytest.raises(errors.Unavailable):
        placement.hosts_of(cloud.fabric.api_db, cloud.fabric.cells, {"different_host": other})
