"""A copy kept by reading what changed is the same as all read anew, whatever happens in whatever order."""

from __future__ import annotations

import dataclasses
import random
import uuid as uuidlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.contracts.virt import DriverInfo, Inventory, NodeInventory, ProviderInventory
from tenter.store import claims, host_changes, host_feed, hosts, instances, leftovers, nodes, presence, services
from tenter.store.cell_schema import host_changes as log
from tenter.store.cell_schema import leftovers as leftovers_table
from tenter.store.cell_schema import services as services_table
from tenter.store.engine import Database, now
from tests.helpers.cell_rows import count, instance_row, operation_of

HOSTS = ["a", "b", "c"]
INFO = DriverInfo(name="fake", hypervisor_type="fake", hypervisor_version=1)
RATIOS = {"VCPU": 2.0}


def _uuid(*words: object) -> str:
    return str(uuidlib.uuid5(uuidlib.NAMESPACE_OID, " ".join(map(str, words))))


def node_of(host: str, generation: int = 0, **values: Any) -> NodeInventory:
    return NodeInventory(_uuid(host, "node", generation), host, **{
        "vcpus": 40, "memory_mib": 100, "disk_gib": 10, **values})  # fmt: skip


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
        feed = host_feed.read_all(self.db, images=True)
        self.mark, self.hosts = feed.mark, {record.uuid: record for record in feed.hosts}

    def follow(self) -> None:
        feed = host_feed.read_since(self.db, self.mark, images=True)
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
        assert self.mark.seq == host_feed.read_all(self.db, images=True).mark.seq
        fresh = {record.uuid: comparable(record) for record in host_feed.read_all(self.db, images=True).hosts}
        assert {uuid: comparable(record) for uuid, record in self.hosts.items()} == fresh


def comparable(record: host_feed.HostRecord) -> dict[str, Any]:
    images = {orjson.dumps(use.properties, option=orjson.OPT_SORT_KEYS): use.instances for use in record.images}
    assert len(images) == len(record.images)
    return {**dataclasses.asdict(record), "last_seen": None, "images": images}


