"""The pipeline, the shipped filters and weighers, and that the scheduler explains itself."""

from __future__ import annotations

import logging
import uuid as uuidlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tenter.conf import new_conf
from tenter.contracts.base import PluginSetup
from tenter.contracts.filter import ACCEPT, Filter, HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest, Resource
from tenter.contracts.weigher import HostWeigher, Weigher
from tenter.scheduler import Scheduler
from tenter.scheduler.decision import no_valid_host
from tenter.scheduler.table import table_of
from tenter_plugins.filters.availability_zone import AvailabilityZoneFilter
from tenter_plugins.filters.compute import ComputeFilter
from tenter_plugins.filters.resources import ResourceFilter
from tenter_plugins.weighers.resources import CPUWeigher, DiskWeigher, RAMWeigher

CLASSES: dict[str, Any] = {
    "compute": ComputeFilter, "zone": AvailabilityZoneFilter, "resources": ResourceFilter,
    "cpu": CPUWeigher, "ram": RAMWeigher, "disk": DiskWeigher,
}  # fmt: skip


def view(host: str = "h1", vcpu: int = 8, ram: int = 1000, disk: int = 100, used: int = 0, **values: Any) -> HostView:
    base: dict[str, Any] = {
        "provider_uuid": str(uuidlib.uuid5(uuidlib.NAMESPACE_DNS, host)), "host": host, "node": host, "zone": "nova",
        "enabled": True, "up": True,
        "resources": {
            "VCPU": Resource(vcpu, 0), "MEMORY_MB": Resource(ram, used), "DISK_GB": Resource(disk, 0, 10, 1.5),
        },
    }  # fmt: skip
    return HostView(**{**base, **values})


def ask(**values: Any) -> PlacementRequest:
    base: dict[str, Any] = {
        "instance_uuid": "i", "project_id": "p", "resources": {"VCPU": 1, "MEMORY_MB": 100, "DISK_GB": 1},
    }  # fmt: skip
    return PlacementRequest(**{**base, **values})


class World:
    """A scheduler on hosts that a test names."""

    def __init__(self, tmp_path: Path) -> None:
        (tmp_path / "empty.conf").touch()
        self.conf = new_conf([str(tmp_path / "empty.conf")], tmp_path)
        self.conf.set_override("filter_budget", 60.0, group="scheduler")  # this machine may be busy
        self.setup = PluginSetup(self.conf, tmp_path)
        for name in ("cpu", "ram", "disk"):
            self.conf.register_opts(list(CLASSES[name].options), group="weighers")
        self.views: dict[str, list[HostView]] = {}
        self.disabled = 0
        self.away: list[str] = []

    def plugin(self, name: str) -> Any:
        return CLASSES[name](self.setup)

    def table(self, cells: Any) -> Any:
        views = [replace(view, cell=cell) for cell, views in self.views.items() for view in views]
        return table_of(views), self.away

    def scheduler(
        self, *names: str, filters: list[Any] | None = None, weighers: list[Any] | None = None, seed: int | None = None
    ) -> Scheduler:
        chosen = [(name, self.plugin(name)) for name in names]

        def enabled() -> list[Any]:
            return [SimpleNamespace(uuid=uuid, name=uuid, disabled=False) for uuid in self.views]

        cells: Any = SimpleNamespace(
            all=lambda: [*enabled(), *(SimpleNamespace(disabled=True) for _ in range(self.disabled))],
            enabled=enabled,
            get=lambda uuid: SimpleNamespace(uuid=uuid, name=uuid),
        )
        return Scheduler(
            self.conf, cells, self,
            [(n, p) for n, p in chosen if isinstance(p, Filter)] + [(type(f).__name__, f) for f in filters or []],
            [(n, p) for n, p in chosen if isinstance(p, Weigher)] + [(type(w).__name__, w) for w in weighers or []],
            seed,
        )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_freest_host_comes_first(world: World) -> None:
    world.views = {"c1": [view("h1", ram=1000), view("h2", ram=3000)], "c2": [view("h3", ram=2000)]}
    decision = world.scheduler("compute", "resources", "ram").select(ask())
    assert [(c.view.host, c.weight, c.cell.uuid) for c in decision.candidates] == [
        ("h2", 1.0, "c1"), ("h3", 0.5, "c2"), ("h1", 0.0, "c1"),
    ]  # fmt: skip
    world.conf.set_override("ram_weight_multiplier", -1.0, group="weighers")
    decision = world.scheduler("ram").select(ask())
    assert [c.view.host for c in decision.candidates] == ["h1", "h3", "h2"]
    assert [c.view.host for c in world.scheduler("ram").select(ask(), "c2").candidates] == ["h3"]


