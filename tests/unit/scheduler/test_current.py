"""The host table that is kept current is the one that would be read anew, whatever happens to hosts meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from tenter.cells import Cell, Cells
from tenter.contracts.table import HostTable
from tenter.contracts.virt import DriverInfo, Inventory, NodeInventory, ProviderInventory
from tenter.scheduler import current
from tenter.scheduler.current import CurrentHosts
from tenter.store import aggregates, claims, hosts, migrate, presence, services
from tenter.store.cell_schema import services as services_table
from tenter.store.engine import Database, now, sqlite_url

DOWN_AFTER = 60.0


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
        what = self.rng.randrange(8)
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
        return None

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
    return found


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
    kept = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER)
    cells = fabric.cells.all()
    kept.table(cells)
    before: list[tuple[HostTable, dict[str, Any]]] = []
    for number in range(150):
        fabric.step()
        if number % 3:
            continue
        table, away = kept.table(cells)
        anew = CurrentHosts(fabric.cells, fabric.api_db, lambda: DOWN_AFTER).table(cells)[0]
        assert not away and rows_of(table) == rows_of(anew)
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
