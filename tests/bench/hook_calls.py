"""For the benchmark ``plugins``: what a hook call with 20 listeners costs beyond what the listeners themselves take."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cloud import median

from tenter.conf import new_conf
from tenter.contracts.base import PluginSetup
from tenter.contracts.hooks import HOOKS, HookListener, ServiceUp
from tenter.plugins.dispatch import Call, Dispatcher, Listener
from tenter.plugins.emitter import Emitter
from tenter.plugins.hooks import Registry

LISTENERS, EVENTS, ROUNDS, TARGET_US = 20, 2000, 15, 50.0


class Counting(HookListener):
    """A listener that does what little it does as any would."""

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self.heard = 0

    def service_up(self, event: Any) -> None:
        """Count."""
        self.heard += 1


def event() -> ServiceUp:
    """Return an event, as whoever emits makes one."""
    return ServiceUp(at=time.time(), host="bench", binary="tenter-compute", service_host="bench")


def opened() -> tuple[Dispatcher, list[Call]]:
    """Return a dispatcher with listeners that pluggy knows, and its calls."""
    setup = PluginSetup(new_conf([]), Path())
    registry = Registry()
    for number in range(LISTENERS):
        registry.register(Counting(setup), str(number))
    calls = [
        Call(Listener("hook", name, str, lambda: None), "service_up", method)
        for name, method in registry.implementations("service_up")
    ]
    listeners = [call.listener for call in calls]
    return Dispatcher("bench", listeners, {HOOKS["service_up"]: calls}, 10.0, EVENTS + 1), calls


def told() -> float:
    """Return the seconds from the first emission until all listeners were told all events, per event."""
    hooks, calls = opened()
    events = [event() for _ in range(EVENTS)]
    began = time.perf_counter()
    for each in events:
        hooks.emit(each)
    hooks.close()
    took = time.perf_counter() - began
    assert all(call.calls == EVENTS for call in calls), "some were not told"
    return took / EVENTS


def own() -> float:
    """Return the seconds that the listeners take for one event if they are simply called."""
    hooks, calls = opened()
    methods = [call.function for call in calls]
    one = event()
    began = time.perf_counter()
    for _ in range(EVENTS):
        for method in methods:
            method(one)
    took = time.perf_counter() - began
    hooks.close()
    return took / EVENTS


def emission(hooks: Emitter) -> float:
    """Return the seconds that whoever emits spends on one event, whose queue is empty before and long afterwards."""
    events = [event() for _ in range(EVENTS)]
    began = time.perf_counter()
    for each in events:
        if hooks.active:
            hooks.emit(each)
    return (time.perf_counter() - began) / EVENTS


def measure() -> dict[str, float]:
    """Return all figures in microseconds, each the median of several rounds."""
    over, calling, emitting, silent = [], [], [], []
    for _ in range(ROUNDS):
        mine = own()
        calling.append(mine)
        over.append(told() - mine)
        hooks, _ = opened()
        emitting.append(emission(hooks))
        hooks.close()
        silent.append(emission(Emitter()))
    return {
        "over_us": median(over) * 1e6, "listeners_us": median(calling) * 1e6, "emit_us": median(emitting) * 1e6,
        "silent_us": median(silent) * 1e6,
    }  # fmt: skip


def rows(found: dict[str, float]) -> list[tuple[str, str]]:
    """Return what was measured as rows of a table."""
    return [
        (f"the {LISTENERS} listeners of a hook themselves", f"{found['listeners_us']:.1f} µs"),
        ("emitting and telling, over that", f"{found['over_us']:.1f} µs (at most {TARGET_US:.0f})"),
        ("of it in the thread that emits", f"{found['emit_us']:.1f} µs"),
        ("emitting where nobody listens", f"{found['silent_us']:.2f} µs"),
    ]
