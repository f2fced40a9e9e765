"""What becomes of containers when libvirt's processes are killed, and when a guest does things by itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from root_tar import INIT, root_tar
from seen import cgroups, parent, processes, wait_until, writers
from tenter import errors
from tenter.contracts import virt
from tenter.contracts.network import VIF, NetworkInfo
from tenter.testing import VirtConformance
from tenter_lxc import daemon
from tenter_lxc.driver import LxcDriver

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or daemon.find_module() is None, reason="needs root and the package libvirt-daemon-driver-lxc"
)
UUID = "6f1d2c53-8a55-4b0c-9a40-3f8f3a1f7c11"
GUEST = virt.GuestRef(UUID)
HARDWARE = virt.Hardware(1, 64, 1)
Make = Callable[..., LxcDriver]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Construct and start the driver, as a service does that was killed before."""
    kit: Any = type("Kit", (VirtConformance,), {"plugin": LxcDriver})
    made: list[LxcDriver] = []

    def start(**options: object) -> LxcDriver:
        made.append(kit.construct(tmp_path, "host", options))
        made[-1].init_host(virt.HostSetup("host"))
        return made[-1]

    yield start
    if made:
        made[-1].destroy(virt.DestroyRequest(GUEST))
        assert made[-1].teardown() == []


def spawn(driver: LxcDriver, init: str = INIT) -> None:
    data = root_tar(init)
    image = virt.ImageSource("image", "image", "raw", len(data), None, lambda: iter([data]))
    driver.spawn(virt.SpawnRequest(UUID, "moth", "moth", "project", "user", HARDWARE, image, NetworkInfo()))


def output(driver: LxcDriver) -> bytes:
    return driver.console_output(virt.ConsoleOutputRequest(GUEST, 1 << 24))


def kill_daemon(driver: LxcDriver) -> int:
    pid = driver._daemon(None).pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: driver._daemon(None).pid() is None, "libvirtd has ended")
    return pid


def test_a_killed_daemon_is_replaced_and_guests_run_on(make: Make) -> None:
    driver = make()
    spawn(driver)
    init = processes(UUID)[0]
    kill_daemon(driver)
    assert driver.state(GUEST).power is virt.PowerState.RUNNING
    kill_daemon(driver)
    assert make().state(GUEST).power is virt.PowerState.RUNNING
    assert init in processes(UUID)


def test_a_guest_whose_keeper_was_killed_is_ended_before_it_is_started_again(make: Make) -> None:
    driver = make()
    spawn(driver)
    first = processes(UUID)[0]
    keeper = parent(first)
    kill_daemon(driver)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{keeper}/exe").exists(), "libvirt_lxc has ended")
    assert driver.state(GUEST).power is virt.PowerState.SHUTDOWN
    driver.power_on(virt.PowerOnRequest(GUEST, NetworkInfo(), HARDWARE))
    assert first not in processes(UUID) and processes(UUID)
    assert len(cgroups(UUID)) == len({group.parents[1] for group in cgroups(UUID)})
    driver.destroy(virt.DestroyRequest(GUEST))
    assert processes(UUID) == [] and cgroups(UUID) == []


def test_a_process_with_the_number_of_a_guest_before_the_boot(make: Make) -> None:
    driver = make()
    spawn(driver)
    keeper, directory = parent(processes(UUID)[0]), driver.setup.state_dir / "libvirtd"
    notes = directory / "run" / "lxc" / f"tenter-{UUID}.xml"
    text = notes.read_text()
    driver.power_off(virt.PowerOffRequest(GUEST, 0))
    kill_daemon(driver)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        notes.write_text(text.replace(f"'{keeper}'", f"'{stranger.pid}'"))
        (directory / "boot").write_text("another")
        assert driver.state(GUEST).power is virt.PowerState.SHUTDOWN
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(2)
    finally:
        stranger.kill()
        stranger.wait()


def test_the_console_of_a_guest_that_rebooted_itself_is_kept(make: Make) -> None:
    driver = make()
    spawn(driver)
    wait_until(lambda: b"GUEST-READY" in output(driver), "the guest has booted")
    init = processes(UUID)[0]
    os.kill(init, signal.SIGUSR1)
    wait_until(lambda: output(driver).count(b"GUEST-READY") == 2, "the guest has booted again")
    assert init not in processes(UUID)


def test_a_console_has_one_reader(make: Make) -> None:
    driver = make()
    spawn(driver)
    for _ in range(3):
        output(make())
    assert len(writers(driver.setup.state_dir / "guests" / UUID / "console.log")) == 1


def test_a_long_console_log_is_cut(make: Make) -> None:
    driver = make(console_log_mib=2)
    spawn(driver, INIT.replace("while :", "seq 400000; echo GUEST-SILENT; while :"))
    wait_until(lambda: b"GUEST-SILENT" in output(driver), "the guest has printed 3 MB")
    driver.guests()
    assert output(driver).endswith(b"GUEST-SILENT\r\n") and len(output(driver)) < 2 << 20


def test_an_init_that_cannot_be_executed(make: Make) -> None:
    driver = make()
    with pytest.raises(errors.GuestFailed):
        spawn(driver, "#!/bin/none\n")
    assert driver.guests() == [] and cgroups(UUID) == []


def test_what_is_not_installed_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.HypervisorUnavailable, match="install the package libvirt-daemon"):
        make(daemon="no-such-libvirtd")
    with monkeypatch.context() as patch:
        patch.setattr(daemon, "_DIRECTORIES", {"etc": "/proc/libvirt"})
        with pytest.raises(errors.HypervisorUnavailable, match="cannot be started"):
            make()
    monkeypatch.setattr(daemon, "find_module", lambda: None)
    with pytest.raises(errors.HypervisorUnavailable, match="install the package libvirt-daemon-driver-lxc"):
        make()
    monkeypatch.undo()
    make()


def test_an_interface_that_a_container_cannot_have(make: Make) -> None:
    driver = make()
    data = root_tar()
    image = virt.ImageSource("image", "image", "raw", len(data), None, lambda: iter([data]))
    vif = VIF("port", "network", "private", "fa:16:3e:00:00:01", "user")
    request = virt.SpawnRequest(UUID, "m", "m", "project", "user", HARDWARE, image, NetworkInfo([vif]))
    with pytest.raises(errors.CapabilityMissing, match="bridged"):
        driver.spawn(request)
    with pytest.raises(errors.GuestFailed, match="names no bridge"):
        driver.spawn(replace(request, network_info=NetworkInfo([replace(vif, type="bridge")])))
    assert driver.guests() == []
