"""What is said of decisions: who sees what, in which words, and what comes of them with another configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenter.contracts.filter import HostFilter, MaskFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import Coded, HostTable, Verdicts
from tenter.contracts.weigher import HostWeigher
from tenter.operations import faults
from tenter.scheduler import explain
from tenter.scheduler.decision import Decision, Lost, all_failed, no_valid_host
from tenter.scheduler.record import Recorder
from tenter.scheduler.recorded import Recorded, of_operation
from tenter.scheduler.replay import replay
from tenter.scheduler.snapshot import Snapshot
from tenter.store import decisions
from tenter.store.engine import Database
from tests.unit.scheduler.test_pipeline import World, ask, view
from tests.unit.scheduler.test_record import OPERATION
from tests.unit.store.conftest import api_db

__all__ = ["api_db"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    found.views = {"c1": [view("secret-1", used=950), view("secret-2", used=990), view("secret-3", up=False)]}
    return found


class Telling(MaskFilter):
    """Tells all about hosts in its figures."""

    contract = "filter 1.0"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        codes = np.arange(len(table), dtype=np.int32)
        return Verdicts().also(
            table.every(False), "told", name=Coded(codes, table.host), neighbour="other-instance", asked="blue",
            traits=Coded(codes, [frozenset({"CUSTOM_A", host}) for host in table.host]), rank=codes, half=codes / 2,
            number=float("nan"), flags=table.up,
        )  # fmt: skip


class Failing(HostFilter):
    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        raise RuntimeError(f"no luck with {host.host}")


class Always(HostFilter):
    contract = "filter 1.0"

    def __init__(self, setup: Any, code: str) -> None:
        super().__init__(setup)
        self.code = code

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        return Verdict.reject(f"{self.code}.{host.host[-1]}" if self.code == "kind" else self.code, a="x" * 5)


class Last(HostWeigher):
    """Prefers the host whose name ends with the greatest number."""

    contract = "weigher 1.0"

    def multiplier(self) -> float:
        return 1.0

    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        return float(host.host[-1])


def recorded(world: World, db: Database, *names: str, lost: tuple[Lost, ...] = (), **how: Any) -> Recorded:
    request = how.pop("request", ask())
    decision = world.scheduler(*names, **how).select(request)
    decision.lost.extend(lost)
    gone = {one.row for one in lost}
    decision.chosen = next((one for one in decision.candidates if one.row not in gone), None)
    Recorder(world.conf, db).write(decision, OPERATION)
    return of_operation(db, "o")[-1]


def nothing_secret(shown: object) -> None:
    text = json.dumps(shown)
    assert "secret" not in text and "other-instance" not in text


def test_figures_name_no_host_and_no_other_instance(world: World, api_db: Database) -> None:
    request = ask(hints={"colour": ["blue"]}, required_traits=frozenset({"CUSTOM_A"}))
    read = recorded(world, api_db, filters=[Telling(world.setup)], request=request)
    shown = explain.for_members(read)
    nothing_secret(shown)
    assert shown["reasons"] == [{
        "filter": "Telling", "code": "told", "hosts": 3,
        "figures": {"asked": "blue", "traits": ["CUSTOM_A"], "rank": {"least": 0, "most": 2},
                    "half": {"least": 0.0, "most": 1.0}, "flags": {"least": False, "most": True}},
    }]  # fmt: skip
    assert explain.for_administrators(read)["refused"][1]["figures"] == {
        "name": "secret-2", "neighbour": "other-instance", "asked": "blue", "traits": ["CUSTOM_A", "secret-2"],
        "rank": 1, "half": 0.5, "number": None, "flags": True,
    }  # fmt: skip


def test_members_see_counts_and_administrators_hosts(world: World, api_db: Database) -> None:
    world.away = ["c2"]
    world.views["c2"] = []
    figures = {"resource_class": "VCPU", "to": {"kind": "instance", "uuid": "other-instance"}}
    world.views["c1"] += [view("secret-4"), view("secret-5")]
    read = recorded(
        world, api_db, "compute", "resources", weighers=[Last(world.setup)],
        lost=(Lost(4, "claim.full", figures), Lost(3, "claim.full", figures)),
    )  # fmt: skip
    member = explain.for_members(read)
    nothing_secret(member)
    assert member == {
        "id": read.uuid, "operation": "o", "server": "i", "made_at": read.made_at, "placed": False, "hosts": 5,
        "hosts_left": 2,
        "filters": [{"name": "compute", "hosts_in": 5, "hosts_out": 4, "misbehaved": False},
                    {"name": "resources", "hosts_in": 4, "hosts_out": 2, "misbehaved": False}],
        "reasons": [{"filter": "resources", "code": "ram.short", "hosts": 2,
                     "figures": {"asked": 100, "free": {"least": 10, "most": 50}}},
                    {"filter": "compute", "code": "host.down", "hosts": 1, "figures": {}}],
        "claims_lost": [{"code": "claim.full", "claims": 2}],
        "cells": {"asked": 2, "away": 1, "disabled": 0},
    }  # fmt: skip
    admin = explain.for_administrators(read)
    assert admin | member == admin
    assert admin["refused"] == [
        {"host": "secret-3", "filter": "compute", "code": "host.down", "figures": {}},
        {"host": "secret-1", "filter": "resources", "code": "ram.short", "figures": {"asked": 100, "free": 50}},
        {"host": "secret-2", "filter": "resources", "code": "ram.short", "figures": {"asked": 100, "free": 10}},
    ]
    assert [(one["host"], one["weights"]) for one in admin["finalists"]] == [
        ("secret-5", {"Last": 1.0}), ("secret-4", {"Last": 0.0}),
    ]  # fmt: skip
    assert admin["chosen"] is None
    assert admin["lost_on"][0] == {"host": "secret-5", "code": "claim.full", "figures": figures}
    assert admin["cells_away"] == ["c2"]
    assert admin["request"]["resources"] == {"VCPU": 1, "MEMORY_MB": 100, "DISK_GB": 1}
    few = explain.for_administrators(read, limit=1)
    assert (len(few["refused"]), few["refused_not_shown"]) == (1, 2)
    of_one = explain.for_administrators(read, host="secret-2")
    assert [one["host"] for one in of_one["refused"]] == ["secret-2"]
    became = [explain.for_administrators(read, host=name)["host"] for name in ("secret-2", "secret-4", "nobody")]
    assert became == ["refused", "passed", "unknown"]


def test_what_misbehaved_is_named_to_administrators(world: World, api_db: Database) -> None:
    read = recorded(world, api_db, filters=[Failing(world.setup)])
    nothing_secret(explain.for_members(read))
    assert explain.for_members(read)["filters"][0]["misbehaved"] is True
    assert "no luck with secret-3" in explain.for_administrators(read)["troubles"]["Failing"]


def test_a_record_that_cannot_be_read_is_shown_as_one(world: World, api_db: Database) -> None:
    recorded(world, api_db)
    row = decisions.of_operation(api_db, "o")[0]
    later = Recorded(replace(row, body=row.body[:2] + b"\x07" + row.body[3:]), api_db)
    for shown in (explain.for_members(later), explain.for_administrators(later)):
        assert shown.keys() == {"id", "operation", "server", "made_at", "error"}
        assert "format 7" in shown["error"]


def test_why_is_short_and_names_no_host(world: World) -> None:
    world.views = {"c1": [view(f"secret-{n}") for n in range(6)]}
    error = no_valid_host(world.scheduler(filters=[Always(world.setup, "kind")]).select(ask()))
    assert str(error) == (
        "No valid host was found. Refused 1 of 6 by Always: kind.0; 1 of 6 by Always: kind.1; "
        "1 of 6 by Always: kind.2; and 3 more kinds."
    )
    assert "secret-0: Always: kind.0 (a xxxxx)" in error.details["explanation"]
    long = no_valid_host(world.scheduler(filters=[Always(world.setup, "k" * 300)]).select(ask()))
    fault = faults.fault_of(long)
    assert len(fault["message"]) == 255 and "secret" not in fault["message"]
    assert "secret-5: Always" in fault["details"] and "tenter explain i" in fault["details"]


def test_lists_are_written_as_words(world: World) -> None:
    world.views = {"c1": [view("node1")]}
    error = no_valid_host(world.scheduler(filters=[Telling(world.setup)]).select(ask()))
    assert "traits CUSTOM_A node1," in error.details["explanation"]


def test_hosts_on_which_a_build_failed_are_not_named() -> None:
    error = all_failed({"node1": "node1 has no image", "node11": "node11 has no image", "a.b": "Full."}, "i")
    assert str(error) == (
        "No valid host was found. 2 of 3 hosts failed: a host has no image 1 of 3 hosts failed: Full."
    )
    assert "node11: node11 has no image\na.b: Full." in faults.fault_of(error)["details"]


def _replay(world: World, read: Recorded, *names: str, filters: list[Any] | None = None, weighers: Any = ()) -> Any:
    chosen = [(name, world.plugin(name)) for name in names]
    more = [(type(one).__name__, one) for one in filters or []]
    return replay(read, [*chosen, *more], [(type(one).__name__, one) for one in weighers], world.conf)


def test_the_same_configuration_makes_the_same_decision(world: World, api_db: Database) -> None:
    world.views["c1"] += [view(f"secret-{n}") for n in range(4, 9)]
    for _ in range(10):  # ties are broken at random
        read = recorded(world, api_db, "compute", "resources")
        found = _replay(world, read, "compute", "resources")
        assert found.same and found.chosen in found.best and len(found.best) == 5
    assert found.to_json()["filters"][1] == {
        "name": "resources", "then": {"hosts_in": 7, "hosts_out": 5}, "now": {"hosts_in": 7, "hosts_out": 5}
    }  # fmt: skip


def test_another_configuration_makes_another(world: World, api_db: Database) -> None:
    world.views["c1"] += [view("secret-4"), view("secret-5")]
    last = Last(world.setup)
    read = recorded(world, api_db, "compute", "resources", weighers=[last])
    assert _replay(world, read, "compute", "resources", weighers=[last]).same
    without = _replay(world, read, "compute", weighers=[last])
    assert not without.same
    assert [(one.host, one.then, one.now) for one in without.changed] == [
        ("secret-1", "resources: ram.short", "passed"), ("secret-2", "resources: ram.short", "passed"),
    ]  # fmt: skip
    assert without.stages == {"compute": ((5, 4), (5, 4)), "resources": ((4, 2), None)}
    assert (without.chosen, without.best, without.left) == ("secret-5", ["secret-5"], (2, 4))
    none = _replay(world, read, filters=[Always(world.setup, "no")])
    assert (none.best, none.same, len(none.changed)) == ([], False, 5)
    other = _replay(world, read, "compute", "resources", weighers=[Least(world.setup)])
    assert (other.best, other.same, other.changed) == (["secret-4"], False, [])


class Least(Last):
    def multiplier(self) -> float:
        return -1.0


def test_hosts_that_lost_their_claims_are_not_chosen_again(world: World, api_db: Database) -> None:
    world.views["c1"] += [view("secret-4"), view("secret-5")]
    last = Last(world.setup)
    read = recorded(world, api_db, "compute", "resources", weighers=[last], lost=(Lost(4, "claim.full"),))
    found = _replay(world, read, "compute", "resources", weighers=[last])
    assert found.same and found.best == ["secret-4"]


def test_a_decision_without_a_host_stays_one(world: World, api_db: Database) -> None:
    read = recorded(world, api_db, "compute", "resources")
    assert read.chosen is None
    assert _replay(world, read, "compute", "resources").same
    assert _replay(world, read, "compute").best == ["secret-1", "secret-2"]


def test_a_record_that_is_not_whole_is_not_replayed(
    world: World, api_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenter.errors import Conflict
    from tenter.scheduler import snapshot

    monkeypatch.setattr(snapshot, "whole", snapshot.keys_only)
    read = recorded(world, api_db, "compute")
    assert isinstance(read.snapshot, Snapshot)
    admin = explain.for_administrators(read)
    assert admin["refused"][0]["host"] == read.snapshot.uuid(2)
    assert admin["host_table"].startswith("not whole")
    with pytest.raises(Conflict, match="The record is not whole"):
        _replay(world, read, "compute")


def test_decisions_say_why_in_the_same_words(world: World) -> None:
    decision: Decision = world.scheduler("compute", "resources").select(ask())
    assert decision.counts()[0]["figures"] == {"asked": 100, "free": {"least": 10, "most": 50}}
