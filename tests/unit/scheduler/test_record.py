"""Recording decisions: what is read is what was written; it is small; and a recorder that fails harms nobody."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from tenter.contracts.filter import ACCEPT, HostFilter, MaskFilter, Verdict
from tenter.contracts.scheduling import (
    Aggregate,
    HostView,
    Hypervisor,
    ImageUse,
    PlacementRequest,
    Provider,
    Resource,
    ResourceGroup,
    ServerGroup,
)
from tenter.contracts.table import Coded, HostTable, Verdicts
from tenter.scheduler import explain, record, recorded, snapshot
from tenter.scheduler.decision import Decision, Lost
from tenter.scheduler.packing import Packer, Unpacked, Unreadable
from tenter.scheduler.record import Recorder
from tenter.scheduler.recorded import Recorded, _request
from tenter.scheduler.replay import replay
from tenter.scheduler.snapshot import Base, Snapshot, changed
from tenter.scheduler.table import table_of
from tenter.scheduler.usage import claimed
from tenter.store import decisions
from tenter.store.api_schema import host_snapshots
from tenter.store.columns import iso
from tenter.store.engine import Database
from tests.unit.scheduler.test_pipeline import World, ask, view
from tests.unit.store.conftest import any_api_db, api_db

__all__ = ["any_api_db", "api_db"]

words = st.text(max_size=8)
sets = st.frozensets(words, max_size=3)
amounts = st.integers(0, 2**40)
resources = st.builds(
    Resource, amounts, amounts, amounts, st.floats(0, 100, allow_nan=False), st.integers(1, 9), amounts, amounts
)
parts = st.tuples(st.builds(Provider, words, words, words, st.dictionaries(words, resources, max_size=2), sets))
views = st.builds(
    HostView,
    provider_uuid=st.uuids().map(str), host=words, node=words, zone=words, enabled=st.booleans(), up=st.booleans(),
    resources=st.dictionaries(st.sampled_from(["VCPU", "CUSTOM_A", "CUSTOM_B.C"]), resources),
    disabled_reason=st.none() | words, traits=sets, failed_builds=amounts, cell=words,
    aggregates=st.just(()) | st.tuples(st.builds(Aggregate, amounts, words, st.dictionaries(words, words, max_size=2))),
    hypervisor=st.builds(Hypervisor, words, amounts, st.just({"a": {"b": [1, "c"]}}) | st.just({})),
    host_ip=words, instances=amounts, io_ops=amounts,
    metrics=st.dictionaries(st.sampled_from(["cpu.percent", "m"]), st.floats(allow_nan=False)),
    providers=st.just(()) | parts, of_parts=sets, images=st.lists(
        st.builds(ImageUse, st.dictionaries(words, words, max_size=2), st.integers(1, 9)),
        max_size=2, unique_by=lambda one: tuple(sorted(one.properties.items())),
    ).map(tuple),
)  # fmt: skip
requests = st.builds(
    PlacementRequest,
    instance_uuid=words, project_id=words, resources=st.dictionaries(words, amounts, max_size=3),
    zone=st.none() | words, forced_host=st.none() | words, excluded_hosts=sets,
    extra_specs=st.dictionaries(words, words, max_size=2), image_properties=st.dictionaries(words, words, max_size=2),
    hints=st.dictionaries(words, words | st.lists(words), max_size=2), forced_node=st.none() | words, flavor=words,
    image_id=st.none() | words, required_traits=sets, forbidden_traits=sets,
    groups=st.just(()) | st.tuples(st.builds(ResourceGroup, words, st.dictionaries(words, amounts), sets, sets, words)),
    isolate=st.booleans(), cell=st.none() | words, hosts_of=st.dictionaries(words, words, max_size=2),
    server_group=st.none() | st.builds(ServerGroup, words, words, amounts, st.dictionaries(words, amounts)),
)  # fmt: skip


def same(one: HostTable, other: HostTable) -> None:
    assert [dataclasses.asdict(_plain(one, row)) for row in range(len(one))] == [
        dataclasses.asdict(_plain(other, row)) for row in range(len(other))
    ]
    for name in ("enabled", "up", "instances"):
        assert getattr(one, name).dtype == getattr(other, name).dtype


def _plain(table: HostTable, row: int) -> HostView:
    shown = table.view(row)
    return HostView(**{one.name: getattr(shown, one.name) for one in dataclasses.fields(HostView)})


@given(st.lists(views, min_size=1, max_size=30, unique_by=lambda one: one.provider_uuid))
@settings(max_examples=25, deadline=None)
def test_a_table_is_read_as_it_was_written(found: list[HostView]) -> None:
    table = table_of(found)
    same(Snapshot(snapshot.whole(table)).table(), table)
    few = Snapshot(snapshot.keys_only(table))
    assert [few.host(row) for row in range(len(few))] == [one.provider_uuid for one in found]
    with pytest.raises(Unreadable, match="not whole"):
        few.table()


@given(
    st.lists(st.tuples(views, views), min_size=1, max_size=12, unique_by=lambda two: two[0].provider_uuid),
    st.data(),
)
@settings(max_examples=25, deadline=None)
def test_a_difference_makes_the_one_table_of_the_other(pairs: list[tuple[HostView, HostView]], data: Any) -> None:
    others = data.draw(st.sets(st.sampled_from(range(len(pairs)))))
    fixed = ("provider_uuid", "host", "node", "host_ip")
    after = [
        replace(new, **{name: getattr(old, name) for name in fixed}) if row in others else old
        for row, (old, new) in enumerate(pairs)
    ]
    first, second = table_of([old for old, _ in pairs]), table_of(after)
    base = Base("u", first, 0.0)
    packer = Packer()
    changes = base.difference(second, packer)
    if (
        first.resources.keys() != second.resources.keys()
        or first.metrics.keys() != second.metrics.keys()
        or (first.images is None) != (second.images is None)
    ):
        assert changes is None
        return
    assert changes is not None
    read = Unpacked(packer.packed({"changes": changes}))
    same(changed(Snapshot(snapshot.whole(first)).table(), read.head["changes"], read), second)


@given(requests)
@settings(max_examples=100, deadline=None)
def test_a_request_is_read_as_it_was_written(request_: PlacementRequest) -> None:
    assert _request(Unpacked(Packer().packed({"request": request_})).head["request"]) == request_


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=200)
    | st.lists(st.integers(0, 300), max_size=200)
    | st.lists(st.floats(), max_size=60)
    | st.lists(st.booleans(), max_size=60),
    st.sets(st.integers(0, 499)),
)
@settings(max_examples=200, deadline=None)
def test_arrays_are_read_as_they_were_written(numbers: list[Any], rows: set[int]) -> None:
    array = np.array(numbers) if numbers else np.zeros(0, np.int64)
    packer = Packer()
    head = {"numbers": packer.numbers(array), "rows": packer.rows(np.array(sorted(rows), np.int64), 500)}
    read = Unpacked(packer.packed(head))
    np.testing.assert_array_equal(read.numbers(read.head["numbers"], array.dtype), array)
    assert read.rows(read.head["rows"]).tolist() == sorted(rows)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Fabric:
    """Hosts on which decisions are made and recorded."""

    def __init__(self, world: World, db: Database, count: int) -> None:
        self.world, self.db = world, db
        self.recorder = Recorder(world.conf, db)
        self.now = table_of(
            [view(f"compute-{n:05}.example.org", ram=1000, used=n * 7 % 950, vcpu=64, cell="c1", up=n % 50 != 7)
             for n in range(count)]
        )  # fmt: skip
        world.views = {"c1": []}
        world.table = lambda cells: (self.now, [])  # type: ignore[method-assign]
        self.scheduler = world.scheduler("ram", filters=[Masks(world.setup), Rule(world.setup)], seed=1)

    def decide(self, claim: bool = True, **wanted: Any) -> Decision:
        decision = self.scheduler.select(ask(**wanted))
        decision.chosen = next(decision.candidates, None)
        if decision.chosen is not None and claim:
            self.now = claimed(self.now, decision.chosen.row, decision.request)
        return decision

    def kept(self, decision: Decision, uuid: str = "o") -> Recorded:
        self.recorder.write(decision, OPERATION | {"uuid": uuid})
        return recorded.of_operation(self.db, uuid)[-1]


class _Operation(SimpleNamespace):
    def __or__(self, values: dict[str, str]) -> Any:
        return SimpleNamespace(**{**self.__dict__, **values})


OPERATION = _Operation(uuid="o", instance_uuid="i", project_id="p")


class Masks(MaskFilter):
    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        ram, asked = table.resources["MEMORY_MB"], request.resources["MEMORY_MB"]
        known = Coded(table.zone.codes, [frozenset({"b", zone}) for zone in table.zone.values])
        return (
            Verdicts()
            .also(table.up, "host.down", list=["x", "y"], zones=known, object=object(), large=2**70)
            .also(ram.takes(asked), "ram.short", asked=asked, free=ram.free, share=ram.free / 3)
        )


class Rule(HostFilter):
    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        return Verdict.reject("odd", name=host.host, one=1) if int(host.host[8:13]) % 3 == 2 else ACCEPT


@pytest.fixture(params=[3, 40, 1000])
def fabric(request: pytest.FixtureRequest, world: World, api_db: Database) -> Iterator[Fabric]:
    yield Fabric(world, api_db, request.param)


def test_a_decision_is_read_as_it_was_made(fabric: Fabric) -> None:
    for number in range(5):
        decision = fabric.decide()
        if number == 4:
            decision.lost.append(Lost(1, "ram.short", {"to": "another", "free": 3}))
        read = fabric.kept(decision, str(number))
        assert read.request == decision.request
        assert read.stages == decision.sifted.stages
        assert (read.seen, read.left) == (decision.seen, len(decision.sifted.rows))
        assert read.lost == decision.lost
        assert read.scope == decision.scope
        assert [(one.filter, one.code, one.rows.tolist()) for one in read.refusals] == [
            (one.filter, one.code, one.rows.tolist()) for one in decision.sifted.refusals
        ]
        for mine, other in zip(read.refusals, decision.sifted.refusals, strict=True):
            for place in range(len(mine.rows)):
                figures = other.of(place)
                if mine.code == "host.down":
                    assert figures.pop("large") == 2**70
                    figures |= {
                        "zones": sorted(figures["zones"]),
                        "object": str(figures["object"]),
                        "large": str(2**70),
                    }
                assert mine.of(place) == figures
        best = list(decision.candidates)[:16]
        assert [(one.row, one.weight) for one in read.finalists] == [
            (one.row, pytest.approx(one.weight, abs=1e-6)) for one in best
        ]
        assert (read.chosen and read.chosen.row) == (decision.chosen and decision.chosen.row)
        assert all(sum(one.parts.values()) == pytest.approx(one.weight, abs=1e-5) for one in read.finalists)
        same(read.table(), decision.table)
        assert read.looked_at().all()
    assert read.filters == tuple(fabric.world.conf.scheduler.filters)
    assert read.host(1) == "compute-00001.example.org"
    assert [one.operation_uuid for one in recorded.of_instance(fabric.db, "i")] == ["0", "1", "2", "3", "4"]


def test_hosts_that_were_not_looked_at_are_told_apart(fabric: Fabric) -> None:
    here = fabric.now.cell
    fabric.now = replace(fabric.now, cell=Coded(here.codes + (np.arange(len(here)) % 2).astype(np.int32), ["c1", "c2"]))
    read = fabric.kept(fabric.decide())
    assert read.looked_at().tolist() == [row % 2 == 0 for row in range(len(here))]


def test_decisions_share_a_table_until_too_much_differs(world: World, api_db: Database) -> None:
    fabric = Fabric(world, api_db, 400)
    first = fabric.kept(fabric.decide())
    second = fabric.kept(fabric.decide())
    assert second._snapshot_uuid == first._snapshot_uuid
    fabric.now = replace(fabric.now, up=~fabric.now.up)
    third = fabric.kept(fabric.decide())
    assert third._snapshot_uuid != first._snapshot_uuid
    same(first.table(), recorded.of_operation(api_db, "o")[0].table())
    fabric.now = fabric.now.take(np.arange(399))
    fourth = fabric.kept(fabric.decide())
    assert fourth._snapshot_uuid not in (first._snapshot_uuid, third._snapshot_uuid)
    assert len(fourth.table()) == 399


@pytest.mark.parametrize(("count", "most"), [(10, 1500), (1000, 4000), (10_000, 16_000)])
def test_a_decision_is_small(world: World, api_db: Database, count: int, most: int) -> None:
    fabric = Fabric(world, api_db, count)
    fabric.scheduler = world.scheduler("ram", filters=[Masks(world.setup)], seed=1)
    for _ in range(30):
        fabric.recorder.write(fabric.decide(), OPERATION)
    bodies = [len(row.body) for row in decisions.of_operation(api_db, "o")]
    assert len(bodies) == 30 and max(bodies) < most


def test_a_large_table_is_written_by_another_thread(
    world: World, api_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric, go = Fabric(world, api_db, 50), threading.Event()
    complete = decisions.complete_snapshot

    def slow(*args: Any) -> bool:
        go.wait(30)
        return complete(*args)

    monkeypatch.setattr(record, "SMALL", 10)
    monkeypatch.setattr(decisions, "complete_snapshot", slow)
    decision = fabric.decide(claim=False)
    read = fabric.kept(decision)
    # As it stays when the process dies now: readable, but nothing can be done with it again.
    assert read.host(3) == decision.table.uuid(3)
    assert read.refusals and read.chosen
    with pytest.raises(Unreadable, match="not whole"):
        read.table()
    go.set()
    for thread in threading.enumerate():
        if thread.name == "keep-hosts":
            thread.join(30)
    again = recorded.of_operation(api_db, "o")[0]
    assert again.host(3) == decision.table.host[3]
    same(again.table(), decision.table)


def test_records_that_cannot_be_read_say_so(fabric: Fabric) -> None:
    fabric.kept(fabric.decide())
    row = decisions.of_operation(fabric.db, "o")[0]
    later = Recorded(replace(row, body=row.body[:2] + b"\x09" + row.body[3:]), fabric.db)
    with pytest.raises(Unreadable, match="format 9, this release reads format 1"):
        _ = later.stages
    for body in (b"", b"TP", row.body[:40], b"??" + row.body[2:], row.body[:3] + b"\x00" * 50):
        with pytest.raises(Unreadable):
            _ = Recorded(replace(row, body=body), fabric.db).stages
    with pytest.raises(Unreadable, match="is not there"):
        Recorded(replace(row, snapshot_uuid="gone"), fabric.db).host(0)


def test_a_record_damaged_by_hand_says_so(fabric: Fabric) -> None:
    fabric.kept(fabric.decide())
    row = decisions.of_operation(fabric.db, "o")[0]
    head = Unpacked(row.body).head
    values: list[Any] = [None, [], "x", [[99]], {"a": 1}]
    wrong = [{**head, name: value} for name in ("seen", "left", "refusals", "finalists", "chosen") for value in values]
    for number, body in enumerate([*values, *wrong]):
        damaged = Recorded(replace(row, body=Packer().packed(body)), fabric.db)
        for shown in (explain.for_members(damaged), explain.for_administrators(damaged)):
            assert shown["id"] == row.uuid and "damaged" in shown.get("error", "damaged")
            assert number >= 10 or "error" in shown
        never = Recorded(replace(row, made_at=1e300 * (number - 2)), fabric.db)
        assert (explain.for_members(never, iso)["made_at"] is None) == (number != 2)
        with contextlib.suppress(Unreadable):
            replay(damaged, [], [], fabric.world.conf)


def test_nothing_is_recorded_where_nothing_is_kept(fabric: Fabric) -> None:
    fabric.world.conf.set_override("decision_retention", 0.0, group="scheduler")
    fabric.recorder.write(fabric.decide(), OPERATION)
    assert recorded.of_instance(fabric.db, "i") == []


def test_a_recorder_that_fails_harms_nobody(fabric: Fabric, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def full(*args: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "insert_snapshot", full)
        fabric.recorder.write(fabric.decide(), OPERATION)
    write = fabric.recorder.prepare(fabric.decide(), OPERATION)
    with monkeypatch.context() as patch, fabric.db.write() as connection:
        patch.setattr(decisions, "insert", full)
        write(connection)
    with monkeypatch.context() as patch:
        patch.setattr(fabric.db, "write", full)
        fabric.recorder.write(fabric.decide(), OPERATION)
    assert recorded.of_operation(fabric.db, "o") == []
    assert caplog.text.count("the disk is full") >= 3
    assert fabric.kept(fabric.decide()).stages


def test_purging_takes_what_nothing_refers_to(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    at = [1_000_000.0]
    monkeypatch.setattr(record, "now", lambda: at[0])
    fabric.kept(fabric.decide(), "old")
    at[0] += 2 * record.RENEWED
    kept = fabric.kept(fabric.decide(), "new")
    at[0] += 50
    assert record.purge(fabric.db, 100) == 1
    assert recorded.of_operation(fabric.db, "old") == []
    assert kept.table() is not None
    with fabric.db.read() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM host_snapshots").scalar() == 1
    at[0] += 3 * record.RENEWED
    assert record.purge(fabric.db, 100) == 1
    with fabric.db.read() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM host_snapshots").scalar() == 0


def test_on_each_kind_of_database(world: World, any_api_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "SMALL", 10)
    fabric = Fabric(world, any_api_db, 30)
    decision = fabric.decide()
    fabric.recorder.write(decision, OPERATION)
    for thread in threading.enumerate():
        if thread.name == "keep-hosts":
            thread.join(30)
    same(recorded.of_operation(any_api_db, "o")[0].table(), decision.table)
    twice = fabric.recorder.prepare(fabric.decide(), OPERATION)
    with any_api_db.write() as connection:
        twice(connection)
        twice(connection)  # which fails, for it is there, and takes nothing with it
    assert len(recorded.of_instance(any_api_db, "i")) == 2
    monkeypatch.setattr(record, "RENEWED", 0.0)
    assert record.purge(any_api_db, 0) == 2
    with any_api_db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(host_snapshots)).scalar() == 0


def test_a_table_that_an_older_copy_of_the_database_lacks_is_kept_anew(
    world: World, api_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "LOOK", 0.0)
    fabric = Fabric(world, api_db, 10)
    first = fabric.kept(fabric.decide())
    with api_db.write() as connection:
        connection.execute(sa.delete(host_snapshots))
    second = fabric.kept(fabric.decide())
    assert second._snapshot_uuid != first._snapshot_uuid
    assert second.table().host[0] == "compute-00000.example.org"
