"""Guests on a bridge in a network namespace, and guests of a user who is not root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenter.contracts.network import VIF, FixedIP, NetworkInfo, Subnet

from .conftest import running_host

REPOSITORY = Path(__file__).parents[4]
NOBODY = 65534
pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def ip(*words: str, check: bool = True) -> str:
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True).stdout


def make_bridge(netns: str) -> None:
    ip("netns", "add", netns)
    ip("-n", netns, "link", "set", "lo", "up")
    ip("-n", netns, "link", "add", "br-t", "type", "bridge")
    ip("-n", netns, "link", "set", "br-t", "up")
    ip("-n", netns, "addr", "add", "10.9.0.1/24", "dev", "br-t")


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"tenter-test-{uuid.uuid4().hex[:8]}"
    make_bridge(name)
    yield name
    ip("netns", "del", name)


def bridge_vif() -> VIF:
    fixed = FixedIP("10.9.0.77", Subnet("s", "10.9.0.0/24", "10.9.0.1"))
    return VIF(
        "11111111-2222", "n", "net", "fa:16:3e:00:00:09", "bridge", (fixed,), "taptest-9", 1442, {"bridge": "br-t"}
    )


def test_bridge_in_a_namespace(tmp_path: Path, guest_image: Path, netns: str) -> None:
    before = ip("-o", "link")
    dhcp = subprocess.Popen(
        ["ip", "netns", "exec", netns, "dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=br-t",
         "--bind-interfaces", "--dhcp-range=10.9.0.0,static,255.255.255.0,1h", "--user=root",
         "--dhcp-host=fa:16:3e:00:00:09,10.9.0.77", f"--dhcp-leasefile={tmp_path}/leases",
         f"--pid-file={tmp_path}/dnsmasq.pid", "--log-facility=/dev/null"]
    )  # fmt: skip
    try:
        with running_host(tmp_path / "virt", guest_image, netns) as host:
            request = host.request(network_info=NetworkInfo([bridge_vif()]))
            host.driver.spawn(request)
            tap = ip("-n", netns, "-o", "link", "show", "taptest-9")
            assert "master br-t" in tap and "mtu 1442" in tap
            assert "eth0=fa:16:3e:00:00:09=10.9.0.77/24" in host.wait_console(request.uuid)
            host.destroy(request.uuid)
            assert "taptest-9" not in ip("-n", netns, "-o", "link")
    finally:
        dhcp.terminate()
        dhcp.wait(10)
    assert ip("-o", "link") == before, "the machine's own network was touched"


def test_daemon_follows_the_namespace(tmp_path: Path, guest_image: Path, netns: str) -> None:
    with running_host(tmp_path / "virt", guest_image, netns) as host:
        daemon = host.daemon.pid()
        host.restart()
        assert host.daemon.pid() == daemon
        ip("netns", "del", netns)
        make_bridge(netns)
        host.driver.close()
        host.restart()
        assert host.daemon.pid() != daemon
        request = host.request(network_info=NetworkInfo([bridge_vif()]))
        host.driver.spawn(request)
        assert "master br-t" in ip("-n", netns, "-o", "link", "show", "taptest-9")


UNPRIVILEGED = """
import sys
from pathlib import Path
import pytest
from tenter import errors
from tenter.contracts.network import NetworkInfo
from tests.integration.virt.libvirt.conftest import running_host, user_vif
from tests.integration.virt.libvirt.test_network_modes import bridge_vif
with running_host(Path(sys.argv[1]) / "virt", Path(sys.argv[2])) as host:
    capability = host.driver.describe().capabilities["bridge_networking"]
    assert not capability.on and "root" in capability.reason
    with pytest.raises(errors.CapabilityMissing):
        host.driver.spawn(host.request(network_info=NetworkInfo([bridge_vif()])))
    assert host.left() == []
    request = host.request(network_info=NetworkInfo([user_vif("10.0.2.99")]))
    host.driver.spawn(request)
    host.restart()
    text = host.wait_console(request.uuid)
    assert "eth0=fa:16:3e:00:00:01=10.0.2.99/24" in text, text
    host.destroy(request.uuid)
    assert host.left() == []
print("all held")
"""


def test_not_as_root(guest_image: Path) -> None:
    home = Path(tempfile.mkdtemp(prefix="tenter-user-"))
    try:
        image = Path(shutil.copy(guest_image, home))
        os.chown(home, NOBODY, NOBODY)
        image.chmod(0o644)
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        if subprocess.run([*user, sys.executable, "-c", "import tests.integration, tenter"], cwd=REPOSITORY,
                          env=environment, capture_output=True).returncode:  # fmt: skip
            # The checkout or its Python lies where only root may read (below /root, say): nobody, who may read all.
            user += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        done = subprocess.run(
            [*user, sys.executable, "-c", UNPRIVILEGED, str(home), str(image)],
            cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        assert "all held" in done.stdout, done.stderr[-3000:]
    finally:
        shutil.rmtree(home, ignore_errors=True)


