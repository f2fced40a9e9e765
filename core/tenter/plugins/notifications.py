"""From events to notifications: each enabled notifier listens to every hook."""

from __future__ import annotations

import copy
import uuid as uuidlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tenter.contracts.hooks import CONTRACT, HOOKS, Event
from tenter.contracts.notifier import Notification, Notifier

VERSION = CONTRACT.partition(" ")[2]


def payload_of(value: Any) -> Any:
    """Return an event, or a value of one, as what JSON has."""
    if is_dataclass(value):
        return {each.name: payload_of(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): payload_of(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [payload_of(each) for each in value]
    return value


def notification_of(event: Event) -> Notification:
    """Return an event as a notification with an id of its own."""
    at = datetime.fromtimestamp(event.at, UTC)
    return Notification(
        message_id=str(uuidlib.uuid4()),
        event_type=event.event_type,
        version=VERSION,
        publisher=event.host,
        timestamp=at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        payload=payload_of(event),
    )


class Notifications:
    """Makes the notification of each event once, for all notifiers."""

    def __init__(self) -> None:
        self._last: tuple[Event, Notification] | None = None

    def of(self, event: Event) -> Notification:
        """Return the notification of an event; of the one that was asked for last, the same with a payload of its own,
        for what one notifier does to it is not to be sent by another."""
        last = self._last
        if last is None or last[0] is not event:
            last = self._last = (event, notification_of(event))
        return replace(last[1], payload=copy.deepcopy(last[1].payload))


class Forwarder:
    """Listens to every hook on behalf of one notifier."""

    def __init__(self, notifier: Notifier, notifications: Notifications) -> None:
        self._notifier, self._notifications = notifier, notifications

    def _forward(self, event: Event) -> None:
        self._notifier.notify(self._notifications.of(event))


for _name in HOOKS:
    setattr(Forwarder, _name, lambda self, event: self._forward(event))
