"""A copy kept by reading what changed is the same as all read anew, whatever happens in whatever order."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import uuid as uuidlib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from tenter import errors
from tenter.contracts.virt import DriverInfo, Inventory, NodeInventory, ProviderInventory
from tenter.store import claims, host_changes, host_feed, hosts, instances, leftovers, nodes, presence, services
from tenter.store.cell_schema import host_changes as log
from tenter.store.cell_schema import leftovers as leftovers_table
from tenter.store.cell_schema import metadata
from tenter.store.cell_schema import services as services_table
from tenter.store.engine import Database, now, sqlite_url
from tests.helpers.cell_rows import count, instance_row, operation_of

HOSTS = ["a", "b", "c"]
INFO = DriverInfo(name="fake", hypervisor_type="fake", hypervisor_version=1)
RATIOS = {"VCPU": 2.0}
GENERATIONS = st.sampled_from([0, 0, 0, 0, 1])


def _uuid(*words: object) -> str:
    return str(uuidlib.uuid5(uuidlib.NAMESPACE_OID, " ".join(map(str, words))))


def node_of(host: str, generation: int = 0, **values: Any) -> NodeInventory:
    return NodeInventory(_uuid(host, "node", generation), host, **{
        "vcpus": 4, "memory_mib": 100, "disk_gib": 10, **values})  # fmt: skip


def part_of(host: str, name: str, stock: Inventory, **values: Any) -> ProviderInventory:
    return ProviderInventory(_uuid(host, name), name, {"CUSTOM_GPU": stock, "PCPU": Inventory(2)}, **values)


def report(db: Database, node: NodeInventory, zone: str = "z") -> None:
    service = _uuid(node.name, "service")
    presence.insert(db, services_table, service, node.name, presence.COMPUTE, "s")
    nodes.admit(db, service, [node], 60)
    hosts.report_nodes(db, service, node.name, zone, INFO, [node], RATIOS)


class Copy:
    """What a scheduler keeps of a cell."""

    def __init__(self, db: Database) -> None:
        self.db, self.renewed = db, 0
        self._all()

    def _all(self) -> None:
        feed = host_feed.read_all(self.db)
        self.mark, self.hosts = feed.mark, {record.uuid: record for record in feed.hosts}

    def follow(self) -> None:
        feed = host_feed.read_since(self.db, self.mark)
        if feed is None:
            self.renewed += 1
            self._all()
            return
        self.mark = feed.mark
        for record in feed.hosts:
            self.hosts[record.uuid] = record
        for uuid in feed.gone:
            self.hosts.pop(uuid, None)

    def check(self) -> None:
        """Follow, and be the same as all read anew, but for signs of life."""
        self.follow()
        assert self.mark.seq == host_feed.read_all(self.db).mark.seq
        fresh = {record.uuid: comparable(record) for record in host_feed.read_all(self.db).hosts}
        assert {uuid: comparable(record) for uuid, record in self.hosts.items()} == fresh


def comparable(record: host_feed.HostRecord) -> dict[str, Any]:
    return {**dataclasses.asdict(record), "last_seen": None}


class Fabric(RuleBasedStateMachine):
    """Computes, servers and an operator change a cell; a copy follows now and then."""

    servers = Bundle("servers")
    left = Bundle("left")
    database_url: str | None = None

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tenter-test-"))
        self.db = Database(self.database_url or sqlite_url(self.directory / "db"))
        with self.db.write() as connection:
            metadata.drop_all(connection)
            metadata.create_all(connection)
        for host in HOSTS:
            report(self.db, node_of(host, providers=(part_of(host, "g1", Inventory(3)),)))
        self.copy = Copy(self.db)

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.copy.check()
            self.db.close()
            shutil.rmtree(self.directory)

    @rule(
        host=st.sampled_from(HOSTS), generation=GENERATIONS, zone=st.sampled_from("yz"),
        vcpus=st.sampled_from([2, 4]), trait=st.sampled_from(["CUSTOM_A", "HW_CPU_X86_AVX", "NO_SUCH"]),
        metric=st.sampled_from([{}, {"cpu.percent": 0.5}, {"x": float("nan")}]),
        gpus=st.sampled_from([(), ("g1",), ("g1", "g2")]), total=st.integers(-1, 3), nested=st.booleans(),
    )  # fmt: skip
    def report(self, host: str, generation: int, zone: str, vcpus: int, trait: str, metric: dict[str, float],
               gpus: tuple[str, ...], total: int, nested: bool) -> None:  # fmt: skip
        parent = _uuid(host, "g1") if nested else None
        parts = tuple(
            part_of(host, name, Inventory(total), traits=frozenset({trait}), parent=parent if name == "g2" else None)
            for name in gpus
        )
        node = node_of(host, generation, vcpus=vcpus, traits=frozenset({trait}), metrics=metric, providers=parts)
        try:
            report(self.db, node, zone)
        except errors.Conflict:
            return
        before = count(self.db, log)
        report(self.db, node, zone)
        assert count(self.db, log) == before, "the same again is no change"

    @rule(target=servers, host=st.sampled_from(HOSTS), generation=GENERATIONS, amount=st.integers(1, 3),
          part=st.sampled_from([None, "g1", "g2"]))  # fmt: skip
    def build(self, host: str, generation: int, amount: int, part: str | None) -> Any:
        node = node_of(host, generation).uuid
        wanted = {node: {"VCPU": amount}, **({_uuid(host, part): {"CUSTOM_GPU": 1}} if part else {})}
        row = instance_row(node, host=host, node=host)
        try:
            with self.db.write() as connection:
                operation = operation_of(row["uuid"])
                row["operation_uuid"] = operation.uuid
                instances.insert_placed(connection, row, operation, wanted)
        except claims.ClaimLost:
            return multiple()
        return row["uuid"], operation.uuid

    @rule(server=servers, state=st.sampled_from(["spawning", "powering-off", None]))
    def set_state(self, server: tuple[str, str], state: str | None) -> None:
        with self.db.write() as connection:
            instances.set_values(connection, server[0], task_state=state)

    @rule(server=servers, good=st.booleans())
    def built(self, server: tuple[str, str], good: bool) -> None:
        with self.db.write() as connection:
            instances.finish_task(connection, *server, vm_state="active")
            row = instances.row_of(connection, server[0])
            if not good:
                hosts.build_failed(connection, server[0])
            elif row is not None and row["node_uuid"] is not None:
                hosts.build_succeeded(connection, row["node_uuid"])

    @rule(server=servers, state=st.sampled_from(["rebuilding", "powering-off"]))
    def begin_task(self, server: tuple[str, str], state: str) -> None:
        with self.db.write() as connection:
            instances.begin_task(connection, server[0], server[1], state, ["active"])

    @rule(server=servers)
    def begin_delete(self, server: tuple[str, str]) -> None:
        with self.db.write() as connection:
            instances.begin_delete(connection, server[0], str(uuidlib.uuid4()))

    @rule(server=consumes(servers), unclaimed=st.booleans())
    def remove(self, server: tuple[str, str], unclaimed: bool) -> None:
        with self.db.write() as connection:
            if unclaimed:
                claims.give_back(connection, server[0])
        with self.db.write() as connection:
            instances.remove(connection, server[0])

    @rule(server=servers)
    def leave(self, server: tuple[str, str]) -> None:
        with self.db.write() as connection:
            leftovers.leave(connection, server[0], "gone", [])

    @rule()
    def reap(self) -> None:
        with self.db.read() as connection:
            found = connection.execute(sa.select(leftovers_table.c.uuid)).scalars().all()
        for uuid in found:
            leftovers.reaped(self.db, uuid)

    @rule(server=servers, host=st.sampled_from(HOSTS))
    def force(self, server: tuple[str, str], host: str) -> None:
        with self.db.write() as connection:
            claims.give_back(connection, server[0])
            claims.force(connection, server[0], {node_of(host).uuid: {"VCPU": 9}, _uuid(host, "g1"): {"PCPU": 1}})

    @rule(host=st.sampled_from(HOSTS), values=st.sampled_from([
        {"disabled": True, "disabled_reason": "r"}, {"disabled": False, "disabled_reason": None},
        {"forced_down": True}, {"forced_down": False}]))  # fmt: skip
    def operate(self, host: str, values: dict[str, Any]) -> None:
        services.update_service(self.db, _uuid(host, "service"), **values)

    @rule(host=st.sampled_from(HOSTS))
    def delete_service(self, host: str) -> None:
        try:
            services.delete_service(self.db, _uuid(host, "service"))
        except errors.Conflict:
            return

    @rule(host=st.sampled_from(HOSTS))
    def rename(self, host: str) -> None:
        with self.db.write() as connection:
            hosts.rename(connection, host, host.upper())

    @rule(all_of_it=st.booleans())
    def purge(self, all_of_it: bool) -> None:
        before = count(self.db, log)
        host_changes.purge(self.db, now() + 1 if all_of_it else now() - 60)
        assert count(self.db, log) == (min(before, 1) if all_of_it else before)

    @rule()
    def follow(self) -> None:
        self.copy.check()


Fabric.TestCase.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
test_a_copy_follows = pytest.mark.filterwarnings("ignore")(Fabric.TestCase)
