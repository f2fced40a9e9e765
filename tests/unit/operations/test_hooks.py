"""What listeners hear of a cloud, and when: through the real runner, conductor, compute and dispatcher."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.contracts import hooks as contract
from tenter.store import cell_schema
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, PROJECT, Cloud
from tests.helpers.distributions import install
from tests.helpers.hosts import Host

TELL = """
    from tenter.contracts.hooks import HOOKS, HookListener

    class Tell(HookListener):
        contract = "hooks 1.0"

        def __init__(self, setup):
            super().__init__(setup)
            self.heard = []

    for _name in HOOKS:
        setattr(Tell, _name, lambda self, event, name=_name: None)
        exec(f"def {_name}(self, event): self.heard.append(('{_name}', event))")
        setattr(Tell, _name, locals()[_name])
"""
Heard = list[tuple[str, Any]]
Open = Callable[..., tuple[Cloud, Heard]]


@pytest.fixture
def open_cloud(make_cloud: MakeCloud, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Start a cloud whose listener keeps all that it hears; return both, once it has heard that all is up."""
    points = {"tenter.hooks": {"tell": "tenter_tell:Tell"}}
    install(tmp_path / "site", "tenter-tell", points, {"tenter_tell.py": TELL})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def open_(**sections: Any) -> tuple[Cloud, Heard]:
        cloud = make_cloud(hooks={"enabled": "tell"}, **sections)
        dispatcher: Any = cloud.fabric.hooks
        (call, *_) = dispatcher.table[contract.Spawned]
        heard = call.function.__self__.heard
        while names(heard).count("service_up") < 2:
            time.sleep(0.01)
        del heard[:]
        return cloud, heard

    return open_


def names(heard: Heard, uuid: str | None = None) -> list[str]:
    return [name for name, event in heard if uuid is None or getattr(event, "instance_uuid", None) == uuid]


def await_(heard: Heard, *wanted: str, timeout: float = 10) -> None:
    until = time.monotonic() + timeout
    while not set(wanted) <= set(names(heard)):
        assert time.monotonic() < until, names(heard)
        time.sleep(0.01)


def one(heard: Heard, name: str) -> Any:
    (event,) = [event for each, event in heard if each == name]
    return event


def test_the_life_of_a_server(open_cloud: Open) -> None:
    cloud, heard = open_cloud()
    uuid = cloud.create("first", nics=2)
    row = cloud.active(uuid)
    await_(heard, "operation_ended")
    assert names(heard, uuid) == ["create_requested", "before_scheduling", "claimed", "network_allocated", "spawned",
                                  "state_changed", "operation_ended"]  # fmt: skip
    for name, event in heard:
        assert abs(event.at - time.time()) < 60 and event.host == "host-1"
        if isinstance(event, contract.ServerEvent):
            assert (event.project_id, event.user_id, event.name) == (PROJECT, CALLER.user_id, "first")
            assert event.request_id == "req-test", name
            early = name in ("create_requested", "before_scheduling")
            assert event.server_host == (None if early else "host-1"), name
    assert one(heard, "claimed").resources["VCPU"] == 1 and one(heard, "claimed").node == row["node"]
    ports = one(heard, "network_allocated").ports
    assert {(port.port_id, port.mac, *port.addresses) for port in ports} == {
        (vif["id"], vif["mac"], vif["fixed_ips"][0]["address"]) for vif in row["network_info"]
    }
    assert one(heard, "spawned").flavor == row["flavor"]["name"]
    change = one(heard, "state_changed")
    assert (change.old_vm_state, change.new_vm_state, change.old_power_state, change.new_power_state, change.task) == (
        "building", "active", 0, 1, "spawning")  # fmt: skip
    ended = one(heard, "operation_ended")
    assert (ended.operation, ended.outcome, ended.reason, ended.request_id) == ("build", "done", None, "req-test")
    del heard[:]
    cloud.requests.stop(CALLER, uuid)
    cloud.settled(uuid)
    cloud.requests.reboot(CALLER, uuid, True)
    cloud.settled(uuid)
    cloud.delete(uuid)
    await_(heard, "deleted")
    cloud.stop()
    assert names(heard, uuid) == ["state_changed", "operation_ended"] * 2 + ["delete_requested", "deleted",
                                                                             "operation_ended"]  # fmt: skip
    assert [(each.new_vm_state, each.task) for name, each in heard if name == "state_changed"] == [
        ("stopped", "powering-off"), ("active", "rebooting_hard")]  # fmt: skip
    assert one(heard, "deleted").server_host == one(heard, "delete_requested").server_host == "host-1"
    assert [(name, event.binary) for name, event in heard[-2:]] == [
        ("service_down", "tenter-compute"), ("service_down", "tenter-conductor")]  # fmt: skip


def test_what_is_told_is_committed(open_cloud: Open) -> None:
    cloud, heard = open_cloud()
    seen: list[Any] = []
    dispatcher: Any = cloud.fabric.hooks
    real = dispatcher.emit

    def emit(event: Any) -> None:
        if type(event) in (contract.Spawned, contract.Deleted, contract.CreateRequested, contract.Claimed):
            row = cloud.row(event.instance_uuid)
            seen.append((type(event).__name__, row and row["vm_state"], bool(row and row["host"])))
        real(event)

    dispatcher.emit = emit
    uuid = cloud.create()
    cloud.active(uuid)
    await_(heard, "spawned")
    cloud.delete(uuid)
    await_(heard, "deleted")
    assert seen == [("CreateRequested", "building", False), ("Claimed", "building", True), ("Spawned", "active", True),
                    ("Deleted", None, False)]  # fmt: skip


