"""The real thing: namespaces, bridges and dnsmasq, with a namespace and a veth pair in the place of a guest."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenter import errors
from tenter.contracts.network import (
    VIF,
    CheckRequest,
    CreateNetwork,
    CreateSubnet,
    InitHostRequest,
    InstancePorts,
    NetworkScope,
    PlugRequest,
    RequestedNetwork,
)
from tests.unit.network.drivers import PROJECT, Local, Make, build

ADMIN = NetworkScope(PROJECT, is_admin=True)
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        not all(shutil.which(tool) for tool in ("ip", "dnsmasq", "busybox")),
        reason="needs ip, dnsmasq and busybox",
    ),
]
NOTHING = {"bridges": (), "taps": (), "namespaces": ()}


def ip(*args: str) -> str:
    return subprocess.run(["ip", *args], check=True, capture_output=True, text=True, timeout=30).stdout


def links(*where: str) -> set[str]:
    return {link["ifname"] for link in json.loads(ip(*where, "-j", "link"))}


class Guest:
    """A network namespace that is wired like a guest: its eth0 is the other end of the VIF's tap."""

    def __init__(self, local: Local, vif: VIF) -> None:
        self.name = f"guest-{vif.id[:8]}"
        self.vif, tap, namespace = vif, str(vif.devname), str(local.namespace)
        ip("netns", "add", self.name)
        ip("-n", namespace, "link", "add", tap, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("-n", self.name, "link", "set", "eth0", "address", vif.mac, "up")
        ip("-n", namespace, "link", "set", tap, "master", vif.details["bridge"], "up")

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["ip", "netns", "exec", self.name, *argv]
        return subprocess.run(command, check=check, capture_output=True, text=True, timeout=60)

    def dhcp(self, script: Path, tries: int = 8) -> dict[str, str]:
        """Ask for a lease; return what the server said, empty if it said nothing."""
        client = [
            "busybox",
            "udhcpc",
            "-i",
            "eth0",
            "-n",
            "-q",
            "-f",
            "-t",
            str(tries),
            "-T",
            "1",
            "-O",
            "mtu",
        ]
        done = self.run(*client, "-s", str(script), check=False)
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    def close(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True, timeout=30)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Construct drivers in mode bridge; all that they made is removed in the end."""
    made: list[Local] = []

    def make(directory: Path = tmp_path, **options: object) -> Local:
        made.append(build(directory, **{"mode": "bridge", **options}))
        return made[-1]

    before = links()
    yield make
    for local in made:
        if local._wiring is not None:
            local._wiring.remove()
        local.close()
    assert links() == before, "the machine's own interfaces were touched"


@pytest.fixture
def enter(tmp_path: Path) -> Iterator[object]:
    """Put a guest at the other end of a VIF."""
    guests: list[Guest] = []

    def enter(local: Local, vif: VIF) -> Guest:
        guests.append(Guest(local, vif))
        return guests[-1]

    yield enter
    for guest in guests:
        guest.close()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """An udhcpc script that prints the lease and takes the address."""
    path = tmp_path / "lease.sh"
    path.write_text(
        '#!/bin/sh\n[ "$1" = bound ] || exit 0\n'
        'for v in ip subnet router dns mtu hostname serverid; do eval echo "$v=\\$$v"; done\n'
        "ip addr replace $ip/$mask dev eth0\n"
    )
    path.chmod(0o755)
    return path


def pid_of(local: Local, network_id: str) -> int:
    return int(Path(f"/run/tenter/{local.namespace}/{network_id}/pid").read_text())


def alive(pid: int) -> bool:
    """Return whether a process runs (one that has ended but was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_a_guest_gets_its_address_and_all_goes_away(make: Make, enter, script: Path) -> None:
    local = make(dns=["9.9.9.9"], mtu=1400)
    host = local.init_host(InitHostRequest("host"))
    assert (host.mode, host.namespace) == ("bridge", local.namespace)
    instance, (vif,) = local.boot()
    local.plug(PlugRequest(instance, vif))
    lease = enter(local, vif).dhcp(script)
    assert lease["ip"] == vif.fixed_ips[0].address
    expected = ("255.255.0.0", "10.77.0.1", "9.9.9.9", "1400", "vm")
    assert tuple(lease[key] for key in ("subnet", "router", "dns", "mtu", "hostname")) == expected
    assert local.devices()["taps"] == (vif.devname,)
    assert local.teardown() != [], "a port is bound"
    local.unplug(PlugRequest(instance, vif))
    assert local.devices()["taps"] == ()
    local.unplug(PlugRequest(instance, vif))
    local.deallocate(InstancePorts(instance))
    pid = pid_of(local, vif.network_id)
    assert local.teardown() == [] and local.teardown() == []
    assert local.devices() == NOTHING
    assert not alive(pid)
    assert not Path(f"/run/tenter/{local.namespace}").exists()
    local.unplug(PlugRequest(instance, vif))


def test_two_guests_reach_each_other_and_the_gateway(make: Make, enter, script: Path) -> None:
    local = make()
    local.init_host(InitHostRequest("host"))
    guests = []
    for _ in range(2):
        instance, (vif,) = local.boot()
        local.plug(PlugRequest(instance, vif))
        guests.append(enter(local, vif))
        assert guests[-1].dhcp(script)["ip"] == vif.fixed_ips[0].address
    for target in (guests[1].vif.fixed_ips[0].address, "10.77.0.1"):
        guests[0].run("busybox", "ping", "-c", "1", "-W", "5", target)


def test_a_stranger_gets_no_lease(make: Make, enter, script: Path) -> None:
    local = make()
    local.init_host(InitHostRequest("host"))
    _, (vif,) = local.boot()
    assert enter(local, vif).dhcp(script, tries=2) == {}


def test_an_address_goes_to_the_next_guest_though_it_was_leased(make: Make, enter, script: Path) -> None:
    local = make()
    local.init_host(InitHostRequest("host"))
    network = local.check(CheckRequest(PROJECT, None))[0].network_id
    macs = set()
    for _ in range(2):
        instance, (vif,) = local.boot(RequestedNetwork(network, fixed_ip="10.77.0.9"))
        local.plug(PlugRequest(instance, vif))
        assert enter(local, vif).dhcp(script).get("ip") == "10.77.0.9"
        macs.add(vif.mac)
        local.unplug(PlugRequest(instance, vif))
        local.deallocate(InstancePorts(instance))
    assert len(macs) == 2


def test_state_directories_live_side_by_side(make: Make, enter, script: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        local = make(tmp_path / name)
        local.init_host(InitHostRequest("host"))
        instance, (vif,) = local.boot()
        local.plug(PlugRequest(instance, vif))
        assert enter(local, vif).dhcp(script)["ip"] == "10.77.0.2"
    other = make(tmp_path / "a")
    other.deallocate(InstancePorts(other.list_ports(ADMIN, {})[0].device_id))
    assert other.teardown() == []
    assert local.devices()["bridges"] and local._wiring.serving(vif.network_id)


def test_networks_do_not_reach_each_other_even_with_the_same_range(make: Make, enter, script: Path) -> None:
    local = make()
    local.init_host(InitHostRequest("host"))
    guests = []
    for cidr in ("10.77.0.0/16", "192.168.3.0/28"):
        network = local.create_network(ADMIN, CreateNetwork(PROJECT, cidr))
        local.create_subnet(ADMIN, CreateSubnet(network.id, PROJECT, cidr))
        instance, (vif,) = local.boot(RequestedNetwork(network.id))
        local.plug(PlugRequest(instance, vif))
        guests.append(enter(local, vif))
        assert guests[-1].dhcp(script)["ip"] == vif.fixed_ips[0].address
    assert len(local.devices()["bridges"]) == 3
    guests[1].run("ip", "route", "add", "default", "via", "192.168.3.1")
    assert guests[1].run("busybox", "ping", "-c", "1", "-W", "1", "10.77.0.2", check=False).returncode != 0


def test_a_subnet_added_later_is_served_and_a_removed_network_is_gone(
    make: Make, enter, script: Path
) -> None:
    local = make()
    local.init_host(InitHostRequest("host"))
    network = local.create_network(ADMIN, CreateNetwork(PROJECT))
    first = local.create_subnet(ADMIN, CreateSubnet(network.id, PROJECT, "192.168.1.0/30"))
    local.plug(PlugRequest(*_one(local, network.id)))
    local.create_subnet(ADMIN, CreateSubnet(network.id, PROJECT, "192.168.2.0/24", gateway=None))
    instance, vif = _one(local, network.id)
    local.plug(PlugRequest(instance, vif))
    lease = enter(local, vif).dhcp(script)
    assert lease["ip"] == vif.fixed_ips[0].address == "192.168.2.2" and lease["router"] == ""
    for port in local.list_ports(ADMIN, {"network_id": [network.id]}):
        local.unplug(PlugRequest(port.device_id, local.vifs(InstancePorts(port.device_id))[0]))
        local.deallocate(InstancePorts(port.device_id))
    local.delete_subnet(ADMIN, first.id)
    pid = pid_of(local, network.id)
    local.delete_network(ADMIN, network.id)
    assert len(local.devices()["bridges"]) == 1 and not alive(pid)


def _one(local: Local, network_id: str) -> tuple[str, VIF]:
    instance, (vif,) = local.boot(RequestedNetwork(network_id))
    return instance, vif


class TestRestart:
    def test_what_runs_is_found_and_left_alone(self, make: Make, enter, script: Path) -> None:
        local = make()
        local.init_host(InitHostRequest("host"))
        instance, (vif,) = local.boot()
        local.plug(PlugRequest(instance, vif))
        guest = enter(local, vif)
        guest.dhcp(script)
        before = (pid_of(local, vif.network_id), local.devices())
        local.close()
        again = make()
        again.init_host(InitHostRequest("host"))
        assert (pid_of(again, vif.network_id), again.devices()) == before
        assert guest.dhcp(script)["ip"] == vif.fixed_ips[0].address
        assert again.vifs(InstancePorts(instance)) == (vif,)

    @pytest.mark.parametrize(
        "damage", ["server", "pid file", "wrong pid", "bridge", "namespace", "half", "files"]
    )
    def test_what_is_broken_is_mended(self, make: Make, enter, script: Path, damage: str) -> None:
        local = make()
        local.init_host(InitHostRequest("host"))
        instance, (vif,) = local.boot()
        local.plug(PlugRequest(instance, vif))
        files, pid = Path(f"/run/tenter/{local.namespace}/{vif.network_id}"), pid_of(local, vif.network_id)
        if damage == "server":
            os.kill(pid, signal.SIGKILL)
        elif damage == "pid file":
            (files / "pid").unlink()
        elif damage == "wrong pid":
            (files / "pid").write_text("1\n")
        elif damage == "bridge":
            ip("-n", str(local.namespace), "link", "delete", vif.details["bridge"])
        elif damage == "namespace":
            ip("netns", "delete", str(local.namespace))
        elif damage == "half":
            ip("netns", "delete", str(local.namespace))
            Path(f"/run/netns/{local.namespace}").touch()
        else:
            shutil.rmtree(files)
        time.sleep(0.1)
        again = make()
        again.init_host(InitHostRequest("host"))
        assert enter(again, vif).dhcp(script)["ip"] == vif.fixed_ips[0].address
        mark = f"--pid-file={files}/pid".encode()
        assert sum(mark in _cmdline(process) for process in _processes()) == 1, "exactly one server"

    def test_reservations_follow_the_database(self, make: Make, enter, script: Path) -> None:
        local = make()
        local.init_host(InitHostRequest("host"))
        gone, (old,) = local.boot()
        local.plug(PlugRequest(gone, old))
        local.deallocate(InstancePorts(gone))
        _, (new,) = local.boot()
        again = make()
        again.init_host(InitHostRequest("host"))
        hosts = Path(f"/run/tenter/{local.namespace}/{new.network_id}/hosts")
        assert [path.name for path in hosts.iterdir()] == [new.id]
        assert enter(again, new).dhcp(script)["ip"] == new.fixed_ips[0].address

    def test_a_network_removed_meanwhile_is_cleared_away(self, make: Make) -> None:
        local = make()
        network = local.create_network(ADMIN, CreateNetwork(PROJECT))
        local.init_host(InitHostRequest("host"))
        assert len(local.devices()["bridges"]) == 2
        local._networks.delete(ADMIN, network.id)
        make().init_host(InitHostRequest("host"))
        assert len(local.devices()["bridges"]) == 1


_CHURN = """
import sys
from pathlib import Path
from tests.unit.network.drivers import build
local = build(Path(sys.argv[1]), mode="bridge")
print("go", flush=True)
while True:
    local.init_host(InitHostRequest("host"))
    instance, (vif,) = local.boot()
    local.plug(PlugRequest(instance, vif))
    local.unplug(PlugRequest(instance, vif))
    local.deallocate(InstancePorts(instance))
    if sys.argv[2] == "teardown":
        local.teardown()
"""


@pytest.mark.parametrize("also", ["teardown", ""])
def test_kill_9_at_any_moment_is_mended(make: Make, enter, script: Path, tmp_path: Path, also: str) -> None:
    root = Path(__file__).parents[3]
    for delay in (0.0, 0.01, 0.02, 0.035, 0.05, 0.08, 0.13):
        command = [sys.executable, "-c", _CHURN, str(tmp_path), also]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout and child.stdout.readline() == "go\n"
            time.sleep(delay)
            child.kill()
        local = make()
        for port in local.list_ports(ADMIN, {}):
            local.deallocate(InstancePorts(port.device_id))
        local.init_host(InitHostRequest("host"))
        instance, (vif,) = local.boot()
        local.plug(PlugRequest(instance, vif))
        guest = enter(local, vif)
        assert guest.dhcp(script)["ip"] == vif.fixed_ips[0].address
        guest.close()
        local.unplug(PlugRequest(instance, vif))
        local.deallocate(InstancePorts(instance))
        mark = f"--pid-file=/run/tenter/{local.namespace}/".encode()
        assert sum(mark in _cmdline(process) for process in _processes()) == 1
        assert len(local.devices()["bridges"]) == 1
    assert local.teardown() == [] and local.devices() == NOTHING


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _cmdline(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_server_that_died_is_started_by_the_next_plug(make: Make, enter, script: Path) -> None:
    local = make()
    local.init_host(InitHostRequest("host"))
    os.kill(pid_of(local, local.check(CheckRequest(PROJECT, None))[0].network_id or ""), signal.SIGKILL)
    time.sleep(0.1)
    instance, (vif,) = local.boot()
    local.plug(PlugRequest(instance, vif))
    assert enter(local, vif).dhcp(script)["ip"] == vif.fixed_ips[0].address


def test_a_namespace_that_vanished_is_made_by_the_next_plug(make: Make, enter, script: Path) -> None:
    local = make()
    local.init_host(InitHostRequest("host"))
    ip("netns", "delete", str(local.namespace))
    instance, (vif,) = local.boot()
    local.plug(PlugRequest(instance, vif))
    assert enter(local, vif).dhcp(script)["ip"] == vif.fixed_ips[0].address


def test_plugging_into_a_network_that_is_gone_is_an_error(make: Make) -> None:
    local = make()
    local.init_host(InitHostRequest("host"))
    instance, (vif,) = local.boot()
    local.deallocate(InstancePorts(instance))
    local.delete_network(ADMIN, vif.network_id)
    with pytest.raises(errors.NetworkFailed):
        local.plug(PlugRequest(instance, vif))
