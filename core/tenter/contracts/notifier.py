"""Notifiers: where the events of the fabric are sent to: a file, a message bus, a web hook."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenter.contracts.base import Plugin

CONTRACT = "notifier 1.0"


@dataclass(frozen=True)
class Notification:
    """One event of :mod:`tenter.contracts.hooks`, in a form that can be sent anywhere."""

    message_id: str
    """A UUID of its own, the same for all notifiers of the process that tells it."""

    event_type: str
    """Such as ``server.spawned``."""

    version: str
    """Version of the payload, ``MAJOR.MINOR``: a new minor one adds fields, a new major one may change any."""

    publisher: str
    """Name of the host whose process tells it."""

    timestamp: str
    """When it happened: ISO 8601, UTC, microseconds, such as ``2026-01-31T12:00:00.000000Z``."""

    payload: Mapping[str, Any]
    """The fields of the event, as what JSON has: objects, arrays, strings, numbers, true, false and null."""


class Notifier(Plugin, abc.ABC):
    """What every notifier must do. It is called in one thread, in order, and should take milliseconds."""

    contract = CONTRACT

    @abc.abstractmethod
    def notify(self, notification: Notification) -> None:
        """Send it, or raise. What it raises is logged and counted; the notification is not offered again, and nothing
        else is disturbed."""
