"""The conformance kit of notifiers."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from tenter import errors
from tenter.contracts.notifier import Notification, Notifier
from tenter.testing.general import PluginConformance

ODD: tuple[Mapping[str, Any], ...] = (
    {},
    {"name": "é\u2028\U0001f600\n\t\"'\\ \x00 %s {}", "": "", "a.b": None},
    {"deep": [[[{"x": [1, -1.5, True, None, [], {}]}]]], "large": 2**53, "small": 1e-300},
    {"text": "x" * (1 << 20)},
)


class NotifierConformance(PluginConformance):
    """What must hold of a notifier::

        class TestAcme(NotifierConformance):
            plugin = AcmeNotifier

            def arrived(self, notifier):
                return [json.loads(line) for line in Path("/var/spool/acme").read_text().splitlines()]

    ``arrived`` must be written: only the author knows where notifications go. ``take_away`` need be only if the target
    of a notifier can be away.
    """

    kind: ClassVar[str] = "notifier"
    base = Notifier

    def arrived(self, notifier: Any) -> list[Mapping[str, Any]]:
        """Return all that has arrived at the target, in order: of each its ``message_id``, ``event_type`` and
        ``payload``. Wait for what is on its way."""
        pytest.fail("override arrived(): only you know where the notifier sends its notifications")

    def take_away(self, notifier: Any) -> bool:
        """Make the target such that nothing can be sent, and return True; False if that cannot be done."""
        return False

    def test_each_arrives_once_in_order(self, ready: Notifier) -> None:
        """Each notification arrives once and whole, in the order in which they were told."""
        sent = [_notification({"number": number, "host": "h1"}) for number in range(50)]
        for each in sent:
            ready.notify(each)
        found = self.arrived(ready)
        assert [each["message_id"] for each in found] == [each.message_id for each in sent]
        assert [each["payload"] for each in found] == [each.payload for each in sent]
        assert {each["event_type"] for each in found} == {"server.spawned"}

    def test_odd_payloads(self, ready: Notifier) -> None:
        """Whatever JSON can hold arrives as it was sent: odd characters, nothing, much."""
        for payload in ODD:
            ready.notify(_notification(payload))
        assert [each["payload"] for each in self.arrived(ready)] == [dict(payload) for payload in ODD]

    def test_close_loses_nothing(self, make: Callable[..., Any]) -> None:
        """What was told before ``close`` arrives, and a notifier that is constructed anew adds to it."""
        first, second = _notification({"number": 1}), _notification({"number": 2})
        before = make()
        before.notify(first)
        before.close()
        after = make()
        assert [each["message_id"] for each in self.arrived(after)] == [first.message_id]
        after.notify(second)
        assert [each["message_id"] for each in self.arrived(after)] == [first.message_id, second.message_id]

    def test_closed(self, make: Callable[..., Any]) -> None:
        """To tell something to a notifier that is closed raises one of ``tenter.errors``."""
        notifier = make()
        notifier.close()
        with pytest.raises(errors.TenterError):
            notifier.notify(_notification({}))

    def test_two_processes(self, make: Callable[..., Any]) -> None:
        """Several notifiers with the same target, as several processes have, do not spoil each other's
        notifications."""
        notifiers = [make() for _ in range(3)]
        start = threading.Barrier(len(notifiers))

        def tell(number: int) -> list[str]:
            sent = [_notification({"from": number, "text": "é" * 3000}) for _ in range(40)]
            start.wait(30)
            for each in sent:
                notifiers[number].notify(each)
            return [each.message_id for each in sent]

        with ThreadPoolExecutor(len(notifiers)) as pool:
            told = list(pool.map(tell, range(len(notifiers))))
        found = self.arrived(notifiers[0])
        for number, sent in enumerate(told):
            assert [each["message_id"] for each in found if each["payload"]["from"] == number] == sent
        assert len(found) == sum(map(len, told))

    def test_target_away(self, ready: Notifier) -> None:
        """Where the target is away one of ``tenter.errors`` is raised, in good time, and the notifier can be
        closed."""
        if not self.take_away(ready):
            pytest.skip("override take_away() if the target can be away")
        with pytest.raises(errors.TenterError):
            ready.notify(_notification({}))
        ready.close()


def _notification(payload: Mapping[str, Any]) -> Notification:
    return Notification(
        message_id=str(uuid.uuid4()),
        event_type="server.spawned",
        version="1.0",
        publisher="conformance",
        timestamp="2026-01-31T12:00:00.000000Z",
        payload=payload,
    )
