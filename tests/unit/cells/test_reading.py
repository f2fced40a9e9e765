"""Reading instances over several cells and over the places that are in none."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.cells import Cell, Cells
from tenter.cells import query as conditions
from tenter.cells.query import ServerQuery, Sort, StateSet
from tenter.cells.reading import ServerReader
from tenter.store import api_schema, cell_schema
from tenter.store.api_schema import places
from tenter.store.cell_schema import instances
from tenter.store.engine import Database, sqlite_url

COLUMNS = ("uuid", "display_name")


def row(number: int, **values: Any) -> dict[str, Any]:
    """Return a complete row of an instance that was created ``number`` seconds after the epoch."""
    return {
        "uuid": str(uuid.UUID(int=number)), "project_id": "p", "user_id": "u", "display_name": f"s{number}",
        "description": None, "hostname": "h", "reservation_id": "r", "launch_index": 0, "vm_state": "active",
        "task_state": None, "power_state": 1, "progress": 0, "operation_uuid": None, "host": "n", "node": "n",
        "node_uuid": None, "availability_zone": "z", "pinned_zone": None, "image_ref": None, "image": None,
        "flavor": {"flavorid": "1"}, "key_name": None, "access_ip_v4": None, "access_ip_v6": None,
        "config_drive": True, "disk_config": "AUTO", "locked": False, "root_device_name": None, "metadata": {},
        "tags": [], "hints": {}, "security_groups": [], "network_info": [], "fault": None, "handle": None, "spec": {},
        "created_at": float(number), "updated_at": float(number), "launched_at": None, "terminated_at": None, **values,
    }  # fmt: skip


class Store:
    """An API database and some cells."""

    def __init__(self, directory: Path, cells: int) -> None:
        self.api_db = Database(sqlite_url(directory / "api.sqlite"))
        api_schema.metadata.create_all(self.api_db.engine)
        self.cells = []
        for number in range(cells):
            db = Database(sqlite_url(directory / f"cell{number}.sqlite"))
            cell_schema.metadata.create_all(db.engine)
            self.cells.append(Cell(str(uuid.uuid4()), f"cell{number}", db))
        self.reader = ServerReader(self.api_db, Cells(self.api_db, self.cells))

    def unscheduled(self, *rows: dict[str, Any], state: str = "unscheduled") -> None:
        with self.api_db.write() as connection:
            for one in rows:
                connection.execute(
                    sa.insert(places).values(
                        instance_uuid=one["uuid"], project_id=one["project_id"], user_id="u", state=state,
                        created_at=one["created_at"], record=one,
                    )
                )  # fmt: skip

    def in_cell(self, cell: int, *rows: dict[str, Any]) -> None:
        with self.cells[cell].db.write() as connection:
            connection.execute(sa.insert(instances), list(rows))

    def placed(self, cell: int, *rows: dict[str, Any]) -> None:
        self.unscheduled(*rows)
        self.in_cell(cell, *rows)
        self.place(cell, *rows)

    def place(self, cell: int, *rows: dict[str, Any]) -> None:
        with self.api_db.write() as connection:
            for one in rows:
                mine = places.c.instance_uuid == one["uuid"]
                connection.execute(
                    sa.update(places).where(mine).values(state="placed", cell_uuid=self.cells[cell].uuid, record=None)
                )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path, cells=3)
    yield found
    for db in (found.api_db, *(cell.db for cell in found.cells)):
        db.close()


def numbers(rows: Any) -> list[int]:
    return [uuid.UUID(one["uuid"]).int for one in rows]


def test_cells_and_places_are_merged_in_order(store: Store) -> None:
    for number in range(1, 41):
        if number % 4 == 3:
            store.unscheduled(row(number))
        else:
            store.placed(number % 4, row(number))
    assert numbers(store.reader.list(ServerQuery(COLUMNS, 100))) == list(range(40, 0, -1))
    ascending = ServerQuery(COLUMNS, 100, sort=(Sort("created_at", False),))
    assert numbers(store.reader.list(ascending)) == list(range(1, 41))


@pytest.mark.parametrize("sort", [
    (Sort("created_at"),),
    (Sort("display_name", False),),
    (Sort("task_state"), Sort("display_name", False)),
    (Sort("vm_state", False), Sort("launched_at"), Sort("uuid", False)),
    (Sort("locked"), Sort("power_state", False)),
])  # fmt: skip
def test_pages_add_up_whatever_the_order(store: Store, sort: tuple[Sort, ...]) -> None:
    dice = random.Random(7)
    made = [
        row(
            number,
            created_at=float(dice.randint(1, 5)),
            task_state=dice.choice([None, "rebooting", "powering-off"]),
            vm_state=dice.choice(["active", "stopped"]),
            launched_at=dice.choice([None, 1.0, 2.0]),
            locked=dice.choice([True, False]),
            power_state=dice.randint(0, 4),
        )
        for number in range(1, 61)
    ]
    for one in made:
        where = dice.randint(0, 3)
        if where == 3:
            store.unscheduled(one)
        else:
            store.placed(where, one)
    whole = numbers(store.reader.list(ServerQuery(COLUMNS, 1000, sort=sort)))
    assert sorted(whole) == list(range(1, 61))
    pages: list[int] = []
    while page := store.reader.list(
        ServerQuery(COLUMNS, 7, sort=sort, marker=str(uuid.UUID(int=pages[-1])) if pages else None)
    ):
        pages += numbers(page)
    assert pages == whole


def test_an_instance_between_the_databases_is_seen_once(store: Store) -> None:
    store.unscheduled(row(1, vm_state="building"))
    store.in_cell(1, row(1, task_state="spawning", vm_state="building"))
    (found,) = store.reader.list(ServerQuery(("uuid", "task_state"), 10))
    assert found["task_state"] == "spawning"


def test_a_failed_place_is_an_error(store: Store) -> None:
    fault = {"code": 500, "message": "no host", "details": "", "created": 1.0}
    store.unscheduled(row(1, fault=fault, task_state="scheduling"), state="failed")
    found = store.reader.get(str(uuid.UUID(int=1)))
    assert (found["vm_state"], found["task_state"], found["fault"]) == ("error", None, fault)
    state = conditions.InStates([StateSet("error", frozenset(), inverted=True)])
    assert numbers(store.reader.list(ServerQuery(COLUMNS, 10, conditions=(state,)))) == [1]


def test_filters_of_a_page_that_sql_cannot_decide(store: Store) -> None:
    for number in range(1, 1300):
        store.in_cell(0, row(number))
    wanted = (conditions.Matches("display_name", "^s1?[05]$"),)
    assert numbers(store.reader.list(ServerQuery(COLUMNS, 2, conditions=wanted))) == [15, 10]
    assert numbers(store.reader.list(ServerQuery(COLUMNS, 50, conditions=wanted))) == [15, 10, 5]


def test_get_by_project(store: Store) -> None:
    store.placed(2, row(1))
    key = str(uuid.UUID(int=1))
    assert store.reader.get(key, "p", ("display_name",))["display_name"] == "s1"
    with pytest.raises(errors.NotFound):
        store.reader.get(key, "q")
    with pytest.raises(errors.NotFound):
        store.reader.get(str(uuid.UUID(int=2)))
    with pytest.raises(errors.Invalid):
        store.reader.list(ServerQuery(COLUMNS, 1, "q", marker=key))


def test_moving_instances_are_never_missed(store: Store) -> None:
    rows = [row(number) for number in range(1, 101)]
    store.unscheduled(*rows)
    seen_wrong: list[Any] = []
    moved = threading.Event()

    def look() -> None:
        while not moved.is_set():
            found = numbers(store.reader.list(ServerQuery(COLUMNS, 1000)))
            if found != list(range(100, 0, -1)):
                seen_wrong.append(found)
            try:
                store.reader.get(random.choice(rows)["uuid"])
            except errors.NotFound as exc:
                seen_wrong.append(exc)

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    for one in rows:
        cell = random.randrange(3)
        store.in_cell(cell, one)
        store.place(cell, one)
    moved.set()
    for watcher in watchers:
        watcher.join(30)
    assert seen_wrong == []


@pytest.mark.parametrize(("condition", "good", "bad"), [
    (conditions.Equals("host", ["n"]), {}, {"host": "m"}),
    (conditions.Between("updated_at", 2, 3), {"updated_at": 2.5}, {"updated_at": 3.5}),
    (conditions.Between("launched_at", low=2), {"launched_at": 2.0}, {}),
    (conditions.InStates([StateSet("active", frozenset({"a"}))]), {"task_state": "a"}, {}),
    (conditions.InStates([StateSet("active", frozenset({None, "a"}))]), {}, {"task_state": "b"}),
    (conditions.InStates([StateSet("active", frozenset({"a"}), True)]), {}, {"task_state": "a"}),
    (conditions.InStates([StateSet("active", frozenset({None}), True)]), {"task_state": "a"}, {}),
    (conditions.InStates([]), None, {}),
    (conditions.Matches("display_name", "^x%_.?$"), {"display_name": "x%_"}, {"display_name": "xyz"}),
    (conditions.Matches("display_name", "a|^b"), {"display_name": "b"}, {"display_name": "cb"}),
    (conditions.Matches("power_state", "^4"), {"power_state": 4}, {}),
    (conditions.HasFlavor('a"%'), {"flavor": {"flavorid": 'a"%'}}, {"flavor": {"flavorid": "ab"}}),
    (conditions.HasTags(["ä"]), {"tags": ["ä", "b"]}, {"tags": ["ää"]}),
    (conditions.HasTags(["a", "b"], any_of=True), {"tags": ["b"]}, {}),
    (conditions.HasTags(["a"], inverted=True), {}, {"tags": ["a"]}),
    (conditions.HasTags(["a", "b"], any_of=True, inverted=True), {"tags": ["c"]}, {"tags": ["b"]}),
    (conditions.HasAddress("10", 4), {"network_info": [{"fixed_ips": [{"address": "10.1.1.1", "version": 4}]}]},
     {"network_info": [{"fixed_ips": [{"address": "9.10.1.1", "version": 4}]}]}),
    (conditions.Nothing(), None, {}),
])  # fmt: skip
def test_both_forms_of_a_condition_agree(store: Store, condition: Any, good: Any, bad: Any) -> None:
    rows = {1: bad} if good is None else {1: bad, 2: good}
    for number, values in rows.items():
        store.placed(0, row(number, **values))
        store.unscheduled(row(number + 10, **values))
        assert condition.matches(row(number, **values)) is (number == 2)
    found = numbers(store.reader.list(ServerQuery(COLUMNS, 10, conditions=(condition,))))
    in_cell = [number for number in found if number < 10]
    assert in_cell == ([2] if good is not None else [])


@pytest.mark.parametrize(
    "pattern", ["[", "(a+)+$", "(a|b)*c", "a*b*c*d*e*f*", "x" * 256, "(?P<a", "*", "(a{1,9}){1,9}"]
)
def test_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(errors.Invalid):
        conditions.compiled(pattern)


@pytest.mark.parametrize("pattern", ["^a", "a.*b", "(web|db)-[0-9]+$", r"\(a+\)", "a{2}", r"10\.0\."])
def test_patterns_that_are_taken(pattern: str) -> None:
    conditions.compiled(pattern)
