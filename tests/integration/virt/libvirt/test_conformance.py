"""The libvirt driver holds what is asked of a virt driver, on real QEMU guests."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pycdlib
import pytest
from lxml import etree

from tenter.contracts.virt import ConsoleOutputRequest, GuestRef, Hardware, VirtDriver
from tenter.testing import VirtConformance
from tenter_plugins.virt.libvirt import processes
from tenter_plugins.virt.libvirt.driver import LibvirtDriver

_MIB = 1 << 20


class TestLibvirt(VirtConformance):
    """Guests are seen by their QEMU processes and their files."""

    name = "libvirt"
    plugin = LibvirtDriver
    disk_format = "qcow2"
    keep_state = True
    many = 3

    @pytest.fixture
    def image_file(self, guest_image: Path) -> Path:
        """The tiny image that tools/guest-image builds."""
        return guest_image

    def running(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit."""
        return bool(self._pids(driver, uuid))

    def leftovers(self, driver: VirtDriver) -> list[str]:
        """See the kit: directories and processes of guests, their domains, QEMU's logs, what is half fetched."""
        root = driver.setup.state_dir
        found = [str(path.relative_to(root)) for path in (root / "instances").rglob("*")]
        found += [path.name for path in (root / "images").glob("*.part")]
        # libvirtd may write what it notes of a guest anew at any moment (*.new).
        noted = (path for path in (root / "libvirtd").rglob("*tenter-*") if path.suffix != ".new")
        found += [str(path.relative_to(root)) for path in noted]
        mark = f"{root}/instances/".encode()
        mine = (pid for pid in processes.pids() if any(mark in word for word in processes.arguments(pid)))
        return found + [f"process {pid}" for pid in mine]

    def incarnation(self, driver: VirtDriver, uuid: str) -> object:
        """See the kit."""
        return self._pids(driver, uuid)

    def progress(self, driver: VirtDriver, uuid: str) -> Any:
        """See the kit: processor time of the threads that execute the guest's instructions."""
        (pid,) = self._pids(driver, uuid)
        total = 0
        for thread in Path(f"/proc/{pid}/task").iterdir():
            name, _, fields = (thread / "stat").read_text().rpartition(")")
            if "CPU " in name:
                total += sum(map(int, fields.split()[11:13]))
        return total

    def virtual_hardware(self, driver: VirtDriver, uuid: str) -> Hardware:
        """See the kit: by the domain and the size of its disk."""
        path = self._directory(driver, uuid)
        domain = etree.fromstring(self._domain(driver, uuid))
        header = (path / "disk").read_bytes()[:32]
        root = int.from_bytes(header[24:32], "big") // (1 << 30)
        return Hardware(int(domain.findtext("vcpu")), int(domain.findtext("memory")) // 1024, root)

    def root_data(self, driver: VirtDriver, uuid: str) -> object:
        """See the kit: a digest of the whole disk, as far as the image goes; the tiny guest never writes there."""
        raw = driver.setup.state_dir / "root-data.raw"
        disk = str(self._directory(driver, uuid) / "disk")
        subprocess.run(["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", disk, raw], check=True)
        try:
            with raw.open("rb") as file:
                return hashlib.sha256(file.read(48 * _MIB)).hexdigest()
        finally:
            raw.unlink()

    def scribble(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit: in the image's last MiB, behind its file system."""
        disk = str(self._directory(driver, uuid) / "disk")
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 47M 64k", disk], check=True, capture_output=True)
        return True

    def installed(self, driver: VirtDriver) -> list[str]:
        """See the kit: the driver's own libvirtd."""
        mark = f"{driver.setup.state_dir}/libvirtd/".encode()
        found = (pid for pid in processes.pids() if any(mark in word for word in processes.arguments(pid)))
        return [f"libvirtd {pid}" for pid in found]

    def told(self, driver: VirtDriver, uuid: str) -> Mapping[str, object]:
        """See the kit: by the config drive."""
        data = json.loads(self._config_drive(driver, uuid, "meta_data.json"))
        return {
            "uuid": data["uuid"],
            "hostname": data["hostname"],
            "metadata": data["meta"],
            "user_data": self._config_drive(driver, uuid, "user_data"),
        }

    def booted(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit: by what the guest prints."""
        assert isinstance(driver, LibvirtDriver)
        return b"GUEST-READY" in driver.console_output(ConsoleOutputRequest(GuestRef(uuid), _MIB))

    def end(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit."""
        for pid in self._pids(driver, uuid):
            os.kill(pid, signal.SIGKILL)
        return True

    def _pids(self, driver: VirtDriver, uuid: str) -> list[int]:
        return processes.guest_pids(f"tenter-{uuid}", driver.setup.state_dir)

    def _directory(self, driver: VirtDriver, uuid: str) -> Path:
        return driver.setup.state_dir / "instances" / uuid

    def _domain(self, driver: VirtDriver, uuid: str) -> str:
        assert isinstance(driver, LibvirtDriver) and driver._connection is not None
        return str(driver._connection.run(lambda conn: conn.lookupByUUIDString(uuid).XMLDesc(0)))

    def _config_drive(self, driver: VirtDriver, uuid: str, name: str) -> bytes:
        iso = pycdlib.PyCdlib()
        iso.open(str(self._directory(driver, uuid) / "disk.config"))
        try:
            content = io.BytesIO()
            iso.get_file_from_iso_fp(content, joliet_path=f"/openstack/latest/{name}")
            return content.getvalue()
        finally:
            iso.close()
