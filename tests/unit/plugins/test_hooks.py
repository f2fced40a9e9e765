"""Listeners: what is accepted as one, and that none of them disturbs the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter import errors
from tenter.conf import new_conf
from tenter.contracts import hooks as contract
from tenter.contracts.base import PluginSetup
from tenter.contracts.hooks import HOOKS, Event, HookListener, HookSpecs, ServiceDown, ServiceUp
from tenter.plugins import hooks
from tenter.plugins.dispatch import Call, Dispatcher, Listener
from tenter.plugins.hooks import Registry, hooks_of

BUDGET = 0.05
Open = Callable[..., Dispatcher]


def up(host: str = "h") -> ServiceUp:
    return ServiceUp(at=time.time(), host="here", binary="tenter-compute", service_host=host)


def down() -> ServiceDown:
    return ServiceDown(at=time.time(), host="here", binary="tenter-compute", service_host="h", reason="stopped")


def wait_for(what: Callable[[], object], timeout: float = 10) -> None:
    until = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < until
        time.sleep(0.005)


def said(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open dispatchers on functions by plugin name; each listens to service_up and service_down."""
    made: list[Dispatcher] = []

    def open_(size: int = 100, **functions: Callable[[Any], object]) -> Dispatcher:
        listeners = {
            name: Listener("hook", name, lambda name=name: f"from dist-{name} 1.0", lambda: None) for name in functions
        }
        table = {
            event: [Call(listeners[name], hook, function) for name, function in functions.items()]
            for hook, event in HOOKS.items()
            if hook.startswith("service_")
        }
        made.append(Dispatcher("here", list(listeners.values()), table, BUDGET, size))
        return made[-1]

    yield open_
    for dispatcher in made:
        dispatcher.close()


class Proper(HookListener):
    """A listener with a helper, an attribute and a constant of its own."""

    LIMIT = 3

    def __init__(self, setup: Any = None) -> None:
        super().__init__(setup)
        self.seen: list[str] = []
        self.callback = print

    def deleted(self, event: contract.Deleted) -> None:
        self._note("deleted")

    def claimed(self, event: Any) -> None:
        self._note("claimed")

    def _note(self, what: str) -> None:
        self.seen.append(what)


class Child(Proper):
    def spawned(self, event: Any) -> None: ...


def test_a_listener_has_the_hooks_that_it_defines_or_inherits() -> None:
    assert hooks_of(Proper) == ["claimed", "deleted"]
    assert hooks_of(Child) == ["claimed", "spawned", "deleted"]
    assert hooks_of(HookListener) == []


def test_pluggy_knows_what_a_listener_implements() -> None:
    registry, first, second = Registry(), Proper(), Child()
    registry.register(first, "first")
    registry.register(second, "second")
    assert [name for name, _ in registry.implementations("claimed")] == ["first", "second"]
    assert [name for name, _ in registry.implementations("spawned")] == ["second"]
    for _, method in registry.implementations("claimed"):
        method(up())
    assert first.seen == second.seen == ["claimed"]
    assert list(registry.implementations("service_up")) == []


def test_a_misspelt_hook_is_named_with_the_nearest() -> None:
    class Misspelt(HookListener):
        def server_spawnd(self, event: Any) -> None: ...

    class Spawnd(HookListener):
        def spawnd(self, event: Any) -> None: ...

    with pytest.raises(errors.PluginBroken, match="server_spawnd is no hook"):
        hooks_of(Misspelt)
    with pytest.raises(errors.PluginBroken, match="spawnd is no hook; did you mean spawned?"):
        hooks_of(Spawnd)


names = st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True)


@given(names)
def test_every_public_method_is_a_hook_or_an_error(name: str) -> None:
    cls = type("Any", (HookListener,), {name: lambda self, event: None})
    if name in HOOKS or hasattr(HookListener, name):
        assert hooks_of(cls) == ([name] if name in HOOKS else [])
    else:
        with pytest.raises(errors.PluginBroken, match=f"^{name} is no hook"):
            hooks_of(cls)


async def _late(self: Any, event: Any) -> None: ...


def _yields(self: Any, event: Any) -> Any:
    yield


@pytest.mark.parametrize(
    "method",
    [lambda self: None, lambda self, server: None, lambda self, event, more: None, lambda self, *event: None,
     lambda self, *, event: None, lambda self, event, **more: None, _late, _yields,
     staticmethod(lambda event: None), classmethod(lambda cls, event: None)],
)  # fmt: skip
def test_a_hook_with_another_signature_is_an_error(method: Any) -> None:
    with pytest.raises(errors.PluginBroken, match="^spawned "):
        hooks_of(type("Odd", (HookListener,), {"spawned": method}))


