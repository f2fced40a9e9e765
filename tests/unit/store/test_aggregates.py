"""Aggregates: the rules of their zones, and many who change them at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.contracts.scheduling import Aggregate
from tenter.store import aggregates, api_schema, counters
from tenter.store.aggregates import Move
from tenter.store.engine import Database


class Asked:
    """Allows every move, and remembers them; ``meanwhile`` happens at the first."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.moves: list[Move] = []
        self._meanwhile = [meanwhile]

    def __call__(self, moves: Sequence[Move]) -> None:
        self.moves += moves
        while self._meanwhile:
            self._meanwhile.pop()()


def never(moves: Sequence[Move]) -> None:
    raise AssertionError(f"nothing should move: {moves}")


def refused(moves: Sequence[Move]) -> None:
    raise errors.Conflict("Not now.")


def made(db: Database, name: str, zone: str | None = None, *hosts: str) -> int:
    key = aggregates.create_aggregate(db, name, zone).id
    for host in hosts:
        aggregates.add_host(db, key, host, Asked())
    return key


def test_what_is_written_is_read(api_db: Database) -> None:
    key = made(api_db, "fast", "z1", "h2", "h1")
    other = made(api_db, "plain")
    found, plain = aggregates.list_aggregates(api_db)
    assert (found.id, found.name, found.zone, found.hosts) == (key, "fast", "z1", ("h1", "h2"))
    assert (plain.id, plain.zone, plain.hosts, plain.metadata, plain.updated_at) == (other, None, (), {}, None)
    changed = aggregates.set_metadata(api_db, key, {"ssd": "true", "gone": None}, never)
    assert changed.metadata == {"availability_zone": "z1", "ssd": "true"}
    assert changed.updated_at is not None and changed.uuid == found.uuid
    assert aggregates.set_metadata(api_db, key, {"ssd": None}, never).metadata == {"availability_zone": "z1"}
    assert aggregates.update_aggregate(api_db, key, never, name="faster").name == "faster"
    assert aggregates.get_aggregate(api_db, key).hosts == ("h1", "h2")
    assert aggregates.remove_host(api_db, key, "h1", Asked()).hosts == ("h2",)


def test_by_host_has_every_aggregate_of_a_host_and_the_number_of_changes(api_db: Database) -> None:
    assert aggregates.by_host(api_db) == ({}, 0)
    first, second = made(api_db, "a", "z", "h1", "h2"), made(api_db, "b", None, "h1")
    aggregates.set_metadata(api_db, second, {"k": "v"}, never)
    found, count = aggregates.by_host(api_db)
    a, b = Aggregate(first, "a", {"availability_zone": "z"}), Aggregate(second, "b", {"k": "v"})
    assert found == {"h1": (a, b), "h2": (a,)}
    assert count == aggregates.number(api_db) > 0
    assert aggregates.zones(api_db) == {"h1": "z", "h2": "z"}


