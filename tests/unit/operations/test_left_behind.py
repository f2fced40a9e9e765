"""A build fails and what it made cannot be removed: it stays claimed on its host until that has removed it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tenter.contracts.image import Image
from tenter.operations.model import COMPUTE, CONDUCTOR
from tenter.store import leftovers, lost, operations
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


def test_a_step_that_was_taken_off_its_host_makes_nothing_after_its_leftover_was_removed(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    runner, begun, spawned = cloud.embedded.compute._runner, [], []
    real_begin, real_spawn = runner._guard.begin, cloud.virt.spawn

    def begin(uuid: str) -> bool:
        # The process was stopped here until its host counted as down, and the conductor was about to ask the next.
        for other in cloud.embedded.conductor.runners.values():
            other.stop(0)
        source = runner._sources[0]
        (operation,) = lost.on_hosts(source.db, source.table, ["host-1"], COMPUTE, held=True)
        assert lost.move(source.db, source.table, operation, "lost", CONDUCTOR)
        with source.db.write() as connection:
            leftovers.leave(connection, uuid, "built elsewhere", [])
        begun.append(uuid)
        return bool(real_begin(uuid))

    monkeypatch.setattr(runner._guard, "begin", begin)
    monkeypatch.setattr(cloud.virt, "spawn", lambda request: (spawned.append(request.uuid), real_spawn(request))[1])
    uuid = cloud.create()
    until = time.monotonic() + 5
    while not begun or runner._held:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert begun == [uuid] and spawned == []
    assert cloud.leftovers() == {} and cloud.guests() == set()


def test_a_step_makes_nothing_after_the_reaper_has_removed_what_it_would_be_known_by(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    compute = cloud.embedded.compute
    runner, begun, spawned = compute._runner, [], []
    real_claim, real_spawn = operations.claim, cloud.virt.spawn

    def claim(db: Any, table: Any, uuid: str, role: str, *rest: Any) -> Any:
        operation = real_claim(db, table, uuid, role, *rest)
        if role != COMPUTE or operation is None or operation.kind != "build" or begun:
            return operation
        # This thread was stopped here until its host counted as down; the reaper's came first when it went on.
        for other in cloud.embedded.conductor.runners.values():
            other.stop(0)
        (held,) = lost.on_hosts(db, table, ["host-1"], COMPUTE, held=True)
        assert lost.move(db, table, held, "lost", CONDUCTOR)
        with db.write() as connection:
            leftovers.leave(connection, operation.instance_uuid, "built elsewhere", [])
        compute._reap()
        assert cloud.leftovers() == {}
        begun.append(operation.instance_uuid)
        return operation

    monkeypatch.setattr(operations, "claim", claim)
    monkeypatch.setattr(cloud.virt, "spawn", lambda request: (spawned.append(request.uuid), real_spawn(request))[1])
    uuid = cloud.create()
    until = time.monotonic() + 5
    while not begun or runner._held:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert begun == [uuid] and spawned == []
