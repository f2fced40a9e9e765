"""Servers through their life, with the real store, runner, conductor and compute, and every driver but virt real."""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from oslo_db import exception as db_exception

from tenter import errors
from tenter.operations import requests
from tenter.operations.requests import Caller, RebuildServer
from tenter.store import aggregates, cell_schema
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, Cloud


def test_a_server_lives_and_leaves_nothing(cloud: Cloud) -> None:
    uuid = cloud.create("first", nics=2, user_data=base64.b64encode(b"#!/bin/sh").decode(), admin_password="s3cret")
    row = cloud.active(uuid)
    assert row["host"] == "host-1" and row["power_state"] == 1 and row["launched_at"]
    assert len({vif["fixed_ips"][0]["address"] for vif in row["network_info"]}) == 2
    cloud.check()
    for act, state, power in (
        (lambda: cloud.requests.stop(CALLER, uuid), "stopped", 4),
        (lambda: cloud.requests.start(CALLER, uuid), "active", 1),
        (lambda: cloud.requests.reboot(CALLER, uuid, False), "active", 1),
        (lambda: cloud.requests.reboot(CALLER, uuid, True), "active", 1),
        (lambda: cloud.requests.rebuild(CALLER, uuid, RebuildServer(image=cloud.image(), name="second")), "active", 1),
    ):
        act()
        after = cloud.settled(uuid)
        assert (after["vm_state"], after["power_state"], after["fault"]) == (state, power, None)
    assert after["display_name"] == "second" and after["network_info"] == row["network_info"]
    assert "rebooted" not in cloud.requests.console_output(CALLER, uuid, 1)
    with cloud.cell.db.read() as connection:
        assert "s3cret" not in str(connection.execute(cell_schema.operations.select()).all())
    cloud.delete(uuid)
    cloud.empty()


def test_a_stopped_server_that_is_rebuilt_stays_stopped(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    cloud.requests.stop(CALLER, uuid)
    cloud.settled(uuid)
    cloud.requests.rebuild(CALLER, uuid, RebuildServer(image=cloud.image()))
    row = cloud.settled(uuid)
    assert (row["vm_state"], row["power_state"]) == ("stopped", 4)


def test_what_a_state_does_not_allow_is_a_conflict(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    with pytest.raises(errors.Conflict, match=f"Cannot 'start' instance {uuid} while it is in vm_state active"):
        cloud.requests.start(CALLER, uuid)
    stranger = Caller("other", "0" * 32, "req-other")
    for act in (cloud.requests.delete, cloud.requests.stop, cloud.requests.start):
        with pytest.raises(errors.NotFound):
            act(stranger, uuid)
    cloud.delete(uuid)
    with pytest.raises(errors.NotFound):
        cloud.requests.delete(CALLER, uuid)


def test_many_at_once_are_created_and_deleted(cloud: Cloud) -> None:
    cloud.image()
    with ThreadPoolExecutor(8) as pool:
        uuids = list(pool.map(lambda n: cloud.create(f"vm{n}"), range(24)))
        rows = [cloud.active(uuid, 30) for uuid in uuids]
        assert len({row["network_info"][0]["fixed_ips"][0]["address"] for row in rows}) == 24
        cloud.check()
        # each is deleted twice at the same time
        list(pool.map(_delete_quietly, [(cloud, uuid) for uuid in uuids * 2]))
    for uuid in uuids:
        cloud.wait(uuid, lambda row: row is None, 30)
    cloud.idle()
    cloud.empty()


def _delete_quietly(what: tuple[Cloud, str]) -> None:
    cloud, uuid = what
    try:
        cloud.requests.delete(CALLER, uuid)
    except errors.NotFound:
        pass


def test_a_delete_interrupts_a_long_spawn(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"spawn_delay": 30})
    uuid = cloud.create()
    cloud.wait(uuid, lambda row: row is not None and row["task_state"] == "spawning")
    began = time.monotonic()
    cloud.delete(uuid)
    assert time.monotonic() - began < 8
    cloud.empty()


def test_a_failing_spawn_says_which_host_and_why(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"faults": "spawn:1.0"})
    uuid = cloud.create()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and row["host"] is None and row["network_info"] == []
    message, details = row["fault"]["message"], row["fault"]["details"]
    assert message.startswith("No valid host was found. 1 of 1 hosts failed: The fake driver was told to fail")
    assert "host-1" not in message and details.startswith("host-1: The fake driver was told to fail")
    assert cloud.ports() == set() and cloud.guests() == set()
    cloud.check()
    cloud.delete(uuid)
    cloud.empty()


