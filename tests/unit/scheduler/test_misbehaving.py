"""Plugins that raise, give nonsense, take long or never come back: they are named, and hold up nobody."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest

from tenter.contracts.filter import ACCEPT, HostFilter, MaskFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import HostTable, Verdicts
from tenter.contracts.weigher import ColumnWeigher
from tenter.scheduler import Decision
from tests.unit.scheduler.test_pipeline import World, ask, view, world

__all__ = ["world"]


class Mask(MaskFilter):
    """Answers what it is told to."""

    answer: Any = None

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        found = self.answer(table) if callable(self.answer) else self.answer
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]


class Rule(HostFilter):
    """Calls what it is told to for each host."""

    call: Any = None

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        found = self.call(host)
        return found if isinstance(found, Verdict) else ACCEPT


class Column(ColumnWeigher):
    """Gives the weights that it is told to."""

    answer: Any = None

    def weights(self, table: HostTable, request: PlacementRequest) -> Any:
        return self.answer(table)

    def multiplier(self) -> float:
        return 1.0


def hosts_of(decision: Decision) -> set[str]:
    return {candidate.view.host for candidate in decision.candidates}


def troubles(decision: Decision) -> dict[str, str]:
    return {stage.name: stage.trouble for stage in decision.sifted.stages if stage.trouble}


NONSENSE = {
    "raises": (ZeroDivisionError("oh"), "oh (ZeroDivisionError)"),
    "nothing": (None, "'NoneType' object has no attribute 'conditions' (AttributeError)"),
    "too short": (lambda table: Verdicts().also(np.ones(1, np.bool_), "x.y"), "its mask is no array"),
    "an exit": (SystemExit(3), "3 (SystemExit)"),
    "an interrupt": (KeyboardInterrupt(), "KeyboardInterrupt"),
    "a code that is no text": (
        lambda table: Verdicts().also(table.every(False), ["x"]), "the code of its refusal is no text",  # type: ignore[arg-type]
    ),
    "no truth values": (lambda table: Verdicts().also(np.ones(len(table)), "x.y"), "its mask is no array"),
    "short figures": (
        lambda table: Verdicts().also(table.every(False), "x.y", n=np.ones(1)), "a column of figures has not a row",
    ),
}  # fmt: skip


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("name", NONSENSE)
def test_a_mask_that_is_none(world: World, name: str, closed: bool) -> None:
    world.views = {"c1": [view("h1"), view("h2")]}
    world.conf.set_override("misbehaving_filters", "closed" if closed else "skipped", group="scheduler")
    mask = Mask(world.setup)
    mask.answer, words = NONSENSE[name]
    decision = world.scheduler("compute", filters=[mask]).select(ask())
    assert hosts_of(decision) == (set() if closed else {"h1", "h2"})
    assert words in troubles(decision)["Mask"]
    if closed:
        assert "2 of 2 by Mask: filter.failed" in decision.why()


def _raise(exc: BaseException) -> Any:
    raise exc


VERDICTS: dict[str, tuple[Any, str]] = {
    "exits": (lambda: _raise(SystemExit(3)), "3 (SystemExit)"),
    "interrupts": (lambda: _raise(KeyboardInterrupt()), "KeyboardInterrupt"),
    "code": (lambda: Verdict(False, ["x"]), "the code of its refusal is no text"),  # type: ignore[arg-type]
    "no figures": (lambda: Verdict(False, "x", None), "not iterable"),  # type: ignore[arg-type]
    "a list of figures": (lambda: Verdict(False, "x", [1, 2]), "cannot convert"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", VERDICTS)
def test_a_rule_that_exits_or_answers_nonsense(world: World, name: str) -> None:
    world.views = {"c1": [view("h1"), view("h2")]}
    rule = Rule(world.setup)
    answer, words = VERDICTS[name]
    rule.call = lambda host: answer()
    decision = world.scheduler("compute", filters=[rule]).select(ask())
    assert hosts_of(decision) == set()
    assert words in troubles(decision)["Rule"]
    assert "2 of 2 by Rule: filter.failed" in decision.why()


def test_figures_of_any_kind_can_be_told(world: World) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("mute")

        __repr__ = __str__

    circle: list[Any] = []
    circle.append(circle)
    figures = {"a": circle, "b": Mute(), "c": itertools.count(), 5: 1, "d": {"e": Mute()}, "n": 4}
    world.views = {"c1": [view("h1"), view("h2")]}
    rule, mask = Rule(world.setup), Mask(world.setup)
    rule.call = lambda host: Verdict(host.host == "h1", "x.y", figures)
    mask.answer = lambda table: Verdicts().also(
        table.among(["h2"]), "x.z", **{str(name): value for name, value in figures.items()}
    )
    decision = world.scheduler(filters=[mask, rule]).select(ask())
    assert [(reason["code"], reason["figures"]["n"]) for reason in decision.counts()] == [("x.z", 4), ("x.y", 4)]
    assert "an object of class Mute" in decision.host_by_host() and not troubles(decision)


@pytest.mark.parametrize("closed", [True, False])
def test_a_rule_that_takes_too_long_is_given_up(world: World, closed: bool) -> None:
    world.views = {"c1": [view(f"h{number}") for number in range(200)]}
    world.conf.set_override("misbehaving_filters", "closed" if closed else "skipped", group="scheduler")
    world.conf.set_override("filter_budget", 0.05, group="scheduler")
    rule = Rule(world.setup)
    rule.call = lambda host: time.sleep(0.002)
    decision = world.scheduler(filters=[rule]).select(ask())
    assert troubles(decision)["Rule"].startswith("It took more than 0.05 s: ")
    left = hosts_of(decision)
    assert (0 < len(left) < 200) if closed else len(left) == 200


@pytest.mark.parametrize("closed", [True, False])
def test_a_filter_that_never_comes_back_holds_up_nobody(world: World, closed: bool) -> None:
    world.views = {"c1": [view("h1"), view("h2")]}
    world.conf.set_override("misbehaving_filters", "closed" if closed else "skipped", group="scheduler")
    world.conf.set_override("filter_budget", 0.05, group="scheduler")
    ever, asked = threading.Event(), []
    mask = Mask(world.setup)
    mask.answer = lambda table: asked.append(1) or ever.wait(60)
    scheduler = world.scheduler("compute", filters=[mask])
    try:
        began = time.monotonic()
        for _ in range(3):
            decision = scheduler.select(ask())
            assert hosts_of(decision) == (set() if closed else {"h1", "h2"})
            assert "is not asked for 60 s" in troubles(decision)["Mask"]
        assert time.monotonic() - began < 30 and len(asked) == 1
    finally:
        ever.set()


def test_a_weigher_that_never_comes_back_is_left_out(world: World) -> None:
    world.views = {"c1": [view("h1", ram=1000), view("h2", ram=3000)]}
    world.conf.set_override("filter_budget", 0.05, group="scheduler")
    ever = threading.Event()
    column = Column(world.setup)
    column.answer = lambda table: ever.wait(60)
    try:
        decision = world.scheduler("ram", weighers=[column]).select(ask())
        assert [candidate.view.host for candidate in decision.candidates] == ["h2", "h1"]
        assert "is not asked for 60 s" in decision.weighed.troubles["Column"]
    finally:
        ever.set()


@pytest.mark.parametrize(
    "answer",
    [
        lambda table: _raise(SystemExit(3)),
        lambda table: np.ones(1),
        lambda table: np.full(len(table), np.inf),
        lambda table: np.array([1.7e308, -1.7e308]),
    ],
)
def test_a_column_of_weights_that_is_none_is_left_out(world: World, answer: Any) -> None:
    world.views = {"c1": [view("h1", ram=1000), view("h2", ram=3000)]}
    column = Column(world.setup)
    column.answer = answer
    decision = world.scheduler("ram", weighers=[column]).select(ask())
    assert [candidate.view.host for candidate in decision.candidates] == ["h2", "h1"]
    assert decision.weighed.troubles["Column"]


def test_weights_as_far_apart_as_integers_can_be_are_in_order(world: World) -> None:
    world.views = {"c1": [view("h1", ram=1000), view("h2", ram=3000)]}
    column = Column(world.setup)
    column.answer = lambda table: np.where(np.array(table.host) == "h1", 2**63 - 1, -(2**63))
    decision = world.scheduler("ram", weighers=[column]).select(ask())
    assert not decision.weighed.troubles and sorted(decision.weighed.parts["Column"].tolist()) == [0.0, 1.0]


@pytest.mark.parametrize("prompt", [True, False])
def test_only_who_is_prompt_is_asked_in_the_thread_of_who_decides(world: World, prompt: bool) -> None:
    class Where(Rule):
        pass

    Where.prompt = prompt
    asked: list[int] = []
    rule = Where(world.setup)
    rule.call = lambda host: asked.append(threading.get_ident())
    world.views = {"c1": [view("h1")]}
    assert hosts_of(world.scheduler("compute", "ram", filters=[rule]).select(ask())) == {"h1"}
    assert (asked == [threading.get_ident()]) is prompt
