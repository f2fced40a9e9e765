"""Events as notifications."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter.contracts.hooks import HOOKS, Event, Port
from tenter.plugins.hooks import hooks_of
from tenter.plugins.notifications import Forwarder, Notifications, notification_of

WORDS = st.text(max_size=20)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: WORDS, int: st.integers(), bool: st.booleans(), str | None: st.none() | WORDS,
    float | None: st.none() | st.floats(-1e9, 1e9), tuple[str, ...]: st.lists(WORDS).map(tuple),
    tuple[Port, ...]: st.lists(st.builds(Port, WORDS, WORDS, WORDS, st.lists(WORDS).map(tuple))).map(tuple),
    Mapping[str, int]: st.dictionaries(WORDS, st.integers()), Mapping[str, str]: st.dictionaries(WORDS, WORDS),
}  # fmt: skip


def events(cls: type[Event]) -> st.SearchStrategy[Event]:
    """Return events of a class, whatever its fields hold."""
    hints = typing.get_type_hints(cls)
    fields = {each.name: PLAIN.get(hints[each.name]) for each in dataclasses.fields(cls)}
    fields["at"] = st.floats(0, 4e9)
    return st.builds(cls, **typing.cast(Any, fields))


@pytest.mark.parametrize("hook", HOOKS)
@given(data=st.data())
def test_any_event_is_json(hook: str, data: st.DataObject) -> None:
    event = data.draw(events(HOOKS[hook]))
    made = notification_of(event)
    assert made.event_type == event.event_type and made.publisher == event.host and made.version == "1.0"
    at = datetime.strptime(made.timestamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert abs(at.timestamp() - event.at) < 1e-5
    assert set(made.payload) == {field.name for field in dataclasses.fields(event)}
    assert json.loads(json.dumps(made.payload)) == made.payload


def test_all_notifiers_get_the_same_message() -> None:
    got: list[Any] = []
    notifications = Notifications()

    class Notifier:
        def notify(self, notification: Any) -> None:
            got.append(notification)

    first, second = (Forwarder(Notifier(), notifications) for _ in range(2))  # type: ignore[arg-type]
    assert hooks_of(Forwarder) == list(HOOKS)
    cls = HOOKS["service_up"]
    for _ in range(2):
        event = cls(at=0.0, host="h", binary="tenter-compute", service_host="h")  # type: ignore[call-arg]
        first.service_up(event)  # type: ignore[attr-defined]
        second.service_up(event)  # type: ignore[attr-defined]
    assert [each.message_id for each in got] == [got[0].message_id] * 2 + [got[2].message_id] * 2
    assert got[0].message_id != got[2].message_id


def test_what_a_notifier_does_to_its_payload_no_other_sees() -> None:
    got: list[Any] = []
    notifications = Notifications()

    class Clears:
        def notify(self, notification: Any) -> None:
            got.append(json.dumps(notification.payload))
            for value in notification.payload.values():
                if isinstance(value, (dict, list)):
                    value.clear()
            notification.payload.clear()

    port = Port("id", "mac", "network", ("10.0.0.1",))
    event = HOOKS["spawned"](**{  # type: ignore[arg-type]
        field.name: (port,) if field.name == "ports" else {"a": 1} if "Mapping" in str(field.type) else 1
        for field in dataclasses.fields(HOOKS["spawned"])
    })  # fmt: skip
    for forwarder in [Forwarder(Clears(), notifications) for _ in range(3)]:  # type: ignore[arg-type]
        forwarder.spawned(event)  # type: ignore[attr-defined]
    assert len(got) == 3 and len(set(got)) == 1 and json.loads(got[0])
