"""Real guests: a driver on a state directory of its own, and the tiny image that tools/guest-image builds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tenter.contracts.base import PluginSetup
from tenter.contracts.network import VIF, FixedIP, NetworkInfo, Subnet
from tenter.contracts.virt import (
    ConsoleOutputRequest,
    DestroyRequest,
    GuestRef,
    Hardware,
    HostSetup,
    ImageSource,
    PowerState,
    SpawnRequest,
)
from tenter_plugins.virt.libvirt import processes
from tenter_plugins.virt.libvirt.driver import LibvirtDriver

REPOSITORY = Path(__file__).parents[4]
BOOT_SECONDS = 180.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = [tool for tool in ("libvirtd", "qemu-system-x86_64", "qemu-img") if not _which(tool)]
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.libvirt)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


def _which(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@pytest.fixture(scope="session")
def guest_image() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    out = base / "tenter" / "guest"
    subprocess.run([REPOSITORY / "tools" / "guest-image", out], check=True)
    return out / "tenter-tiny.qcow2"


@dataclass
class Host:
    """One driver on one state directory, and what the tests ask of it."""

    state_dir: Path
    image: Path
    netns: str | None = None
    driver: LibvirtDriver = field(init=False)
    opened: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """What a new process of the compute service does."""
        conf = cfg.ConfigOpts()
        conf([], project="tenter")
        conf.register_opts(LibvirtDriver.options, group=LibvirtDriver.section)
        self.driver = LibvirtDriver(PluginSetup(conf, self.state_dir, "test-host"))
        self.driver.init_host(HostSetup("test-host", network_namespace=self.netns))

    @property
    def daemon(self) -> Any:
        return self.driver._connection.daemon

    def source(self, **changes: Any) -> ImageSource:
        def chunks() -> Iterator[bytes]:
            self.opened += 1
            with self.image.open("rb") as file:
                while chunk := file.read(1 << 20):
                    yield chunk

        digest = hashlib.sha256(self.image.read_bytes()).hexdigest()
        values = {
            "id": "tiny", "name": "tiny", "disk_format": "qcow2", "size": self.image.stat().st_size,
            "checksum": f"sha256:{digest}", "open": chunks,
        }  # fmt: skip
        return ImageSource(**(values | changes))

    def request(self, **changes: Any) -> SpawnRequest:
        values: dict[str, Any] = {
            "uuid": str(uuid.uuid4()), "name": "hello", "hostname": "hello", "project_id": "p", "user_id": "u",
            "hardware": Hardware(1, 128, 1), "image": self.source(), "network_info": NetworkInfo([user_vif()]),
        }  # fmt: skip
        return SpawnRequest(**(values | changes))

    def console(self, uuid: str) -> str:
        return self.driver.console_output(ConsoleOutputRequest(GuestRef(uuid), 1 << 20)).decode(errors="replace")

    def wait_console(self, uuid: str, text: str = "GUEST-READY", count: int = 1) -> str:
        wait_until(lambda: self.console(uuid).count(text) >= count, BOOT_SECONDS, f"{text!r} on the console")
        return self.console(uuid)

    def qemu_pid(self, uuid: str) -> int:
        (pid,) = processes.guest_pids(f"tenter-{uuid}", self.state_dir)
        return pid

    def power(self, uuid: str) -> PowerState:
        return self.driver.state(GuestRef(uuid)).power

    def left(self) -> list[str]:
        """What is left of guests: directories, domains, processes."""
        found = [path.name for path in (self.state_dir / "instances").iterdir()]
        found += [state.uuid for state in self.driver.guests()]
        for pid in processes.pids():
            if any(f"{self.state_dir}/instances/".encode() in word for word in processes.arguments(pid)):
                found.append(f"pid {pid}")
        return found

    def destroy(self, uuid: str) -> None:
        self.driver.destroy(DestroyRequest(GuestRef(uuid)))

    def tear_down(self) -> None:
        for state in self.driver.guests():
            self.destroy(state.uuid)
        assert self.driver.stop_host()
        assert self.daemon.pid() is None
        self.driver.close()


def user_vif(address: str = "10.0.2.15", cidr: str = "10.0.2.0/24", mac: str = "fa:16:3e:00:00:01") -> VIF:
    subnet = Subnet("s", cidr)
    return VIF(str(uuid.uuid4()), "n", "user", mac, "user", (FixedIP(address, subnet),))


@contextlib.contextmanager
def running_host(state_dir: Path, image: Path, netns: str | None = None) -> Iterator[Host]:
    state_dir.mkdir(parents=True, exist_ok=True)
    host = Host(state_dir, image, netns)
    try:
        yield host
    finally:
        host.tear_down()


@pytest.fixture
def host(tmp_path: Path, guest_image: Path) -> Iterator[Host]:
    with running_host(tmp_path / "virt", guest_image) as made:
        yield made


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes.running(pid), 10, f"end of process {pid}")
