"""A build fails and what it made cannot be removed: it stays claimed on its host until that has removed it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tenter.contracts.image import Image
from tenter.operations.model import COMPUTE, CONDUCTOR
from tenter.store import cell_schema, leftovers, lost, operations
from tests.conftest import MakeCloud
from tests.helpers.cloud import Cloud


def _heal(cloud: Cloud) -> None:
    cloud.virt._options.faults.clear()


def test_a_host_that_fails_at_the_clean_up_too_is_asked_again(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"faults": "spawn:1.0,destroy:1.0"}, compute={"report_interval": 0.2})
    uuid = cloud.create()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and "told to fail spawn" in row["fault"]["message"]
    assert row["host"] is None
    assert set(cloud.leftovers().values()) == {uuid} and cloud.ports() == {uuid}
    cloud.check()
    _heal(cloud)
    cloud.reaped()
    assert cloud.guests() == set()
    cloud.delete(uuid)
    cloud.empty()


def test_an_image_that_went_meanwhile(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"faults": "destroy:1.0"}, compute={"report_interval": 0.2})
    image: Image = cloud.image()
    cloud.embedded.image.delete(image.id)  # type: ignore[attr-defined]
    uuid = cloud.create()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and row["host"] is None
    assert "No image found" in row["fault"]["message"]
    cloud.check()
    cloud.delete(uuid)
    assert set(cloud.leftovers().values()) == {uuid}
    _heal(cloud)
    cloud.reaped()
    cloud.empty()


def test_a_clean_failure_keeps_nothing(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"faults": "spawn:1.0"})
    row = cloud.settled(cloud.create())
    assert row["vm_state"] == "error" and row["host"] is None
    assert cloud.ports() == set()
    cloud.check()


def _move_on(cloud: Cloud, uuid: str) -> None:
    """Take the build off its host, which counts as down, as a conductor does that is about to ask the next."""
    for runner in cloud.embedded.conductor.runners.values():
        runner.stop(0)
    db, table = cloud.cell.db, cell_schema.operations
    (held,) = lost.on_hosts(db, table, ["host-1"], COMPUTE, held=True)
    assert lost.move(db, table, held, "lost", CONDUCTOR)
    with db.write() as connection:
        leftovers.leave(connection, uuid, "built elsewhere", [])


def _made_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, moved_on: list[str]) -> None:
    """Build a server, and assert that its host makes nothing once the build is in ``moved_on``."""
    real, spawned = cloud.virt.spawn, []
    monkeypatch.setattr(cloud.virt, "spawn", lambda request: (spawned.append(request.uuid), real(request))[1])
    uuid = cloud.create()
    until = time.monotonic() + 5
    while not moved_on or cloud.embedded.compute._runner._held:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert moved_on == [uuid] and spawned == []
    assert cloud.leftovers() == {} and cloud.guests() == set()


def test_a_step_that_was_taken_off_its_host_makes_nothing_after_its_leftover_was_removed(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    reaper, begun = cloud.embedded.compute._reaper, []
    real = reaper.begin

    def begin(uuid: str) -> bool:
        # The process was stopped here until its host counted as down.
        _move_on(cloud, uuid)
        begun.append(uuid)
        return bool(real(uuid))

    monkeypatch.setattr(reaper, "begin", begin)
    _made_nothing(cloud, monkeypatch, begun)


def test_a_step_makes_nothing_after_the_reaper_has_removed_what_it_would_be_known_by(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    claimed: list[str] = []
    real = operations.claim

    def claim(db: Any, table: Any, uuid: str, role: str, *rest: Any) -> Any:
        operation = real(db, table, uuid, role, *rest)
        if role != COMPUTE or operation is None or operation.kind != "build" or claimed:
            return operation
        # This thread was stopped here until its host counted as down; the reaper's came first when it went on.
        _move_on(cloud, operation.instance_uuid)
        cloud.embedded.compute._reap()
        assert cloud.leftovers() == {}
        claimed.append(operation.instance_uuid)
        return operation

    monkeypatch.setattr(operations, "claim", claim)
    _made_nothing(cloud, monkeypatch, claimed)