class Walk:
    """Computes, servers and an operator change a cell at random."""

    def __init__(self, db: Database, seed: int) -> None:
        self.db, self.random = db, random.Random(seed)
        self.servers: list[tuple[str, str]] = []
        self.done: set[str] = set()
        for host in HOSTS:
            report(db, node_of(host, providers=(part_of(host, "g1", Inventory(3)),)))
        self.copy = Copy(db)

    def walk(self, steps: int) -> None:
        rules = (
            [self.report, self.build, self.build, self.build, self.set_state, self.finish, self.count_build]
            + [self.begin_task, self.begin_delete, self.remove, self.leave, self.reap, self.force, self.operate]
            + [self.rebuild]
        )  # fmt: skip
        seldom = [self.delete_service, self.rename, self.purge]
        for _ in range(steps):
            rule = self.random.choice(seldom if self.random.random() < 0.05 else rules)
            rule()
            self.done.add(rule.__name__)
            if self.random.random() < 0.7:
                self.copy.check()
        self.copy.check()
        assert len(self.done) > len(rules) - 3

    def _host(self) -> str:
        return self.random.choice(HOSTS)

    def _server(self) -> tuple[str, str]:
        return self.random.choice(self.servers) if self.servers else ("none", "none")

    def report(self) -> None:
        host, choice = self._host(), self.random.choice
        trait = choice(["CUSTOM_A", "HW_CPU_X86_AVX", "NO_SUCH"])
        parent = choice([None, _uuid(host, "g1")])
        parts = tuple(
            part_of(host, name, Inventory(choice([-1, 0, 3])), traits=frozenset({trait}),
                    parent=parent if name == "g2" else None)
            for name in choice([(), ("g1",), ("g1", "g2")])
        )  # fmt: skip
        metrics = choice([{}, {"cpu.percent": 0.5}, {"x": float("nan")}])
        node = node_of(
            host, choice([0, 0, 0, 1]), vcpus=choice([20, 40]), traits=frozenset({trait}), metrics=metrics,
            providers=parts, cpu_info={"topology": (1, 2)},
        )  # fmt: skip
        try:
            report(self.db, node, choice("yz"))
        except errors.Conflict:
            return
        zone = next(
            one for one in host_feed.read_all(self.db, images=True).hosts if one.uuid == node.uuid
        ).availability_zone
        before = count(self.db, log)
        report(self.db, node, zone)
        assert count(self.db, log) == before, "the same again is no change"

    def build(self) -> None:
        there = host_feed.read_all(self.db, images=True).hosts
        if not there:
            return
        host = self.random.choice(there)
        wanted = {
            host.uuid: {"VCPU": 1},
            **{one.uuid: {"CUSTOM_GPU": 1} for one in self.random.choice([host.parts, ()])},
        }
        row = instance_row(host.uuid, host=host.host, node=host.host, image=self.image())
        operation = operation_of(row["uuid"])
        row["operation_uuid"] = operation.uuid
        try:
            with self.db.write() as connection:
                instances.insert_placed(connection, row, operation, wanted)
        except claims.ClaimLost:
            return
        self.servers.append((row["uuid"], operation.uuid))

    def image(self) -> dict[str, Any] | None:
        properties = [{}, {"os_distro": "alpine"}, {"os_distro": "debian", "os_type": "linux"}]
        made = {"id": _uuid(self.random.randrange(2)), "properties": self.random.choice(properties)}
        return self.random.choice([made, made, None])

    def rebuild(self) -> None:
        with self.db.write() as connection:
            instances.set_values(connection, self._server()[0], image=self.image())

    def set_state(self) -> None:
        state = self.random.choice(["spawning", "powering-off", None])
        with self.db.write() as connection:
            instances.set_values(connection, self._server()[0], task_state=state)

    def finish(self) -> None:
        with self.db.write() as connection:
            instances.finish_task(connection, *self._server(), vm_state="active")

    def count_build(self) -> None:
        uuid = self._server()[0]
        with self.db.write() as connection:
            row = instances.row_of(connection, uuid)
            if self.random.random() < 0.5:
                hosts.build_failed(connection, uuid)
            elif row is not None and row["node_uuid"] is not None:
                hosts.build_succeeded(connection, row["node_uuid"])

    def begin_task(self) -> None:
        uuid, operation = self._server()
        state = self.random.choice(["rebuilding", "powering-off"])
        with self.db.write() as connection:
            instances.begin_task(connection, uuid, operation, state, ["active"])

    def begin_delete(self) -> None:
        with self.db.write() as connection:
            instances.begin_delete(connection, self._server()[0], str(uuidlib.uuid4()))

    def remove(self) -> None:
        if self.servers:
            uuid, _ = self.servers.pop(self.random.randrange(len(self.servers)))
            if self.random.random() < 0.5:
                with self.db.write() as connection:
                    claims.give_back(connection, uuid)
                self.copy.check()
            with self.db.write() as connection:
                instances.remove(connection, uuid)

    def leave(self) -> None:
        with self.db.write() as connection:
            leftovers.leave(connection, self._server()[0], "gone", [])

    def reap(self) -> None:
        with self.db.read() as connection:
            found = connection.execute(sa.select(leftovers_table.c.uuid)).scalars().all()
        for uuid in found:
            leftovers.reaped(self.db, uuid)

    def force(self) -> None:
        host, uuid = self._host(), self._server()[0]
        with self.db.write() as connection:
            claims.give_back(connection, uuid)
            claims.force(connection, uuid, {node_of(host).uuid: {"VCPU": 9}, _uuid(host, "g1"): {"PCPU": 1}})

    def operate(self) -> None:
        values = self.random.choice([
            {"disabled": True, "disabled_reason": "r"}, {"disabled": False, "disabled_reason": None},
            {"forced_down": True}, {"forced_down": False},
        ])  # fmt: skip
        services.update_service(self.db, _uuid(self._host(), "service"), **values)

    def delete_service(self) -> None:
        if self.random.random() < 0.5:
            for uuid, _ in self.servers:
                with self.db.write() as connection:
                    instances.remove(connection, uuid)
            self.servers = []
        try:
            services.delete_service(self.db, _uuid(self._host(), "service"))
        except errors.Conflict:
            return

    def rename(self) -> None:
        host = self._host()
        with self.db.write() as connection:
            hosts.rename(connection, host, host.upper())

    def purge(self) -> None:
        before, all_of_it = count(self.db, log), self.random.random() < 0.5
        host_changes.purge(self.db, now() + 1 if all_of_it else now() - 60)
        assert count(self.db, log) == (min(before, 1) if all_of_it else before)


@pytest.mark.parametrize("seed", range(4))
def test_a_copy_follows_whatever_happens(cell_db: Database, seed: int) -> None:
    Walk(cell_db, seed).walk(200)


def test_what_instances_were_made_of_is_counted_by_properties(any_cell_db: Database) -> None:
    db, names = any_cell_db, [f"n{number}" for number in range(host_feed._ONE_BY_ONE + 1)]
    for host in names:
        report(db, node_of(host))
    mark = host_feed.read_all(db).mark
    linux, same = {"os_type": "linux", "a": "1"}, {"a": "1", "os_type": "linux"}
    images = [{"id": "1", "properties": linux}, {"id": "2", "properties": same}, {"id": "3"}, None, {"properties": {}}]
    for host in names:
        with db.write() as connection:
            for image in images:
                row = instance_row(node_of(host).uuid, image=image)
                instances.insert_placed(connection, row, operation_of(row["uuid"]), {node_of(host).uuid: {"VCPU": 1}})
    many = host_feed.read_since(db, mark, images=True)
    with db.write() as connection:
        host_changes.node(connection, node_of(names[0]).uuid)
    few = host_feed.read_since(db, many.mark, images=True) if many is not None else None
    assert many is not None and few is not None and len(few.hosts) == 1
    for record in (*many.hosts, *few.hosts, *host_feed.read_all(db, images=True).hosts):
        assert comparable(record)["images"] == {b'{"a":"1","os_type":"linux"}': 2, b"{}": 2}
    assert all(record.images == () for record in host_feed.read_all(db).hosts)


