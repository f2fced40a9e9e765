"""Reading instances and operations when cells are slow or away, and the order of what many cells say."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter import errors
from tenter.cells import Cell, Cells
from tenter.cells import query as conditions
from tenter.cells.asking import Asking
from tenter.cells.operations import Marker, OperationQuery, OperationReader
from tenter.cells.query import ServerQuery, Sort
from tenter.cells.reading import PartialRow, ServerReader
from tenter.store import api_schema, cell_schema, operations
from tests.helpers.databases import MoodyDatabase
from tests.unit.cells.test_reading import COLUMNS, Store, numbers, row

TIMEOUT, LOADED = 0.8, 3.0


class MoodyStore(Store):
    """A store whose cells can be made slow or go away."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, cells=3)
        self.moody = []
        for cell in self.cells:
            cell.db.close()
            self.moody.append(MoodyDatabase(str(cell.db.url)))
        self.cells = [Cell(cell.uuid, cell.name, db) for cell, db in zip(self.cells, self.moody, strict=True)]
        self.known = Cells(self.api_db, self.cells, asking=Asking(TIMEOUT, retry=60))
        self.reader = ServerReader(self.api_db, self.known)
        self.operations = OperationReader(self.api_db, self.known)
        self.patient = Cells(self.api_db, self.cells, asking=Asking(timeout=60))

    def empty(self) -> None:
        for db, tables in (
            (self.api_db, (api_schema.places, api_schema.operations)),
            *((db, (cell_schema.instances, cell_schema.operations)) for db in self.moody),
        ):
            with db.write() as connection:
                for table in tables:
                    connection.execute(sa.delete(table))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MoodyStore]:
    found = MoodyStore(tmp_path)
    yield found
    for db in (found.api_db, *found.moody):
        if isinstance(db, MoodyDatabase):
            db.recover()
        db.close()


def fill(store: MoodyStore, count: int = 12) -> None:
    """Place the instance ``n`` in cell ``n % 4``, or nowhere if that is 3."""
    for number in range(1, count + 1):
        if number % 4 == 3:
            store.unscheduled(row(number))
        else:
            store.placed(number % 4, row(number))


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),  # where: a cell, or 3 for nowhere
        st.integers(1, 4),  # created_at
        st.sampled_from(["a", "b", "B", "ß", ""]),
        st.sampled_from([None, 1.0, 2.0]),
    ),
    max_size=14,
)
ORDERS = st.lists(
    st.builds(Sort, st.sampled_from(["created_at", "display_name", "launched_at"]), st.booleans()),
    min_size=1, max_size=3, unique_by=lambda sort: sort.column,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=ROWS, order=ORDERS, size=st.integers(1, 5))
def test_pages_over_cells_are_a_plain_sort(store: MoodyStore, made: Any, order: list[Sort], size: int) -> None:
    store.empty()
    expected: list[dict[str, Any]] = []
    homes: dict[int, list[dict[str, Any]]] = {number: [] for number in range(4)}
    for number, (where, created, name, launched) in enumerate(made, start=1):
        expected.append(row(number, created_at=float(created), display_name=name, launched_at=launched))
        homes[where].append(expected[-1])
    store.unscheduled(*homes.pop(3))
    for where, rows in homes.items():
        if rows:
            store.placed(where, *rows)
    query = ServerQuery(COLUMNS, 100, sort=tuple(order))
    # Python's sort is stable, so sorting by the least column first gives the whole order.
    for sort in reversed(query.order):
        expected.sort(key=partial(value_of, sort.column), reverse=sort.descending)
    reader = ServerReader(store.api_db, store.patient)
    assert numbers(reader.list(query)) == numbers(expected)
    pages: list[int] = []
    marker = None
    while page := reader.list(ServerQuery(COLUMNS, size, marker=marker, sort=tuple(order))):
        pages += numbers(page)
        marker = page[-1]["uuid"]
    assert pages == numbers(expected)