def test_the_specification_is_whole() -> None:
    assert 12 <= len(HOOKS) <= 16
    assert len(set(HOOKS.values())) == len(HOOKS), "an event says by its class which hook it is for"
    assert len({event.event_type for event in HOOKS.values()}) == len(HOOKS)
    for name, event in HOOKS.items():
        assert event.event_type.replace(".", "_").endswith(name), "hooks and notifications are called alike"
        assert (getattr(HookSpecs, name).__doc__ or "").strip().endswith(".")
        assert (event.__doc__ or "").strip().endswith(".")


def test_events_arrive_in_order_and_listeners_in_theirs(opened: Open) -> None:
    heard: list[tuple[str, Event]] = []
    hooks = opened(one=lambda event: heard.append(("one", event)), two=lambda event: heard.append(("two", event)))
    events = [up(str(number)) if number % 3 else down() for number in range(50)]
    for event in events:
        hooks.emit(event)
    hooks.close()
    assert heard == [(name, event) for event in events for name in ("one", "two")]


def test_what_nobody_listens_to_takes_no_room(opened: Open) -> None:
    hooks = opened(size=1, one=lambda event: time.sleep(BUDGET / 2))
    for _ in range(20):
        hooks.emit(contract.Deleted(at=0, host="h", instance_uuid="u", project_id="p", user_id="u", name="n",
                                    server_host=None))  # fmt: skip
    assert hooks.figures().dropped == 0


