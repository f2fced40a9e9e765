"""A driver's call that does not come back holds up neither its operation beyond the deadline nor a delete for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tenter.operations import runner
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud

SOON = {"lease": 1, "watch_interval": 0.1, "deadline_build": 2, "deadline_reboot": 1, "delete_retries": 1}


@pytest.fixture
def hung() -> Iterator[threading.Event]:
    """What calls hang on."""
    event = threading.Event()
    yield event
    event.set()


def _hang(cloud: Cloud, name: str, on: threading.Event) -> None:
    real: Any = getattr(cloud.virt, name)

    def call(request: Any) -> Any:
        assert on.wait(60)
        return real(request)

    setattr(cloud.virt, name, call)


def test_a_build_ends_at_its_deadline_and_its_guest_goes_when_it_comes(
    make_cloud: MakeCloud, hung: threading.Event
) -> None:
    cloud = make_cloud(operations=SOON, compute={"report_interval": 0.2})
    _hang(cloud, "spawn", hung)
    uuid = cloud.create()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and "was not done within" in row["fault"]["message"]
    assert list(cloud.leftovers().values()) == [uuid]
    hung.set()
    cloud.reaped()
    cloud.check()
    assert cloud.guests() == set()
    cloud.delete(uuid)
    cloud.empty()


def test_a_delete_behind_a_hung_call_leaves_the_guest_to_the_host(
    make_cloud: MakeCloud, hung: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BUSY_PATIENCE", 1.0)
    cloud = make_cloud(operations=SOON, compute={"report_interval": 0.2})
    uuid = cloud.create()
    cloud.active(uuid)
    _hang(cloud, "reboot", hung)
    cloud.requests.reboot(CALLER, uuid, True)
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and "was not done within" in row["fault"]["message"]
    cloud.delete(uuid, timeout=15)
    assert list(cloud.leftovers().values()) == [uuid] and cloud.guests() == {uuid}
    hung.set()
    cloud.reaped()
    cloud.empty()


def test_a_delete_that_was_there_before_the_deadline(
    make_cloud: MakeCloud, hung: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BUSY_PATIENCE", 1.0)
    cloud = make_cloud(operations={**SOON, "deadline_reboot": 2}, compute={"report_interval": 0.2})
    uuid = cloud.create()
    cloud.active(uuid)
    _hang(cloud, "reboot", hung)
    cloud.requests.reboot(CALLER, uuid, True)
    cloud.delete(uuid, timeout=20)
    hung.set()
    cloud.reaped()
    cloud.empty()