def test_no_valid_host_says_with_which_figures(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"memory_mib": 600}, compute={"reserved_host_memory_mb": 0})
    uuid = cloud.create(flavor="3")
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error"
    assert "ram.short (asked 4096, at most 600 free)" in row["fault"]["message"]
    cloud.check()
    cloud.delete(uuid)
    cloud.empty()


def test_capacity_is_never_exceeded_and_comes_back(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"memory_mib": 3 * 128}, compute={"reserved_host_memory_mb": 0})
    cloud.image()
    uuids = [cloud.create(nics=0) for _ in range(6)]
    states = [cloud.settled(uuid)["vm_state"] for uuid in uuids]
    assert sorted(states) == ["active"] * 3 + ["error"] * 3
    cloud.check()
    for uuid in uuids:
        cloud.delete(uuid)
    cloud.active(cloud.create(nics=0))


def test_a_damaged_image_is_an_error_that_says_so(cloud: Cloud) -> None:
    image = cloud.image(b"x" * 100)
    path = next(p for p in (cloud.state_dir / "image").rglob(f"*{image.id}*") if p.is_file())
    path.chmod(0o600)
    path.write_bytes(b"y" * 100)
    uuid = cloud.create()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and "checksum" in row["fault"]["message"]
    assert cloud.ports() == set()
    cloud.check()
    cloud.delete(uuid)
    cloud.empty()


@pytest.mark.parametrize(
    ("error", "words"),
    [(errors.NetworkFailed("The wire is cut."), "The wire is cut."), (ValueError("secret"), "ValueError")],
)
def test_a_network_that_fails(cloud: Cloud, monkeypatch: Any, error: Exception, words: str) -> None:
    def fail(request: Any) -> Any:
        raise error

    monkeypatch.setattr(cloud.embedded.network, "allocate", fail)
    uuid = cloud.create()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and words in row["fault"]["message"] and "secret" not in row["fault"]["message"]
    cloud.check()
    cloud.delete(uuid)
    cloud.empty()