@pytest.mark.parametrize("error", [RuntimeError("no\nway"), SystemExit(3), KeyboardInterrupt()])
def test_one_that_raises_is_logged_counted_and_nothing_else(
    opened: Open, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    heard: list[Event] = []

    def fail(event: Event) -> None:
        raise error

    hooks = opened(bad=fail, good=heard.append)
    hooks.emit(up())
    hooks.emit(down())
    hooks.close()
    assert len(heard) == 2
    lines = said(caplog)
    assert len(lines) == 2 and all("'bad' (from dist-bad 1.0) failed at service_" in line for line in lines)
    assert not any("\n" in line for line in lines)
    counts = {(count.plugin, count.hook): (count.calls, count.failures) for count in hooks.figures().counts}
    assert counts["bad", "service_up"] == (1, 1) and counts["good", "service_up"] == (1, 0)


def test_a_slow_one_is_logged_and_counted(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    hooks = opened(lazy=lambda event: time.sleep(BUDGET * 2), quick=lambda event: None)
    hooks.emit(up())
    wait_for(lambda: hooks.figures().counts[1].calls)
    assert [(count.plugin, count.slow) for count in hooks.figures().counts[:2]] == [("lazy", 1), ("quick", 0)]
    assert len(said(caplog)) == 1 and "'lazy'" in said(caplog)[0] and "budget = 0.05" in said(caplog)[0]


def test_one_that_never_returns_is_taken_out_and_the_others_go_on(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, Event]] = []
    forever = threading.Event()

    def hang(event: Event) -> None:
        if isinstance(event, ServiceDown):
            forever.wait()
        heard.append(("hung", event))

    hooks = opened(first=lambda event: heard.append(("first", event)), hung=hang,
                   last=lambda event: heard.append(("last", event)))  # fmt: skip
    events = [up("1"), down(), up("2")]
    for event in events:
        hooks.emit(event)
    assert hooks.figures().taken_out == []
    wait_for(lambda: len(heard) == 7)
    first, hanging, after = events
    assert heard == [("first", first), ("hung", first), ("last", first), ("first", hanging), ("last", hanging),
                     ("first", after), ("last", after)]  # fmt: skip
    lines = said(caplog, logging.ERROR)
    assert len(lines) == 1
    for words in ("'hung'", "dist-hung 1.0", "service_down", "not called again", "take it out of the configuration"):
        assert words in lines[0]
    assert hooks.figures().taken_out == [("hook", "hung")]
    forever.set()  # it comes back after all, too late
    time.sleep(BUDGET)
    hooks.emit(up("3"))
    wait_for(lambda: len(heard) >= 10)
    assert [name for name, _ in heard[7:]] in (["hung", "first", "last"], ["first", "hung", "last"],
                                               ["first", "last", "hung"])  # fmt: skip
    assert {name for name, event in heard if event is not hanging and event not in events} == {"first", "last"}


def test_too_many_events_are_dropped_with_one_line(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    go, heard = threading.Event(), []

    def hold(event: Event) -> None:
        heard.append(event)
        go.wait(5)

    hooks = opened(size=3, slow=hold)
    hooks.emit(up("0"))
    wait_for(lambda: heard)
    for number in range(1, 11):
        hooks.emit(up(str(number)))
    assert hooks.figures().dropped == 7
    go.set()
    wait_for(lambda: len(heard) == 4)
    assert len([line for line in said(caplog) if "dropped" in line]) == 1


def test_emitting_waits_for_nobody(opened: Open) -> None:
    hooks = opened(lazy=lambda event: time.sleep(BUDGET))
    began = time.perf_counter()
    for _ in range(90):
        hooks.emit(up())
    assert time.perf_counter() - began < BUDGET


def test_the_end_waits_for_the_budget_at_most(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    hooks = opened(stuck=lambda event: time.sleep(60))
    for _ in range(5):
        hooks.emit(up())
    began = time.monotonic()
    hooks.close()
    assert BUDGET <= time.monotonic() - began < 10 * BUDGET
    assert "4 events were not told" in said(caplog)[0] and "'stuck'" in said(caplog)[0]
    assert not hooks.active
    hooks.close()


def test_listeners_are_closed_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []

    def fail() -> None:
        raise RuntimeError("stays open")

    listeners = [Listener("hook", "a", str, fail), Listener("hook", "b", str, lambda: closed.append("b"))]
    Dispatcher("here", listeners, {}, 1.0, 10).close()
    assert closed == ["b"] and "stays open" in said(caplog)[0]


def test_a_plain_setup_is_enough(tmp_path: Path) -> None:
    listener = Proper(PluginSetup(conf=None, state_dir=tmp_path))  # type: ignore[arg-type]
    assert listener.setup.state_dir == tmp_path


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


def test_an_error_that_cannot_be_printed_silences_nobody(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def fail(event: Event) -> None:
        raise Unspeakable

    dispatcher = opened(bad=fail, good=heard.append)
    for _ in range(3):
        dispatcher.emit(up())
    wait_for(lambda: len(heard) == 3)
    assert {count.failures for count in dispatcher.figures().counts if count.plugin == "bad"} == {0, 3}
    (first, *_) = [line for line in said(caplog) if "failed at service_up" in line]
    assert "'bad' (from dist-bad 1.0)" in first and "Unspeakable" in first


def test_a_listener_that_cannot_be_closed_keeps_nobody_from_it(caplog: pytest.LogCaptureFixture) -> None:
    closed = threading.Event()

    def fail() -> None:
        raise Unspeakable

    listeners = [Listener("hook", name, lambda: "from a 1", close) for name, close in (("a", fail), ("b", closed.set))]
    Dispatcher("here", listeners, {}, BUDGET, 10).close()
    assert closed.is_set() and "Unspeakable" in "".join(said(caplog))


class Raises:
    """A descriptor that cannot be read."""

    def __get__(self, instance: object, owner: type) -> object:
        raise Unspeakable


class Descriptor(Proper):
    extra = Raises()


class Secretive(Proper):
    def __dir__(self) -> list[str]:
        raise Unspeakable


def test_a_class_whose_attributes_cannot_be_read_is_broken() -> None:
    with pytest.raises(errors.PluginBroken, match="its attributes cannot be read: Unspeakable"):
        hooks_of(Descriptor)


@pytest.mark.parametrize(
    ("bad", "why"), [((Secretive, "two"), "Unspeakable"), ((None, "two"), "the same object as the hook listener 'one'")]
)
def test_one_that_cannot_be_registered_is_left_out(
    bad: tuple[type | None, str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    cls, name = bad
    one, three = Proper(), Proper()
    loaded = {"hook": [("one", one), (name, cls() if cls else one), ("three", three)], "notifier": []}
    monkeypatch.setattr(hooks, "load_all", lambda kind, *more: loaded[kind])
    dispatcher = hooks.open_dispatcher(new_conf([]), tmp_path)
    try:
        (line,) = said(caplog, logging.ERROR)
        assert line.startswith("The hook listener 'two' (from ") and why in line
        assert {count.plugin for count in dispatcher.figures().counts} == {"one", "three"}
    finally:
        dispatcher.close()