def test_a_copy_follows_on_postgresql(postgres_cell_db: Database) -> None:
    Walk(postgres_cell_db, 4).walk(150)


def test_a_change_that_is_committed_after_a_later_one_is_not_missed(postgres_cell_db: Database) -> None:
    db = postgres_cell_db
    for host in HOSTS:
        report(db, node_of(host))
    copy = Copy(db)
    with db.write() as slow:
        claims.take(slow, "slow", {node_of("a").uuid: {"VCPU": 2}})
        with db.write() as quick:
            claims.take(quick, "quick", {node_of("b").uuid: {"VCPU": 3}})
        copy.follow()
        assert copy.hosts[node_of("b").uuid].inventories["VCPU"].used == 3
        assert copy.hosts[node_of("a").uuid].inventories["VCPU"].used == 0
        late = Copy(db)  # it begins while a number is missing
        assert len(copy.mark.missing) == len(late.mark.missing) == 1
    for each in (copy, late):
        each.check()
        assert each.hosts[node_of("a").uuid].inventories["VCPU"].used == 2
        assert not each.mark.missing and not each.renewed


def test_a_number_that_never_comes_is_forgotten(any_cell_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db = any_cell_db
    report(db, node_of("a"))
    copy = Copy(db)
    with pytest.raises(ZeroDivisionError), db.write() as connection:
        host_changes.node(connection, node_of("a").uuid)
        raise ZeroDivisionError
    services.update_service(db, _uuid("a", "service"), disabled=True)
    copy.check()
    assert copy.hosts[node_of("a").uuid].disabled
    assert len(copy.mark.missing) == (0 if db.sqlite else 1)
    later = host_feed.time.monotonic() + host_feed.PATIENCE + 1
    monkeypatch.setattr(host_feed.time, "monotonic", lambda: later)
    copy.follow()
    assert not copy.mark.missing and not copy.renewed


def test_many_writers_at_once(any_cell_db: Database) -> None:
    db = any_cell_db
    for host in HOSTS:
        report(db, node_of(host, vcpus=2000))
    copy = Copy(db)

    def write(n: int) -> None:
        for turn in range(10):
            with db.write() as connection:
                claims.take(connection, f"{n} {turn}", {node_of(HOSTS[(n + turn) % 3]).uuid: {"VCPU": 1}})

    with ThreadPoolExecutor(8) as pool:
        writing = [pool.submit(write, n) for n in range(8)]
        while not all(one.done() for one in writing):
            copy.follow()
        for one in writing:
            one.result()
    copy.check()
    assert sum(record.inventories["VCPU"].used for record in copy.hosts.values()) == 80
    assert not copy.renewed


def test_who_comes_after_the_log_was_purged_reads_all(cell_db: Database) -> None:
    empty = host_feed.read_all(cell_db).mark
    report(cell_db, node_of("a"))
    mark = host_feed.read_all(cell_db).mark
    feed = host_feed.read_since(cell_db, empty)
    assert feed is not None and [one.host for one in feed.hosts] == ["a"] and feed.mark == mark
    for disabled in (True, False):
        services.update_service(cell_db, _uuid("a", "service"), disabled=disabled)
    assert host_changes.purge(cell_db, now() + 1) > 0
    assert host_feed.read_since(cell_db, mark) is None
    assert host_feed.read_since(cell_db, empty) is None
    newest = host_feed.read_all(cell_db).mark
    assert host_feed.read_since(cell_db, newest) == host_feed.Feed(newest, [])
    assert host_feed.read_since(cell_db, dataclasses.replace(newest, at=1.0)) is None, "another log"


def test_signs_of_life_are_read_apart(cell_db: Database) -> None:
    report(cell_db, node_of("a")), report(cell_db, node_of("b"))
    mark, service = host_feed.read_all(cell_db).mark, _uuid("a", "service")
    with cell_db.write() as connection:
        connection.execute(sa.update(services_table).values(last_seen=100.0))
    assert presence.report(cell_db, services_table, service, "s")
    assert host_feed.read_since(cell_db, mark) == host_feed.Feed(mark, [])
    signs = host_feed.read_signs(cell_db, 100.5)
    assert [uuid for uuid, _ in signs] == [service] and signs[0][1] == pytest.approx(now(), abs=60)
    assert len(host_feed.read_signs(cell_db, 100.0)) == 2


def test_many_nodes_are_read_as_one_is(cell_db: Database) -> None:
    for n in range(12):
        report(cell_db, node_of(f"h{n}", providers=(part_of(f"h{n}", "g", Inventory(n + 1)),)))
    every = host_feed.read_all(cell_db).hosts
    assert host_feed.read_nodes(cell_db, [record.uuid for record in every] + ["none"]) == sorted(
        every, key=lambda record: record.uuid
    )
    assert [host_feed.read_nodes(cell_db, [record.uuid])[0] for record in every] == every
    stock = every[0].parts[0].inventories["CUSTOM_GPU"]
    assert stock == (stock.total, 0, 0, 1.0, stock.total, 1, 1, 2**31 - 1)