def test_a_network_that_blocks_is_given_up_and_what_it_made_late_is_removed(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(compute={"network_timeout": 1})
    real, go = cloud.embedded.network.allocate, threading.Event()

    def block(request: Any) -> Any:
        go.wait(20)
        return real(request)

    cloud.embedded.network.allocate = block  # type: ignore[method-assign]
    uuid = cloud.create()
    try:
        row = cloud.settled(uuid, 8)
        assert row["vm_state"] == "error" and "not allocated within 1 s" in row["fault"]["message"]
        cloud.delete(uuid)
    finally:
        go.set()
    until = time.monotonic() + 5
    time.sleep(0.2)
    while cloud.ports() and time.monotonic() < until:
        time.sleep(0.02)
    cloud.empty()


@pytest.mark.parametrize(("method", "act"), [("power_off", "stop"), ("reboot", "reboot")])
def test_a_task_that_fails_leaves_the_true_state_and_a_fault(cloud: Cloud, method: str, act: str) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    cloud.conf.set_override("faults", {method: "1.0"}, group="fake")
    args = (True,) if act == "reboot" else ()
    getattr(cloud.requests, act)(CALLER, uuid, *args)
    row = cloud.settled(uuid)
    assert row["vm_state"] == "active" and "told to fail" in row["fault"]["message"]


def test_a_spawn_begun_too_often_is_given_up_and_cleaned(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations={"max_takeovers": 1})
    uuid = _die_after_spawn(cloud)
    assert cloud.guests() == {uuid} and cloud.ports() == {uuid}
    cloud.start()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and "never came to an end" in row["fault"]["message"]
    assert cloud.guests() == set() and cloud.ports() == set()
    cloud.delete(uuid)
    cloud.empty()


def test_after_its_deadline_a_build_fails_but_a_delete_goes_on(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations={"deadline": 1})
    uuid = _die_after_spawn(cloud)
    time.sleep(1)
    cloud.start()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and "not done within 1 s" in row["fault"]["message"]
    assert cloud.guests() == set() and cloud.ports() == set()
    for runner in (cloud.embedded.compute._runner, *cloud.embedded.conductor.runners.values()):
        runner._stopping = True
    cloud.requests.delete(CALLER, uuid)
    cloud.drop()
    time.sleep(1.1)
    cloud.start()
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    cloud.empty()


def _die_after_spawn(cloud: Cloud) -> str:
    from tests.helpers.moments import Crash, Moments

    cloud.image()
    killed = Moments(cloud)
    real = cloud.virt.spawn

    def spawn(request: Any) -> Any:
        real(request)
        killed.dead.set()
        raise Crash("after spawn")

    cloud.virt.spawn = spawn  # type: ignore[method-assign]
    uuid = cloud.create()
    assert killed.dead.wait(10)
    cloud.drop()
    return uuid


def test_what_is_changed_while_it_is_scheduled_is_kept(cloud: Cloud, monkeypatch: Any) -> None:
    from tenter.operations import build

    real, found = build.Placing, []

    def slow(*args: Any) -> Any:
        while not found:
            time.sleep(0.001)
        cloud.requests.update(CALLER, found[0], {"display_name": "renamed", "tags": ["a"]})
        return real(*args)

    monkeypatch.setattr(build, "Placing", slow)
    found.append(cloud.create("before"))
    row = cloud.active(found[0])
    assert (row["display_name"], row["tags"]) == ("renamed", ["a"])


def test_a_host_that_was_renamed_keeps_its_servers_and_aggregates(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    uuid = cloud.create()
    cloud.active(uuid)
    fast = aggregates.create_aggregate(cloud.fabric.api_db, "fast").id
    aggregates.add_host(cloud.fabric.api_db, fast, "host-1", lambda moves: None)
    cloud.stop()
    cloud.sections["DEFAULT"] = {"host": "host-renamed"}
    cloud.start()
    cloud.requests.reboot(CALLER, uuid, True)
    row = cloud.active(uuid)
    assert (row["host"], row["node"]) == ("host-renamed", "host-renamed")
    assert aggregates.get_aggregate(cloud.fabric.api_db, fast).hosts == ("host-renamed",)
    cloud.delete(uuid)
    cloud.empty()


def test_a_guest_that_dies_by_itself_shows_as_stopped(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(compute={"power_sync_interval": 0.1})
    uuid = cloud.create()
    cloud.active(uuid)
    guest = cloud.virt.files.get(uuid)
    cloud.virt.files.put({**guest, "power": 4})
    row = cloud.wait(uuid, lambda row: row is not None and row["vm_state"] == "stopped")
    assert row["power_state"] == 4
    cloud.requests.start(CALLER, uuid)
    cloud.active(uuid)


def test_a_start_in_the_moment_of_a_rebuild_is_not_undone(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    cloud.requests.stop(CALLER, uuid)
    cloud.settled(uuid)
    real, refused, over = requests.rebuilt_spec, [], threading.Event()

    def start() -> None:
        try:
            cloud.requests.start(CALLER, uuid)
            cloud.settled(uuid)
        except errors.Conflict as exc:
            refused.append(str(exc))
        over.set()

    def rebuilt_spec(*args: Any) -> Any:
        threading.Thread(target=start).start()
        over.wait(1)
        return real(*args)

    monkeypatch.setattr(requests, "rebuilt_spec", rebuilt_spec)
    cloud.requests.rebuild(CALLER, uuid, RebuildServer(image=cloud.image()))
    assert over.wait(10)
    row = cloud.settled(uuid)
    assert (bool(refused), row["vm_state"], row["power_state"]) in [(True, "stopped", 4), (False, "active", 1)]


def test_a_transaction_that_crossed_anothers_is_made_again(cloud: Cloud, monkeypatch: Any) -> None:
    from tenter.operations import build

    real, tried = build.Placing, []

    def crossed(*args: Any) -> Any:
        tried.append(1)
        if len(tried) < 3:
            raise db_exception.DBDeadlock
        return real(*args)

    monkeypatch.setattr(build, "Placing", crossed)
    cloud.active(cloud.create())
    assert len(tried) == 3