def test_equal_hosts_share_the_work(world: World) -> None:
    world.views = {"c1": [view(f"h{n}") for n in range(4)]}
    scheduler = world.scheduler("cpu", "ram", "disk")
    first = {next(scheduler.select(ask()).candidates).view.host for _ in range(200)}
    assert first == {"h0", "h1", "h2", "h3"}


def test_excluded_and_forced_hosts(world: World) -> None:
    world.views = {"c1": [view("h1"), view("h2")]}
    scheduler = world.scheduler("compute")
    assert [c.view.host for c in scheduler.select(ask(excluded_hosts=frozenset({"h1"}))).candidates] == ["h2"]
    assert [c.view.host for c in scheduler.select(ask(forced_host="h1")).candidates] == ["h1"]
    assert list(scheduler.select(ask(forced_host="h1", excluded_hosts=frozenset({"h1"}))).candidates) == []


def test_why_and_explain(world: World) -> None:
    world.views = {"c1": [view("h1", used=950), view("h2", used=990), view("h3", up=False)]}
    decision = world.scheduler("compute", "resources").select(ask())
    assert list(decision.candidates) == []
    assert decision.why() == (
        "Refused 2 of 3 by resources: ram.short (asked 100, at most 50 free); 1 of 3 by compute: host.down."
    )
    refusal = decision.refusal_of(1)
    assert refusal is not None and (refusal[0].filter, refusal[0].code) == ("resources", "ram.short")
    assert refusal[1] == {"asked": 100, "free": 10}
    assert "h1" not in decision.why()
    assert str(no_valid_host(decision)).startswith("No valid host was found. Refused")
    world.views = {"c1": []}
    assert "No host has reported yet." in str(no_valid_host(world.scheduler().select(ask())))


def test_cells_that_are_disabled_are_said_to_be(world: World) -> None:
    assert world.scheduler().select(ask()).why() == "There are no cells."
    world.disabled = 2
    assert world.scheduler().select(ask()).why() == "All cells are disabled."
    world.views = {"c1": [view("h1")]}
    assert world.scheduler().select(ask(forced_host="h2")).why() == (
        "Refused 1 of 1 by forced host: host.other. 2 of the cells are disabled."
    )
    world.disabled, world.views = 1, {"c1": []}
    assert world.scheduler().select(ask()).why() == "No host has reported yet. 1 of the cells is disabled."
    assert world.scheduler().select(ask(), "c1").why() == "No host has reported yet."


class Moody(HostFilter):
    """Raises on one host."""

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        if host.host == "h1":
            raise ZeroDivisionError("moody")
        return ACCEPT


class Grumpy(HostWeigher):
    """Raises, or gives what is no number."""

    answer: Any = None

    def weigh(self, host: HostView, request: PlacementRequest) -> float:
        if self.answer is None:
            raise ZeroDivisionError("grumpy")
        return self.answer if host.host == "h1" else 1.0

    def multiplier(self) -> float:
        return 1.0


def test_a_filter_that_raises_costs_only_its_host(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.views = {"c1": [view("h1"), view("h2")]}
    with caplog.at_level(logging.ERROR):
        decision = world.scheduler("compute", filters=[Moody(world.setup)]).select(ask())
    assert [c.view.host for c in decision.candidates] == ["h2"]
    refusal = decision.refusal_of(0)
    assert refusal is not None and refusal[0].code == "filter.failed" and "Moody" in caplog.text
    assert decision.sifted.stages[-1].trouble == "moody (ZeroDivisionError)"


class Idle(HostFilter):
    """Has nothing to say of a request, or fails to find out."""

    fails = False

    def applies(self, request: PlacementRequest) -> bool:
        if self.fails:
            raise ZeroDivisionError("idle")
        return False

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        raise AssertionError("asked about a host")


def test_a_rule_that_does_not_apply_is_asked_about_no_host(world: World) -> None:
    world.views = {"c1": [view("h1"), view("h2")]}
    idle = Idle(world.setup)
    decision = world.scheduler("compute", filters=[idle]).select(ask())
    assert len(list(decision.candidates)) == 2
    assert (decision.sifted.stages[-1].passed, decision.sifted.stages[-1].trouble) == (2, "")
    idle.fails = True
    decision = world.scheduler("compute", filters=[idle]).select(ask())
    assert list(decision.candidates) == []
    assert decision.sifted.stages[-1].trouble == "idle (ZeroDivisionError)"


@pytest.mark.parametrize("answer", [None, "much", float("nan"), float("inf")])
def test_a_weigher_that_fails_is_left_out(world: World, answer: Any) -> None:
    world.views = {"c1": [view("h1", ram=1000), view("h2", ram=3000)]}
    grumpy = Grumpy(world.setup)
    grumpy.answer = answer
    decision = world.scheduler("ram", weighers=[grumpy]).select(ask())
    assert [(c.view.host, c.weight) for c in decision.candidates] == [("h2", 1.0), ("h1", 0.0)]