def test_what_changes_while_it_is_read_is_read_again(api_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    key = made(api_db, "a", "z1")
    real, changes = aggregates._KNOWN, [lambda: aggregates.update_aggregate(api_db, key, Asked(), zone="z2"),
                                        lambda: aggregates.add_host(api_db, key, "h", Asked())]  # fmt: skip

    class Changing:
        def rows(self, connection: sa.Connection, values: Mapping[str, object]) -> Any:
            found = real.rows(connection, values).all()
            while changes:
                changes.pop(0)()
            return SimpleNamespace(all=lambda: found)

    monkeypatch.setattr(aggregates, "_KNOWN", Changing())
    assert aggregates.zones(api_db) == {"h": "z2"}


def test_every_change_is_counted_and_what_fails_is_not(api_db: Database) -> None:
    key = made(api_db, "a")
    changes: list[Callable[[], object]] = [
        lambda: aggregates.add_host(api_db, key, "h", never),
        lambda: aggregates.update_aggregate(api_db, key, Asked(), zone="z"),
        lambda: aggregates.set_metadata(api_db, key, {"a": "b"}, never),
        lambda: aggregates.rename_host(api_db, "h", "i"),
        lambda: aggregates.remove_host(api_db, key, "i", Asked()),
        lambda: aggregates.delete_aggregate(api_db, key),
        lambda: made(api_db, "a"),
    ]
    for change in changes:
        before = aggregates.number(api_db)
        change()
        assert aggregates.number(api_db) == before + 1
    before = aggregates.number(api_db)
    with pytest.raises(errors.Conflict, match="Aggregate a already exists"):
        made(api_db, "a")
    with pytest.raises(errors.NotFound, match="Aggregate 99 could not be found"):
        aggregates.set_metadata(api_db, 99, {}, never)
    aggregates.forget_host(api_db, "nobody")
    assert aggregates.number(api_db) == before


def test_names_and_ids_are_used_once(api_db: Database) -> None:
    first, second = made(api_db, "a"), made(api_db, "b")
    with pytest.raises(errors.Conflict, match="Aggregate a already exists"):
        aggregates.update_aggregate(api_db, second, never, name="a", zone="z")
    assert aggregates.get_aggregate(api_db, second).zone is None
    aggregates.delete_aggregate(api_db, second)
    assert made(api_db, "b") > second > first


def test_an_aggregate_with_hosts_is_not_deleted(api_db: Database) -> None:
    key = made(api_db, "a", None, "h")
    with pytest.raises(errors.Invalid, match=f"delete aggregate {key}: it has hosts"):
        aggregates.delete_aggregate(api_db, key)
    aggregates.remove_host(api_db, key, "h", never)
    aggregates.delete_aggregate(api_db, key)
    with pytest.raises(errors.NotFound):
        aggregates.delete_aggregate(api_db, key)


def test_a_host_is_in_one_zone(api_db: Database) -> None:
    one, two = made(api_db, "one", "z1", "h"), made(api_db, "two", "z2")
    plain, same = made(api_db, "plain", None, "h"), made(api_db, "same", "z1")
    with pytest.raises(errors.Conflict, match=f"host h to aggregate {two}, .* 'z2': it is in zone 'z1'"):
        aggregates.add_host(api_db, two, "h", Asked())
    for change in (
        lambda: aggregates.update_aggregate(api_db, plain, Asked(), zone="z2"),
        lambda: aggregates.set_metadata(api_db, plain, {"availability_zone": "z2"}, Asked()),
    ):
        with pytest.raises(errors.Invalid, match="its host h is in zone 'z1' by another aggregate"):
            change()
    aggregates.add_host(api_db, same, "h", never)
    with pytest.raises(errors.Conflict, match="already has host h"):
        aggregates.add_host(api_db, same, "h", never)
    aggregates.update_aggregate(api_db, plain, never, zone="z1")
    with pytest.raises(errors.Invalid, match="by another aggregate"):
        aggregates.update_aggregate(api_db, one, Asked(), zone="z3")
    with pytest.raises(errors.NotFound, match=f"Aggregate {two} has no host h"):
        aggregates.remove_host(api_db, two, "h", never)


def test_moves_are_asked_for_before_they_are_made(api_db: Database) -> None:
    key = made(api_db, "a", "z1")
    with pytest.raises(errors.Conflict, match="Not now"):
        aggregates.add_host(api_db, key, "h", refused)
    assert aggregates.get_aggregate(api_db, key).hosts == ()
    asked = Asked()
    aggregates.add_host(api_db, key, "h", asked)
    assert asked.moves == [("h", None, "z1")]
    for change in (
        lambda: aggregates.update_aggregate(api_db, key, refused, name="b", zone="z2"),
        lambda: aggregates.set_metadata(api_db, key, {"availability_zone": "z2", "k": "v"}, refused),
        lambda: aggregates.set_metadata(api_db, key, {"availability_zone": None}, refused),
        lambda: aggregates.remove_host(api_db, key, "h", refused),
    ):
        with pytest.raises(errors.Conflict, match="Not now"):
            change()
    found = aggregates.get_aggregate(api_db, key)
    assert (found.name, found.hosts, found.metadata) == ("a", ("h",), {"availability_zone": "z1"})
    asked = Asked()
    aggregates.set_metadata(api_db, key, {"availability_zone": "z2"}, asked)
    aggregates.remove_host(api_db, key, "h", asked)
    assert asked.moves == [("h", "z1", "z2"), ("h", "z2", None)]


def test_what_changed_while_it_was_asked_is_asked_for_too(api_db: Database) -> None:
    key = made(api_db, "a", "z1", "h")
    asked = Asked(lambda: aggregates.add_host(api_db, key, "i", Asked()))
    aggregates.update_aggregate(api_db, key, asked, zone="z2")
    assert asked.moves == [("h", "z1", "z2"), ("h", "z1", "z2"), ("i", "z1", "z2")]
    other = made(api_db, "b", "z3")
    asked = Asked(lambda: aggregates.add_host(api_db, other, "j", Asked()))
    with pytest.raises(errors.Conflict, match="it is in zone 'z3'"):
        aggregates.add_host(api_db, key, "j", asked)


def test_a_host_with_another_name_stays_where_it_was(api_db: Database) -> None:
    first, second = made(api_db, "a", "z1", "old"), made(api_db, "b", "z2", "new")
    aggregates.rename_host(api_db, "old", "new")
    aggregates.rename_host(api_db, "old", "new")
    assert aggregates.get_aggregate(api_db, first).hosts == ("new",)
    assert aggregates.get_aggregate(api_db, second).hosts == ()
    aggregates.forget_host(api_db, "new")
    assert aggregates.by_host(api_db)[0] == {}


def test_of_two_zones_one_wins(any_api_db: Database) -> None:
    """Each round two add one host to aggregates of two zones at the same moment."""
    db = any_api_db
    first, second = made(db, "a", "z1"), made(db, "b", "z2")

    def add(key: int, host: str, gate: threading.Barrier) -> int:
        gate.wait()
        try:
            aggregates.add_host(db, key, host, lambda moves: None)
        except errors.Conflict:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        for round_ in range(15):
            gate = threading.Barrier(8)
            keys = (first, second) * 4
            won = [pool.submit(add, key, f"h{round_}", gate) for key in keys]
            assert sum(future.result() for future in won) == 1
    count = sum(len(found.hosts) for found in aggregates.list_aggregates(db))
    assert count == len(aggregates.zones(db)) == 15


def test_the_counter_misses_nobody(any_api_db: Database) -> None:
    def bump(_: int) -> int:
        with any_api_db.write() as connection:
            return counters.bump(connection, "things")

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(bump, range(40))) == list(range(1, 41))
    with any_api_db.read() as connection:
        assert connection.execute(sa.select(api_schema.counters)).all() == [("things", 40)]