@pytest.mark.parametrize("trouble", ["away", "slow"])
def test_a_list_leaves_out_what_is_in_a_cell_that_does_not_answer(store: MoodyStore, trouble: str) -> None:
    fill(store)
    disturb(store, 1, trouble)
    began = time.monotonic()
    rows = store.reader.list(ServerQuery(COLUMNS, 100))
    assert time.monotonic() - began < TIMEOUT + LOADED
    assert numbers(rows) == [number for number in range(12, 0, -1) if number % 4 != 1]


@pytest.mark.parametrize("trouble", ["away", "slow"])
def test_or_says_the_little_that_is_known(store: MoodyStore, trouble: str) -> None:
    fill(store)
    disturb(store, 1, trouble)
    rows = store.reader.list(ServerQuery(COLUMNS, 100, partial=True))
    assert numbers(rows) == list(range(12, 0, -1))
    known = [one for one in rows if isinstance(one, PartialRow)]
    assert numbers(known) == [9, 5, 1]
    assert known[0] == {
        "uuid": str(uuid.UUID(int=9)), "project_id": "p", "user_id": "u", "created_at": 9.0, "brief": None,
    }  # fmt: skip
    assert numbers(store.reader.list(ServerQuery(COLUMNS, 4, partial=True))) == [12, 11, 10, 9]
    assert store.reader.list(ServerQuery(COLUMNS, 100, "other", partial=True)) == ()


@pytest.mark.parametrize("name", ["a", "z"])
def test_what_the_cell_says_counts_wherever_it_stands_in_the_order(store: MoodyStore, name: str) -> None:
    store.unscheduled(row(1, display_name="m"), row(2, display_name="n"))
    store.in_cell(0, row(1, display_name=name))
    rows = store.reader.list(ServerQuery(COLUMNS, 10, sort=(Sort("display_name", False),)))
    assert {one["uuid"]: one["display_name"] for one in rows} == {key(1): name, key(2): "n"}


def test_all_cells_away_is_a_list_too(store: MoodyStore) -> None:
    fill(store)
    for number in range(3):
        disturb(store, number, "away")
    assert numbers(store.reader.list(ServerQuery(COLUMNS, 100))) == [11, 7, 3]
    assert numbers(store.reader.list(ServerQuery(COLUMNS, 100, partial=True))) == list(range(12, 0, -1))


def test_one_instance_in_a_cell_that_does_not_answer(store: MoodyStore) -> None:
    fill(store)
    disturb(store, 1, "slow")
    began = time.monotonic()
    with pytest.raises(errors.Unavailable, match="ask again"):
        store.reader.get(key(1))
    assert isinstance(store.reader.get(key(1), partial=True), PartialRow)
    with pytest.raises(errors.NotFound):
        store.reader.get(key(1), "other", partial=True)
    assert store.reader.get(key(2))["display_name"] == "s2"
    assert store.reader.get(key(3), partial=True)["vm_state"] == "building"
    assert time.monotonic() - began < TIMEOUT + LOADED


def test_a_slow_cell_does_not_slow_those_who_ask_for_others(store: MoodyStore) -> None:
    fill(store)
    disturb(store, 1, "slow")
    store.reader.list(ServerQuery(COLUMNS, 100))
    began = time.monotonic()
    for _ in range(10):
        store.reader.get(key(2))
        store.reader.list(ServerQuery(COLUMNS, 100))
    assert time.monotonic() - began < LOADED


def test_a_marker_in_a_cell_that_does_not_answer_is_no_mistake_of_the_client(store: MoodyStore) -> None:
    fill(store)
    disturb(store, 1, "away")
    with pytest.raises(errors.Unavailable):
        store.reader.list(ServerQuery(COLUMNS, 100, marker=key(1)))