def test_no_host_for_it(open_cloud: Open) -> None:
    cloud, heard = open_cloud(fake={"memory_mib": 1})
    uuid = cloud.create()
    assert cloud.settled(uuid)["vm_state"] == "error"
    await_(heard, "operation_ended")
    assert names(heard, uuid) == ["create_requested", "before_scheduling", "build_failed", "state_changed",
                                  "operation_ended"]  # fmt: skip
    failed = one(heard, "build_failed")
    assert failed.final and failed.server_host is None and failed.reason.startswith("No valid host")
    assert one(heard, "operation_ended").outcome == "failed" and one(heard, "state_changed").new_vm_state == "error"
    del heard[:]
    cloud.delete(uuid)
    await_(heard, "deleted")
    assert names(heard, uuid) == ["delete_requested", "deleted"]


def test_a_host_that_fails_and_one_that_does_not(open_cloud: Open) -> None:
    cloud, heard = open_cloud()
    other = Host(cloud, "host-2").start()
    broken: list[str] = []

    def fail_once(virt: Any) -> None:
        real = virt.spawn

        def spawn(request: Any) -> Any:
            if not broken:
                broken.append(virt.setup.host)
                raise errors.GuestFailed("The disk is gone.")
            return real(request)

        virt.spawn = spawn

    fail_once(cloud.virt)
    fail_once(other.virt)
    uuid = cloud.create(nics=0)
    cloud.active(uuid)
    await_(heard, "operation_ended")
    said = [name for name in names(heard, uuid) if name != "network_allocated"]
    assert said == ["create_requested", "before_scheduling", "claimed", "build_failed", "before_scheduling", "claimed",
                    "spawned", "state_changed", "operation_ended"]  # fmt: skip
    failed = one(heard, "build_failed")
    assert (failed.server_host, failed.reason, failed.final) == (broken[0], "The disk is gone.", False)
    assert [event.excluded_hosts for name, event in heard if name == "before_scheduling"] == [(), (broken[0],)]
    assert {event.server_host for name, event in heard if name == "before_scheduling"} == {None}
    assert one(heard, "spawned").server_host != broken[0]
    other.freeze()


def test_a_guest_that_stops_by_itself(open_cloud: Open) -> None:
    cloud, heard = open_cloud()
    uuid = cloud.create()
    cloud.active(uuid)
    await_(heard, "operation_ended")
    del heard[:]
    cloud.virt.files.change(uuid, lambda guest: {**guest, "power": 4})
    cloud.embedded.compute._sync()
    cloud.embedded.compute._sync()
    await_(heard, "state_changed")
    change = one(heard, "state_changed")
    assert (change.new_vm_state, change.task, change.project_id, change.request_id) == ("stopped", None, PROJECT, None)


def test_a_host_goes_down_and_comes_back(open_cloud: Open) -> None:
    cloud, heard = open_cloud(operations={"watch_interval": 0.1})
    other = Host(cloud, "host-2").start()
    await_(heard, "service_up")
    del heard[:]
    other.declare_down()
    await_(heard, "service_down")
    assert (one(heard, "service_down").service_host, one(heard, "service_down").reason) == ("host-2", "declared")
    other.declare_down(False)
    await_(heard, "service_up")
    time.sleep(0.3)
    assert one(heard, "service_up").service_host == "host-2" and len(heard) == 2
    other.freeze()


def test_a_database_that_was_away_is_no_sign_of_life(open_cloud: Open) -> None:
    from tenter.conductor.watch import Watch
    from tenter.operations.runner import Source

    cloud, heard = open_cloud(operations={"watch_interval": 3600}, compute={"service_down_time": 1})
    with cloud.cell.db.write() as connection:
        connection.execute(sa.update(cell_schema.services).values(last_seen=1.0))
    runner = cloud.embedded.conductor.runners[cloud.cell.uuid]
    source = Source(cloud.cell.db, cell_schema.operations, cloud.cell.uuid)
    stopped, hooks = cloud.embedded.conductor._stopped, cloud.fabric.hooks
    watch = Watch(source, runner, runner._kinds, cloud.conf, stopped, hooks=hooks)
    watch.look()
    time.sleep(1.1)
    watch.look()
    await_(heard, "service_down")
    assert one(heard, "service_down").reason == "silent"
    watch._seen.clear()  # as when it could not look
    watch.look()
    time.sleep(1.1)
    watch.look()
    time.sleep(0.1)
    assert len(heard) == 1, "it was neither up meanwhile, nor did it go down again"
    cloud.embedded.compute.report()
    watch.look()
    await_(heard, "service_up")


def test_without_listeners_nothing_is_told_and_pluggy_is_not_imported(cloud: Cloud) -> None:
    assert not cloud.fabric.hooks.active
    code = (
        "import sys; from tenter.conf import new_conf; from tenter.plugins.emitter import open_emitter\n"
        "import tenter.conductor.service, tenter.compute.service\n"
        "assert not open_emitter(new_conf([])).active; print('pluggy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
