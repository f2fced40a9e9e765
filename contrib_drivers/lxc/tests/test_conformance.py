"""The driver holds what is asked of a virt driver, on real containers.

``plugin`` and ``image_file`` are all that the kit needs; with the rest it looks at the host instead of believing the
driver. Needs root, libvirt-daemon-driver-lxc, busybox-static and iproute2.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from root_tar import root_tar
from seen import CGROUPS, cgroups, processes
from tenter.contracts.network import VIF
from tenter.contracts.virt import ConsoleOutputRequest, GuestRef, Hardware, VirtDriver
from tenter.testing import VirtConformance
from tenter_lxc.config_drive import TARGET
from tenter_lxc.daemon import find_module
from tenter_lxc.driver import LxcDriver

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or find_module() is None, reason="needs root and the package libvirt-daemon-driver-lxc"
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny system to put into containers."""
    path = tmp_path_factory.mktemp("image") / "tiny.tar.gz"
    path.write_bytes(root_tar())
    return path


@pytest.fixture(scope="module", autouse=True)
def bridge() -> Iterator[None]:
    """A network namespace with a bridge, as a network driver would make them."""
    name = TestLxc.network_namespace
    for command in (f"netns add {name}", f"-n {name} link add br0 type bridge", f"-n {name} link set br0 up"):
        subprocess.run(["ip", *command.split()], check=True)
    yield
    subprocess.run(["ip", "netns", "delete", name], check=True)


class TestLxc(VirtConformance):
    """Containers are seen by their processes, cgroups, files and links."""

    name = "lxc"
    plugin = LxcDriver
    vif_type = "bridge"
    network_namespace = f"tenter-lxc-{os.getpid()}"
    keep_state = True

    @pytest.fixture
    def image_file(self, archive: Path) -> Path:
        """See the kit."""
        return archive

    def vifs(self, number: int) -> list[VIF]:
        """See the kit."""
        return [replace(vif, details={"bridge": "br0"}, devname=f"tap{vif.id[:11]}") for vif in super().vifs(number)]

    def running(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit."""
        return bool(processes(uuid) or cgroups(uuid))

    def leftovers(self, driver: VirtDriver) -> list[str]:
        """See the kit."""
        root = driver.setup.state_dir
        found = [*(root / "guests").rglob("*"), *(root / "images").glob("*.part")]
        # libvirtd may write what it notes of a guest anew at any moment (*.new).
        found += [path for path in (root / "libvirtd").rglob("*tenter-*") if path.suffix != ".new"]
        links = json.loads(subprocess.check_output(["ip", "-j", "-n", self.network_namespace, "link", "show"]))
        return [*map(str, found), *(link["ifname"] for link in links)]

    def incarnation(self, driver: VirtDriver, uuid: str) -> object:
        """See the kit."""
        return processes(uuid)[:1]

    def progress(self, driver: VirtDriver, uuid: str) -> Any:
        """See the kit: how often init went to sleep."""
        status = Path(f"/proc/{processes(uuid)[0]}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    def root_data(self, driver: VirtDriver, uuid: str) -> object:
        """See the kit."""
        root = driver.setup.state_dir / "guests" / uuid / "root"
        return {path.name: path.read_bytes() for path in (root / "sbin" / "init", root / "bin" / "busybox")}

    def virtual_hardware(self, driver: VirtDriver, uuid: str) -> Hardware:
        """See the kit. The memory only: the driver says of the others that they are not enforced."""
        (limit,) = CGROUPS.glob(f"memory/machine/lxc-*-tenter-{uuid}.*/memory.limit_in_bytes")
        return replace(self.hardware, memory_mib=int(limit.read_text()) >> 20)

    def told(self, driver: VirtDriver, uuid: str) -> Mapping[str, object]:
        """See the kit: as the guest sees it."""
        seed = Path(f"/proc/{processes(uuid)[0]}/root{TARGET}/openstack/latest")
        data = json.loads((seed / "meta_data.json").read_bytes())
        user_data = (seed / "user_data").read_bytes()
        return {"uuid": data["uuid"], "hostname": data["hostname"], "metadata": data["meta"], "user_data": user_data}

    def booted(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit: by what init prints."""
        assert isinstance(driver, LxcDriver)
        return b"GUEST-READY" in driver.console_output(ConsoleOutputRequest(GuestRef(uuid), 1 << 20))

    def end(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit."""
        os.kill(processes(uuid)[0], signal.SIGKILL)
        return True