def test_a_scan_that_takes_too_long_ends(store: MoodyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.in_cell(0, *(row(number) for number in range(1, 2001)))
    looked = []

    def look(condition: Any, one: Any) -> bool:
        looked.append(one)
        time.sleep(0.005)
        return False

    monkeypatch.setattr(conditions.Matches, "matches", look)
    query = ServerQuery(COLUMNS, 10, conditions=(conditions.Matches("display_name", "[x]"),))
    assert store.reader.list(query) == ()
    time.sleep(TIMEOUT)
    # The page that was read when the time was over is looked through, and no other.
    until = time.monotonic() + 10
    while time.monotonic() < until:
        before = len(looked)
        time.sleep(0.2)
        if len(looked) == before:
            break
    assert len(looked) <= 1010


def disturb(store: MoodyStore, cell: int, trouble: str) -> None:
    if trouble == "slow":
        store.moody[cell].hang()
    else:
        store.moody[cell].away = True


def key(number: int) -> str:
    return str(uuid.UUID(int=number))


def value_of(column: str, one: dict[str, Any]) -> Any:
    return 0 if one[column] is None else one[column]


def doing(seq: int, instance: int = 1, **values: Any) -> operations.Operation:
    return operations.Operation(
        uuid=key(values.pop("number", seq)), kind=values.pop("kind", "start"), instance_uuid=key(instance),
        project_id=values.pop("project_id", "p"), user_id="u", request_id=f"req-{seq}", step="start", role="compute",
        deadline=2e9, seq=seq, created_at=float(seq), args={"secrets": {"admin_password": "x"}}, **values,
    )  # fmt: skip


def put(store: MoodyStore, where: int, *done: operations.Operation) -> None:
    db, table = (
        (store.api_db, api_schema.operations) if where == 3 else (store.moody[where], cell_schema.operations)
    )
    with db.write() as connection:
        operations.insert(connection, table, *done)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), max_size=16), size=st.integers(1, 5))
def test_pages_of_operations_are_a_plain_sort(store: MoodyStore, made: Any, size: int) -> None:
    store.empty()
    for number, (where, seq) in enumerate(made, start=1):
        put(store, where, doing(seq, number=number))
    expected = sorted(((seq, number) for number, (_, seq) in enumerate(made, start=1)), reverse=True)
    pages: list[tuple[int, int]] = []
    marker = None
    reader = OperationReader(store.api_db, store.patient)
    while page := reader.list(OperationQuery(size, marker=marker)):
        pages += [(one["seq"], uuid.UUID(one["uuid"]).int) for one in page]
        marker = Marker(page[-1]["seq"], page[-1]["uuid"])
    assert pages == expected


def test_operations_by_what_is_asked(store: MoodyStore) -> None:
    put(store, 3, doing(1, state="done"))
    put(store, 0, doing(2, instance=2, host="h1", state="running", owner="me"), doing(3, state="failed"))
    put(store, 1, doing(4, kind="stop"), doing(5, project_id="q", state="cancelled"))

    def seqs(**values: Any) -> list[int]:
        return [one["seq"] for one in store.operations.list(OperationQuery(10, **values))]

    assert seqs() == [5, 4, 3, 2, 1]
    assert seqs(state="open") == [4, 2]
    assert [seqs(state=state) for state in ("done", "failed", "cancelled")] == [[1], [3], [5]]
    assert seqs(kind="stop") == [4]
    assert seqs(instance_uuid=key(2)) == seqs(host="h1") == [2]
    assert seqs(project_id="p") == [4, 3, 2, 1]
    assert not {"args", "data"} & store.operations.list(OperationQuery(1))[0].keys()


def test_a_build_that_is_in_both_databases_is_one_and_the_cell_knows_more(store: MoodyStore) -> None:
    put(store, 3, doing(1, kind="build"))
    put(store, 1, doing(1, kind="build", host="h1"))
    assert [one["host"] for one in store.operations.list(OperationQuery(10))] == ["h1"]
    assert store.operations.get(key(1))["host"] == "h1"
    assert [one["host"] for one in store.operations.of_instance(key(1))[0]] == ["h1"]


def test_operations_in_a_cell_that_does_not_answer(store: MoodyStore) -> None:
    put(store, 0, doing(1))
    put(store, 1, doing(2))
    disturb(store, 1, "slow")
    assert [one["seq"] for one in store.operations.list(OperationQuery(10))] == [1]
    rows, complete = store.operations.of_instance(key(1))
    assert ([one["seq"] for one in rows], complete) == ([1], False)
    assert store.operations.get(key(1))["seq"] == 1
    with pytest.raises(errors.Unavailable):
        store.operations.get(key(2))
    with pytest.raises(errors.NotFound):
        store.operations.get(key(1), "other")
