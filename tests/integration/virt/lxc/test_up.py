"""``tenter up`` with the driver tenter-lxc, which another distribution brings: from an image's upload to the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import process

ROOT = Path(__file__).parents[4]
DRIVER = ROOT / "contrib_drivers" / "lxc"
CONF = (DRIVER / "50-lxc.conf").read_text() + """\
host = host-1
[local_network]
mode = bridge
[operations]
poll_interval = 0.2
"""
SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"
MISSING = [tool for tool in ("libvirtd", "dnsmasq", "busybox") if not shutil.which(tool, path=SBIN)]
if not list(Path("/usr").glob("lib*/**/libvirt_driver_lxc.so")):
    MISSING.append("libvirt-daemon-driver-lxc")
pytestmark = [
    pytest.mark.root,
    pytest.mark.libvirt,
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return value


def inits(uuid: str) -> list[int]:
    """Return the pids of the processes that a guest's init is, or has started."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"LIBVIRT_LXC_UUID={uuid}".encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return sorted(found)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[process.Up]:
    cloud = process.Up(tmp_path, CONF)
    yield cloud
    process.kill_group(cloud.process)
    code, said, error = process.run(
        "teardown", "--purge", "--state-dir", cloud.state_dir, "--config-file", cloud.conf_file
    )
    assert code == 0 and said == "Nothing is left on this host.\n", said + error


def upload(up: process.Up, file: Path) -> str:
    up.login()
    base = up.services["image"].rstrip("/").removesuffix("/v2")
    asked = {"name": "tiny", "disk_format": "raw", "container_format": "bare"}
    status, image, _ = up.call("POST", f"{base}/v2/images", asked)
    assert status == 201, image
    status, answer, _ = up.call("PUT", f"{base}/v2/images/{image['id']}/file", file.read_bytes())
    assert status == 204, answer
    return str(image["id"])


def test_a_containers_life(up: process.Up, tmp_path: Path) -> None:
    archive = tmp_path / "tiny.tar.gz"
    subprocess.run([sys.executable, DRIVER / "tests" / "root_tar.py", archive], check=True)
    up.start()
    uuid = up.boot("moth", upload(up, archive))
    assert up.settled() == {uuid: "ACTIVE"}
    first = inits(uuid)
    assert first, "no process of the container"

    def console() -> str:
        status, answer = up.compute("POST", f"/servers/{uuid}/action", {"os-getConsoleOutput": {}})
        assert status == 200, answer
        return str(answer["output"])

    status, answer = up.compute("GET", f"/servers/{uuid}")
    address = next(iter(answer["server"]["addresses"].values()))[0]["addr"]
    wait_until(lambda: f"GUEST-ADDRESS {address}" in console(), "the guest has its address by DHCP")
    assert 'GUEST-READY "hostname": "moth"' in console()

    up.kill()
    assert inits(uuid)[0] == first[0]
    up.start()
    assert up.servers() == {uuid: "ACTIVE"}
    assert inits(uuid)[0] == first[0], "the guest was started anew"

    status, answer = up.compute("DELETE", f"/servers/{uuid}")
    assert status == 204, answer
    wait_until(lambda: not up.servers(), "the server is gone")
    assert inits(uuid) == []
    assert list((up.state_dir / "virt" / "lxc" / "guests").iterdir()) == []
