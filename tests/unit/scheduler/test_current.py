"""The host table that is kept current is the one that would be read anew, whatever happens to hosts meanwhile."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from tenter.cells import Cell, Cells
from tenter.contracts.scheduling import HostView, ImageUse
from tenter.contracts.table import HostTable
from tenter.contracts.virt import DriverInfo, Inventory, NodeInventory, ProviderInventory
from tenter.scheduler import current, images
from tenter.scheduler.current import CurrentHosts
from tenter.scheduler.needs import needs_of
from tenter.scheduler.rows import Codes
from tenter.store import aggregates, claims, host_feed, hosts, instances, migrate, presence, services
from tenter.store.cell_schema import instances as instances_table
from tenter.store.cell_schema import services as services_table
from tenter.store.engine import Database, now, sqlite_url
from tenter_plugins.filters.all_hosts import AllHostsFilter
from tenter_plugins.weighers.image_properties import ImagePropertiesWeigher
from tests.helpers.cell_rows import instance_row, operation_of

DOWN_AFTER = 60.0
IMAGES = [
    {"os_distro": "debian", "hw_machine_type": "q35"}, {"hw_machine_type": "q35", "os_distro": "debian"},
    {"os_distro": "alpine"}, {},
]  # fmt: skip


def always(keys: Collection[str]) -> Collection[str]:
    return ("images",)


class Fabric:
    """Two cells with hosts that come, change and go."""

    def __init__(self, tmp_path: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.dbs = {}
        for name in ("api", "c1", "c2"):
            self.dbs[name] = Database(sqlite_url(tmp_path / name))
            migrate.upgrade(self.dbs[name], "api" if name == "api" else "cell")
        self.api_db = self.dbs["api"]
        self.cells = Cells(self.api_db, [Cell(name, name, self.dbs[name]) for name in ("c1", "c2")])
        self.hosts: dict[str, tuple[str, dict[str, Any]]] = {}
        self.held: list[tuple[str, str]] = []
        self.servers: list[tuple[str, str]] = []
        self.aggregate = aggregates.create_aggregate(self.api_db, "fast", "zone-a")
        self.members: set[str] = set()

    def uuid(self) -> str:
        import uuid as uuidlib

        return str(uuidlib.UUID(int=self.rng.getrandbits(128), version=4))

    def add(self) -> None:
        cell, host = self.rng.choice(("c1", "c2")), f"host-{len(self.hosts)}-{self.rng.randrange(1000)}"
        values = {"service": self.uuid(), "node": self.uuid(), "vcpus": self.rng.randrange(1, 9), "gpu": 0}
        assert presence.insert(self.dbs[cell], services_table, values["service"], host, presence.COMPUTE, "s")
        self.hosts[host] = cell, values
        self.report(host)

    def report(self, host: str) -> None:
        cell, values = self.hosts[host]
        parts = tuple(
            ProviderInventory(f"{values['node'][:-2]}{number:02d}", f"gpu{number}", {"VGPU": Inventory(2 + number)})
            for number in range(values["gpu"])
        )
        node = NodeInventory(
            values["node"], host, values["vcpus"], 4096, 100, traits=frozenset(values.get("traits", ())),
            providers=parts, metrics={"load": float(values["vcpus"])} if values["vcpus"] % 2 else {},
        )  # fmt: skip
        info = DriverInfo("fake", hypervisor_type="fake", hypervisor_version=values["vcpus"])
        hosts.report_nodes(self.dbs[cell], values["service"], host, f"zone-{values['vcpus'] % 2}", info, [node], {})

    def some(self) -> tuple[str, str, dict[str, Any]]:
        host = self.rng.choice(sorted(self.hosts))
        return host, *self.hosts[host]

    def step(self) -> None:
        if not self.hosts or self.rng.random() < 0.1:
            return self.add()
        host, cell, values = self.some()
        what = self.rng.randrange(12)
        db = self.dbs[cell]
        if what == 0:
            values["vcpus"] = self.rng.randrange(1, 9)
            self.report(host)
        elif what == 1:
            values["gpu"] = self.rng.randrange(3)
            self.report(host)
        elif what == 2:
            values["traits"] = self.rng.sample(["COMPUTE_NODE", "CUSTOM_A"], self.rng.randrange(3))
            self.report(host)
        elif what in (3, 4):
            holder = self.uuid()
            try:
                with db.write() as connection:
                    claims.take(connection, holder, {values["node"]: {"VCPU": 1, "MEMORY_MB": 64}})
                self.held.append((cell, holder))
            except claims.ClaimLost:
                pass
        elif what == 5 and self.held:
            cell, holder = self.held.pop()
            with self.dbs[cell].write() as connection:
                claims.give_back(connection, holder)
        elif what == 6:
            services.update_service(db, values["service"], disabled=self.rng.random() < 0.5, disabled_reason="repair")
        elif what == 7:
            allow = lambda moves: None  # noqa: E731
            if host in self.members:
                aggregates.remove_host(self.api_db, self.aggregate.id, host, allow)
            else:
                aggregates.add_host(self.api_db, self.aggregate.id, host, allow)
            self.members ^= {host}
        elif what in (8, 9):
            self.build(host)
        elif what == 10 and self.servers:
            cell, uuid = self.rng.choice(self.servers)
            with self.dbs[cell].write() as connection:
                instances.set_values(connection, uuid, image=self.image())
        elif what == 11 and self.servers:
            cell, uuid = self.servers.pop(self.rng.randrange(len(self.servers)))
            with self.dbs[cell].write() as connection:
                instances.remove(connection, uuid)
        return None

    def image(self) -> dict[str, Any] | None:
        named = {"id": self.uuid(), "name": "n", "properties": self.rng.choice(IMAGES)}
        return self.rng.choice([named, {**named, "id": "same"}, None])

    def build(self, host: str) -> None:
        cell, values = self.hosts[host]
        row = instance_row(values["node"], uuid=self.uuid(), image=self.image())
        try:
            with self.dbs[cell].write() as connection:
                instances.insert_placed(connection, row, operation_of(row["uuid"]), {values["node"]: {"VCPU": 1}})
            self.servers.append((cell, row["uuid"]))
        except claims.ClaimLost:
            pass

    def made_of(self) -> dict[str, dict[str, int]]:
        """Return what the instances of each node were made of, counted one by one."""
        found: dict[str, dict[str, int]] = {values["node"]: {} for _, values in self.hosts.values()}
        for db in (self.dbs["c1"], self.dbs["c2"]):
            with db.read() as connection:
                rows = connection.execute(sa.select(instances_table.c.node_uuid, instances_table.c.image)).all()
            for node_uuid, image in rows:
                if image is not None:
                    key = repr(sorted(image["properties"].items()))
                    found[node_uuid][key] = found[node_uuid].get(key, 0) + 1
        return found

    def close(self) -> None:
        for db in self.dbs.values():
            db.close()


def rows_of(table: HostTable) -> dict[str, Any]:
    """Return what the table says of each host, by its UUID."""
    found = {}
    for row in range(len(table)):
        view = table.view(row)
        assert view.provider_uuid not in found
        found[view.provider_uuid] = {
            name: getattr(view, name) for name in view.__dataclass_fields__ if name != "images"
        }
        found[view.provider_uuid]["images"] = images_of(view)
    return found


def images_of(view: HostView) -> dict[str, int]:
    """Return how many instances of a host were made of which properties."""
    found = {repr(sorted(use.properties.items())): use.instances for use in view.images}
    assert len(found) == len(view.images)
    return found


def made_of(table: HostTable) -> dict[str, dict[str, int]]:
    """Return what the table says that the instances of each node were made of."""
    return {table.uuid(row): images_of(table.view(row)) for row in range(len(table))}


@pytest.fixture
def fabrics(tmp_path: Path) -> Iterator[Any]:
    made: list[Fabric] = []

    def make(seed: int) -> Fabric:
        (tmp_path / str(seed)).mkdir()
        made.append(Fabric(tmp_path / str(seed), seed))
        return made[-1]

    yield make
    for fabric in made:
        fabric.close()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_is_what_would_be_read(fabrics: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "GLANCE", 0.0)
    fabric = fabrics(seed)
    kept = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER, always)
    cells = fabric.cells.all()
    kept.table(cells)
    before: list[tuple[HostTable, dict[str, Any]]] = []
    for number in range(150):
        fabric.step()
        if number % 3:
            continue
        table, away = kept.table(cells)
        anew = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER, always).table(cells)[0]
        assert not away and rows_of(table) == rows_of(anew)
        assert made_of(table) == fabric.made_of()
        before.append((table, rows_of(table)))
    for table, was in before[::7]:
        assert rows_of(table) == was, "a table that somebody has was changed"


def test_a_host_that_gives_no_sign_of_life_is_down_until_it_is_back(
    fabrics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = fabrics(0)
    for _ in range(3):
        fabric.add()
    monkeypatch.setattr(current, "LOOK", 0.0)
    kept = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER)
    host, cell, values = fabric.some()

    def up() -> dict[str, bool]:
        table = kept.table(fabric.cells.all())[0]
        return dict(zip(table.host, table.up.tolist(), strict=True))

    def seen(at: float) -> None:
        with fabric.dbs[cell].write() as connection:
            mine = sa.update(services_table).where(services_table.c.uuid == values["service"])
            connection.execute(mine.values(last_seen=at))

    assert all(up().values())
    clock = [now()]
    monkeypatch.setattr(current, "now", lambda: clock[0] + DOWN_AFTER + 1)
    for other, (its_cell, its) in fabric.hosts.items():
        if other != host:
            assert presence.report(fabric.dbs[its_cell], services_table, its["service"], "s")
            with fabric.dbs[its_cell].write() as connection:
                mine = sa.update(services_table).where(services_table.c.uuid == its["service"])
                connection.execute(mine.values(last_seen=clock[0] + DOWN_AFTER))
    assert up() == {other: other != host for other in fabric.hosts}
    seen(clock[0] + DOWN_AFTER)
    assert all(up().values())


def test_columns_that_have_one_value_take_no_room(fabrics: Any) -> None:
    fabric = fabrics(0)
    for _ in range(5):
        fabric.add()
    table = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER).table([fabric.cells.get("c1")])[0]
    assert table.resources["MEMORY_MB"].step_size.strides == (0,)
    assert np.array_equal(table.resources["MEMORY_MB"].takes(64), table.every(True))


def test_images_are_kept_while_they_are_needed(fabrics: Any) -> None:
    fabric, needed, seen = fabrics(0), False, 0
    kept = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER, lambda keys: {"images"} if needed else ())
    cells = fabric.cells.all()
    # While they are not needed, a cell may be away.
    for known in (cells, cells[:1], cells[1:], [], cells[:1]):
        for needed, asked in ((False, known), (True, cells), (True, cells)):
            for _ in range(15):
                fabric.step()
            table = kept.table(asked)[0]
            assert (table.images is not None) == needed
            if needed:
                assert made_of(table) == fabric.made_of()
                seen += sum(map(len, fabric.made_of().values()))
    assert seen


def test_a_plain_scheduler_reads_no_images(fabrics: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = fabrics(0)
    fabric.add()
    kept = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER)
    monkeypatch.delattr(host_feed, "_put_images")
    for _ in range(3):
        fabric.build(*fabric.hosts)
        assert kept.table(fabric.cells.all())[0].images is None


class Counting(ImagePropertiesWeigher):
    """Counts by what it is told to."""

    def __init__(self, by: float) -> None:
        self._multiplier = by

    def multiplier(self) -> float:
        if self._multiplier == 9.0:
            raise ZeroDivisionError
        return self._multiplier


def test_images_are_needed_where_a_weigher_counts() -> None:
    key = "image_props_weight_multiplier"
    assert Counting.aggregate_multiplier == key
    for by, keys, needed in [(0.0, (), False), (0.0, ("x",), False), (0.0, (key,), True), (-1.0, (), True),
                             (9.0, (), False)]:  # fmt: skip
        assert ("images" in needs_of([], [("it", Counting(by))])(keys)) == needed, (by, keys)
    reads = type("Reads", (AllHostsFilter,), {"needs": frozenset({"images"})})
    assert needs_of([("it", reads(None))], [("it", Counting(0.0))])(()) == {"images"}
    assert not needs_of([("it", AllHostsFilter(None))], [])((key,))  # type: ignore[arg-type]


def test_an_aggregate_that_lets_a_weigher_count_has_images_kept(fabrics: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "GLANCE", 0.0)
    fabric = fabrics(1)
    for _ in range(3):
        fabric.add()
    for _ in range(20):
        fabric.build(fabric.some()[0])
    kept = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER, needs_of([], [("it", Counting(0.0))]))
    assert kept.table(fabric.cells.all())[0].images is None
    aggregates.add_host(fabric.api_db, fabric.aggregate.id, fabric.some()[0], lambda moves: None)
    key = Counting.aggregate_multiplier
    aggregates.set_metadata(fabric.api_db, fabric.aggregate.id, {key: "2.0"}, lambda moves: None)
    assert made_of(kept.table(fabric.cells.all())[0]) == fabric.made_of()


uses = st.dictionaries(st.integers(0, 5), st.integers(1, 9), max_size=4)


@given(st.dictionaries(st.integers(0, 9), uses), st.lists(st.dictionaries(st.integers(0, 9), uses), max_size=5))
@settings(max_examples=100, deadline=None)
def test_what_does_not_change_of_images_stays_in_its_place(
    first: dict[int, dict[int, int]], changes: list[dict[int, dict[int, int]]]
) -> None:
    codes = Codes(repr)

    def made(of: dict[int, dict[int, int]]) -> dict[int, list[ImageUse]]:
        return {row: [ImageUse({"p": str(code)}, n) for code, n in uses.items()] for row, uses in of.items()}

    columns, now_is = images.columns_of(codes, made(first)), dict(first)
    for change in changes:
        before, columns = columns, images.changed(columns, codes, made(change), 10)
        now_is |= change
        for row in range(10):
            found = {int(use.properties["p"]): use.instances for use in columns.at(row)}
            assert found == now_is.get(row, {}) and len(found) == len(columns.at(row))
        shared = min(len(before.rows), len(columns.rows))
        moved = np.count_nonzero(before.rows[:shared] != columns.rows[:shared])
        assert moved <= sum(map(len, change.values())) + sum(int(row) in change for row in before.rows)


def test_one_more_of_an_image_is_counted() -> None:
    codes = Codes(repr)
    first = images.columns_of(codes, {1: [ImageUse({"a": "1"}, 2)]})
    again = images.one_more(first, 1, {"a": "1"})
    other = images.one_more(images.one_more(again, 0, {"a": "1"}), 1, {"b": "2"})
    assert again.at(1) == (ImageUse({"a": "1"}, 3),)
    assert other.at(0) == (ImageUse({"a": "1"}, 1),)
    assert set(map(repr, other.at(1))) == {repr(ImageUse({"a": "1"}, 3)), repr(ImageUse({"b": "2"}, 1))}
    assert first.at(1) == (ImageUse({"a": "1"}, 2),) and codes.values == [{"a": "1"}]


def test_nobody_writes_to_what_others_decide_by(fabrics: Any) -> None:
    fabric = fabrics(5)
    fabric.add()
    table = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER).table(fabric.cells.all())[0]
    columns = table.resources["VCPU"]
    for array in (table.enabled, table.up, table.key, table.zone.codes, columns.used, columns.free):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_values_that_no_host_has_any_more_are_forgotten(fabrics: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "GLANCE", 0.0)
    fabric = fabrics(6)
    while {cell for cell, _ in fabric.hosts.values()} != {"c1", "c2"}:
        fabric.add()
    host, cell, values = fabric.some()
    aggregates.add_host(fabric.api_db, fabric.aggregate.id, host, lambda moves: None)
    kept = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER)
    cells = fabric.cells.all()
    for number in range(20):
        aggregates.set_metadata(fabric.api_db, fabric.aggregate.id, {"n": str(number)}, lambda moves: None)
        services.update_service(fabric.dbs[cell], values["service"], disabled_reason=f"reason {number}")
        table = kept.table(cells)[0]
    assert len(table.aggregates.values) == 2
    before = rows_of(table)
    monkeypatch.setattr(current, "RENEWED", -1.0)
    for _ in cells:
        anew = kept.table(cells)[0]
    assert len(anew.disabled_reason.values) <= 3
    assert rows_of(anew) == rows_of(table) == before
