"""What fails leaves nothing behind, and what dies is found or made again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tenter import errors
from tenter.contracts.network import NetworkInfo
from tenter.contracts.virt import GuestRef, Hardware, PowerState

from .conftest import Host, kill, running_host, user_vif, wait_until


class Blocking(NetworkInfo):
    """A network that is not there until ``go`` is set."""

    def __init__(self) -> None:
        super().__init__([user_vif()])
        self.asked, self.go = threading.Event(), threading.Event()

    def wait(self) -> tuple:
        self.asked.set()
        assert self.go.wait(60)
        return super().wait()


class Failing(NetworkInfo):
    def wait(self) -> tuple:
        raise errors.NetworkFailed("no port for you")


def cached(host: Host) -> list[str]:
    return [path.name for path in (host.state_dir / "images").iterdir() if path.suffix != ".lock"]


def test_wrong_checksum(host: Host) -> None:
    request = host.request(image=host.source(checksum="sha256:" + "0" * 64))
    with pytest.raises(errors.ImageUnusable, match="damaged"):
        host.driver.spawn(request)
    assert host.left() == []
    assert cached(host) == []


def test_image_larger_than_the_root_disk(host: Host, tmp_path: Path) -> None:
    big = tmp_path / "big.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", big, "3G"], check=True)
    host.image = big
    with pytest.raises(errors.ImageUnusable, match=r"3\.00 GiB.*has 1 GiB"):
        host.driver.spawn(host.request())
    assert host.left() == []
    assert cached(host) == []


def test_network_that_fails(host: Host) -> None:
    with pytest.raises(errors.NetworkFailed, match="no port for you"):
        host.driver.spawn(host.request(network_info=Failing()))
    assert host.left() == []


def test_cancelled_while_the_network_is_awaited(host: Host) -> None:
    network, stop = Blocking(), threading.Event()
    request = host.request(network_info=network, cancelled=stop.is_set)
    with ThreadPoolExecutor(1) as pool:
        spawn = pool.submit(host.driver.spawn, request)
        assert network.asked.wait(60)
        assert [state.power for state in host.driver.guests()] == [PowerState.NOSTATE]
        stop.set()
        network.go.set()
        with pytest.raises(errors.StaleAttempt):
            spawn.result(60)
    assert host.left() == []


def test_guest_that_qemu_refuses(host: Host) -> None:
    with pytest.raises((errors.GuestFailed, errors.ResourceExhausted)) as caught:
        host.driver.spawn(host.request(hardware=Hardware(1, 1 << 30, 1)))
    assert "memory" in str(caught.value)
    assert host.left() == []


def test_one_download_for_many(host: Host) -> None:
    requests = [host.request(network_info=Failing()) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for spawn in [pool.submit(host.driver.spawn, request) for request in requests]:
            with pytest.raises(errors.NetworkFailed):
                spawn.result(120)
    assert host.opened == 1
    assert host.left() == []


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.4])
def test_daemon_killed_during_spawn(host: Host, delay: float) -> None:
    network = Blocking()
    request = host.request(network_info=network)
    daemon = host.daemon.pid()
    with ThreadPoolExecutor(1) as pool:
        spawn = pool.submit(host.driver.spawn, request)
        assert network.asked.wait(60)
        network.go.set()
        time.sleep(delay)
        kill(daemon)
        spawn.result(120)
    assert host.daemon.pid() != daemon
    assert host.power(request.uuid) is PowerState.RUNNING
    host.qemu_pid(request.uuid)  # there is exactly one
    host.destroy(request.uuid)
    assert host.left() == []


def test_daemon_killed_while_guests_run(host: Host) -> None:
    request = host.request(network_info=NetworkInfo())
    host.driver.spawn(request)
    pid = host.qemu_pid(request.uuid)
    kill(host.daemon.pid())
    assert host.power(request.uuid) is PowerState.RUNNING
    assert host.qemu_pid(request.uuid) == pid
    kill(host.daemon.pid())
    kill(pid)
    # A new daemon believes its notes until it has looked at each guest.
    off = (PowerState.SHUTDOWN, PowerState.CRASHED)
    wait_until(lambda: host.driver.guests()[0].power in off, 20, "the guest's end seen")


def test_a_process_with_the_number_of_a_guest_before_the_boot(host: Host) -> None:
    request = host.request(network_info=NetworkInfo())
    host.driver.spawn(request)
    pid, directory = host.qemu_pid(request.uuid), host.daemon.directory
    notes = directory / "run" / "qemu" / f"tenter-{request.uuid}.xml"
    text = notes.read_text()
    kill(host.daemon.pid())
    kill(pid)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        notes.write_text(text.replace(f"'{pid}'", f"'{stranger.pid}'"))
        (directory / "boot").write_text("another")
        assert host.power(request.uuid) is PowerState.SHUTDOWN
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(2)
    finally:
        stranger.kill()
        stranger.wait()


SERVICE = """
import json, os, sys, threading
from pathlib import Path
from tests.integration.virt.libvirt.conftest import Host
from tests.integration.virt.libvirt.test_faults import Blocking
host = Host(Path(sys.argv[1]), Path(sys.argv[2]))
network = Blocking()
request = host.request(network_info=network)
threading.Thread(target=host.driver.spawn, args=(request,), daemon=True).start()
assert network.asked.wait(60)
print(json.dumps([request.uuid, host.daemon.pid()]), flush=True)
threading.Event().wait()
"""


def test_service_killed_during_spawn(tmp_path: Path, guest_image: Path) -> None:
    state_dir = tmp_path / "virt"
    state_dir.mkdir()
    argv = [sys.executable, "-c", SERVICE, str(state_dir), str(guest_image)]
    service = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[4])
    assert service.stdout
    uuid, daemon = json.loads(service.stdout.readline())
    os.kill(service.pid, signal.SIGKILL)
    service.wait()
    (state_dir / "images" / "0123.download.part").write_bytes(b"half")
    with running_host(state_dir, guest_image) as host:
        assert host.daemon.pid() == daemon, "the daemon outlives the service"
        assert not (state_dir / "images" / "0123.download.part").exists()
        assert [(state.uuid, state.power) for state in host.driver.guests()] == [(uuid, PowerState.NOSTATE)]
        host.driver.spawn(host.request(uuid=uuid))
        assert host.power(uuid) is PowerState.RUNNING
        host.destroy(uuid)
        assert host.left() == []


def test_two_state_directories(tmp_path: Path, guest_image: Path) -> None:
    # The second is too deep for sockets, so its daemon is reached by a short link.
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "virt"
    with running_host(tmp_path / "virt", guest_image) as one, running_host(deep, guest_image) as two:
        first, second = one.request(network_info=NetworkInfo()), two.request(network_info=NetworkInfo())
        one.driver.spawn(first)
        two.driver.spawn(second)
        assert [state.uuid for state in one.driver.guests()] == [first.uuid]
        assert [state.uuid for state in two.driver.guests()] == [second.uuid]
        assert one.driver.inventory()[0].uuid != two.driver.inventory()[0].uuid
        two.destroy(second.uuid)
        link = two.daemon.base
        assert link != two.daemon.directory
        assert two.driver.stop_host()
        assert not link.is_symlink()
        one.driver.close()
        assert one.power(first.uuid) is PowerState.RUNNING
        with pytest.raises(errors.GuestNotFound):
            two.driver.state(GuestRef(first.uuid))


FULL_DISK = """
import sys
from pathlib import Path
from tenter import errors
from tenter_plugins.virt.libvirt.images import ImageCache
from tests.integration.virt.libvirt.conftest import Host
cache = ImageCache(Path(sys.argv[1]), 60.0)
source = Host.source(type("Fake", (), {"image": Path(sys.argv[2]), "opened": 0})())
try:
    cache.fetch(source, 0, print, lambda: False)
except errors.ResourceExhausted as exc:
    print("exhausted:", exc)
print("left:", [path.name for path in Path(sys.argv[1]).iterdir() if path.suffix != ".lock"])
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small filesystem in a mount namespace of its own")
@pytest.mark.parametrize("mib", [8, 20])
def test_full_disk(tmp_path: Path, guest_image: Path, mib: int) -> None:
    """The smaller one is full while the image comes (15 MiB), the larger one while it is converted."""
    script = f'mount -t tmpfs -o size={mib}m none "$1" && exec "$0" -c "$3" "$1" "$2"'
    argv = ["unshare", "--mount", "sh", "-c", script, sys.executable, tmp_path, guest_image, FULL_DISK]
    done = subprocess.run(
        [sys.executable if arg is sys.executable else str(arg) for arg in argv],
        capture_output=True, text=True, cwd=Path(__file__).parents[4], timeout=120,
    )  # fmt: skip
    assert "exhausted: The host has no disk space left" in done.stdout, done.stderr
    assert "left: []" in done.stdout
