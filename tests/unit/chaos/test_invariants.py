"""The invariants that ``tools/chaos`` checks: each finds what is damaged by hand."""

from __future__ import annotations

import json
import sqlite3
import uuid as uuidlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenter.store import migrate
from tenter.store.engine import Database, sqlite_url
from tests.chaos import invariants
from tests.chaos.fleet import CELLS, Fleet
from tests.chaos.load import Promises

NODE = str(uuidlib.uuid4())
SERVER = str(uuidlib.uuid4())
GHOST = str(uuidlib.uuid4())


class Store:
    """The databases of a cloud with one server, healthy until they are damaged."""

    def __init__(self, directory: Path) -> None:
        self.fleet = Fleet(directory, 3.0)
        self.fleet.shared.mkdir(parents=True)
        for name, path in self.fleet.databases().items():
            db = Database(sqlite_url(path))
            migrate.upgrade(db, "api" if name == "api" else "cell")
            db.close()
        network = self.fleet.shared / "network" / "local"
        network.mkdir(parents=True)
        self.ports = network / "network.sqlite"
        self.run(self.ports, "CREATE TABLE ports (device_id TEXT)")
        self.run(self.ports, "INSERT INTO ports VALUES (?)", SERVER)
        for name in CELLS:
            self.row("api", "cells", uuid=f"key-{name}", name=name, disabled=0, created_at=0)
        self.row("api", "places", instance_uuid=SERVER, state="placed", cell_uuid="key-north")
        flavor = {"vcpus": 1, "memory_mb": 64, "root_gb": 0, "ephemeral_gb": 0, "swap": 0}
        self.row(
            "north", "instances", uuid=SERVER, vm_state="active", host="north-1", node_uuid=NODE,
            flavor=json.dumps(flavor), task_state=None,
        )  # fmt: skip
        for resource, amount in (("VCPU", 1), ("MEMORY_MB", 64)):
            self.row("north", "inventories", provider_uuid=NODE, resource_class=resource, used=amount)
            self.row("north", "claims", holder_uuid=SERVER, provider_uuid=NODE, resource_class=resource, amount=amount)
        self.guest("north-1", SERVER)

    def run(self, path: Path, statement: str, *values: object) -> None:
        """Run one statement."""
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement, values)

    def damage(self, name: str, statement: str) -> None:
        """Run one statement on a database."""
        self.run(self.fleet.databases()[name], statement)

    def row(self, database: str, table: str, **values: object) -> None:
        """Insert a row; columns that must have a value and are given none get one that means nothing."""
        path = self.fleet.databases()[database]
        for column in invariants.rows(path, f"SELECT * FROM pragma_table_info('{table}')"):
            if column["notnull"] and column["name"] not in values:
                number = any(word in column["type"] for word in ("INT", "DOUBLE", "BOOL"))
                values[column["name"]] = 0 if number else "x"
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self.run(path, f"INSERT INTO {table} ({names}) VALUES ({marks})", *values.values())

    def guest(self, host: str, uuid: str, power: int = invariants.RUNNING) -> Path:
        """Make a guest on a host."""
        directory = self.fleet.directory / host / "virt" / "fake" / "guests"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{uuid}.json"
        path.write_text(json.dumps({"uuid": uuid, "power": power}))
        return path

    def broken(self, promises: Promises | None = None) -> str:
        """Return what the check finds, as text."""
        return "\n".join(invariants.told(invariants.Check(self.fleet).run(promises or Promises())))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield Store(tmp_path / "cloud")


def test_a_healthy_store(store: Store) -> None:
    assert store.broken(Promises(alive={SERVER}, deleted={GHOST})) == ""
    assert invariants.unsettled(store.fleet) == []


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda s: s.damage("api", "DELETE FROM places"), "without a place"),
        (lambda s: s.damage("api", "UPDATE places SET cell_uuid = 'key-south'"), "names another cell"),
        (lambda s: s.row("api", "places", instance_uuid=GHOST, state="placed"), "no row in a cell"),
        (lambda s: s.damage("north", "UPDATE inventories SET used = used + 1"), "used 2, claimed 1"),
        (lambda s: s.damage("north", "DELETE FROM claims"), "should claim"),
        (
            lambda s: s.row("south", "claims", holder_uuid=GHOST, provider_uuid=NODE, resource_class="VCPU", amount=1),
            "should claim None",
        ),
        (lambda s: s.guest("north-1", SERVER).unlink(), "no guest"),
        (lambda s: s.guest("north-1", SERVER, invariants.SHUTDOWN), "a guest with power 4"),
        (lambda s: s.guest("south-2", SERVER), "should be on north-1"),
        (lambda s: s.guest("south-2", GHOST), "should be nowhere"),
        (lambda s: s.run(s.ports, "INSERT INTO ports VALUES (?)", GHOST), "which does not exist"),
        (lambda s: s.run(s.ports, "INSERT INTO ports VALUES (?)", SERVER), "has 2 ports"),
        (lambda s: s.run(s.ports, "DELETE FROM ports"), "has 0 ports"),
    ],
)
def test_each_damage_is_found(store: Store, damage: Callable[[Store], object], found: str) -> None:
    damage(store)
    assert found in store.broken()


def test_broken_promises_are_found(store: Store) -> None:
    assert "was deleted and is there" in store.broken(Promises(deleted={SERVER}))
    assert "is not there" in store.broken(Promises(alive={GHOST}))


def test_what_is_still_being_done_is_found(store: Store) -> None:
    store.damage("north", "UPDATE instances SET task_state = 'rebooting'")
    store.row("south", "operations", uuid=GHOST, kind="build", instance_uuid=GHOST, state="running", step="spawn")
    store.row("api", "places", instance_uuid=GHOST, state="unscheduled")
    text = "\n".join(invariants.settle(store.fleet, 0.1))
    assert "rebooting" in text and "running at step spawn" in text and "not scheduled" in text
