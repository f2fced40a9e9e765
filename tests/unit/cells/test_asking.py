"""Asking cells that answer, that are slow, and that are away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenter import errors
from tenter.cells import Cell
from tenter.cells.asking import MAX_RUNNING, Asking
from tenter.store import cell_schema
from tenter.store.engine import Database, sqlite_url
from tests.helpers.databases import MoodyDatabase

TIMEOUT, RETRY = 0.6, 0.6
LOADED = 3.0
"""Seconds that a busy machine may add to anything."""


@pytest.fixture
def cells(tmp_path: Path) -> Iterator[list[Cell]]:
    found = []
    for name in ("a", "b", "c"):
        db = MoodyDatabase(sqlite_url(tmp_path / f"{name}.sqlite"))
        cell_schema.metadata.create_all(db.engine)
        found.append(Cell(name, name, db))
    yield found
    for cell in found:
        moody(cell).recover()
        cell.db.close()


@pytest.fixture
def asking() -> Asking:
    return Asking(TIMEOUT, RETRY)


def moody(cell: Cell) -> MoodyDatabase:
    assert isinstance(cell.db, MoodyDatabase)
    return cell.db


def name_of(cell: Cell) -> str:
    with cell.db.read():
        return cell.name


def comes_back(asking: Asking, cells: list[Cell], uuid: str) -> bool:
    """Return whether the cell is among those that answer within a few retries."""
    until = time.monotonic() + 5 * RETRY + LOADED
    while time.monotonic() < until:
        if uuid in asking.ask(cells, name_of).found:
            return True
        time.sleep(0.05)
    return False


def test_answers_come_in_the_order_of_the_cells(asking: Asking, cells: list[Cell]) -> None:
    assert list(asking.ask(cells, name_of).found.items()) == [("a", "a"), ("b", "b"), ("c", "c")]
    assert asking.ask(list(reversed(cells)), name_of).away == []
    assert asking.ask([], name_of).found == {}


def test_all_are_asked_at_once(asking: Asking, cells: list[Cell]) -> None:
    all_there = threading.Barrier(3)
    assert len(asking.ask(cells, lambda cell: all_there.wait(TIMEOUT)).found) == 3


def test_a_slow_cell_costs_one_timeout_and_then_nothing(asking: Asking, cells: list[Cell]) -> None:
    moody(cells[1]).hang()
    began = time.monotonic()
    answers = asking.ask(cells, name_of)
    assert (list(answers.found), answers.away) == (["a", "c"], ["b"])
    assert TIMEOUT <= time.monotonic() - began < TIMEOUT + LOADED
    uses = moody(cells[1]).uses
    began = time.monotonic()
    for _ in range(20):
        assert asking.ask(cells, name_of).away == ["b"]
        if time.monotonic() - began > RETRY / 2:
            break
    assert moody(cells[1]).uses <= uses + 1  # the small query after the question


def test_a_cell_that_is_back_is_found_without_a_restart(asking: Asking, cells: list[Cell]) -> None:
    moody(cells[2]).away = True
    assert asking.ask(cells, name_of).away == ["c"]
    assert asking.is_away(cells[2])
    moody(cells[2]).recover()
    assert comes_back(asking, cells, "c")
    assert not asking.is_away(cells[2])


def test_one_request_at_a_time_tries_a_cell_that_hangs(asking: Asking, cells: list[Cell]) -> None:
    moody(cells[0]).hang()
    asking.ask(cells, name_of)
    time.sleep(RETRY + 0.05)
    took = []

    def ask() -> None:
        began = time.monotonic()
        assert asking.ask(cells, name_of).away == ["a"]
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(seconds >= TIMEOUT for seconds in took) == 1, took


def test_a_question_that_is_too_hard_does_not_take_its_cell_away(asking: Asking, cells: list[Cell]) -> None:
    released = threading.Event()

    def hard(cell: Cell) -> bool:
        return cell.uuid != "b" or released.wait(10)

    try:
        assert asking.ask(cells, hard).away == ["b"]
        assert comes_back(asking, cells, "b")
    finally:
        released.set()


def test_an_error_that_is_no_outage_is_raised(asking: Asking, cells: list[Cell]) -> None:
    def refuse(cell: Cell) -> None:
        raise errors.Invalid("so not")

    with pytest.raises(errors.Invalid):
        asking.ask(cells, refuse)
    assert not any(map(asking.is_away, cells))


def test_threads_that_wait_for_a_cell_are_bounded(cells: list[Cell]) -> None:
    asking = Asking(timeout=0.001, retry=0.0)
    moody(cells[0]).hang()
    before = threading.active_count()
    for _ in range(MAX_RUNNING * 2):
        assert asking.ask(cells[:1], name_of).away == ["a"]
    assert threading.active_count() - before <= MAX_RUNNING
    moody(cells[0]).recover()
    asking.timeout = LOADED
    assert comes_back(asking, cells[:1], "a")


def test_one_cell_is_asked_in_the_thread_of_the_request(asking: Asking, cells: list[Cell]) -> None:
    assert asking.ask(cells[:1], lambda cell: threading.current_thread(), here=True).found == {
        "a": threading.current_thread()
    }
    moody(cells[0]).away = True
    assert asking.ask(cells[:1], name_of, here=True).away == ["a"]


def test_writing_says_when_to_ask_again(asking: Asking, cells: list[Cell]) -> None:
    moody(cells[0]).away = True
    for _ in range(2):
        expected = pytest.raises(errors.Unavailable, match="Nothing is lost; ask again in 1 s")
        with expected as caught, asking.using(cells[0]), cells[0].db.write():
            raise AssertionError("not to be reached")
        assert caught.value.details["retry_after"] == 1
    with pytest.raises(errors.Conflict), asking.using(cells[1]):
        raise errors.Conflict("busy")
    assert not asking.is_away(cells[1])


def test_a_file_that_is_no_database_is_a_cell_that_is_away(asking: Asking, cells: list[Cell], tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_bytes(b"not a database at all, but long enough to be taken for one" * 50)
    bad = Cell("bad", "bad", Database(sqlite_url(tmp_path / "bad.sqlite")))
    assert asking.ask([*cells, bad], name_of).away == ["bad"]
    with pytest.raises(errors.Unavailable), asking.using(bad), bad.db.write():
        raise AssertionError("not to be reached")


def test_a_file_that_another_process_locks_is_a_slow_cell(asking: Asking, cells: list[Cell]) -> None:
    # SQLite lets others wait, for half a minute; so nobody may wait for it.
    cells[1].db.close()
    with cells[1].db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA locking_mode=EXCLUSIVE")
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        began = time.monotonic()
        answers = asking.ask(cells, name_of_row)
        assert (list(answers.found), answers.away) == (["a", "c"], ["b"])
        assert time.monotonic() - began < TIMEOUT + LOADED
        connection.exec_driver_sql("ROLLBACK")
        connection.invalidate()
    assert comes_back(asking, cells, "b")


def name_of_row(cell: Cell) -> int:
    with cell.db.read() as connection:
        return len(connection.execute(cell_schema.services.select()).all())
