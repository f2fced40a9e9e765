"""DHCP by dnsmasq: one process a network, which outlives the service and is found again.

Every address is fixed to a MAC. The directory of a process holds ``hosts/`` (a file a port, see
``--dhcp-host`` in dnsmasq(8); read again at SIGHUP), ``leases`` and ``pid``.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from tenter_plugins.network.local.namespace import Namespace, run, tool

_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class DhcpRange:
    """One subnet that DHCP serves."""

    cidr: str
    gateway: str | None
    dns: tuple[str, ...]


def host_line(mac: str, address: str, hostname: str) -> str:
    """Return a reservation in the form of dnsmasq's ``--dhcp-host``. A host name that is none is left out."""
    name = f",{hostname}" if _HOSTNAME.fullmatch(hostname) else ""
    return f"{mac},{address}{name}\n"


def ensure_directory(path: Path) -> None:
    """Make a directory that dnsmasq can enter after it gave up root, whatever our umask is."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)


class Dnsmasq:
    """The DHCP server of one network. Not thread-safe."""

    def __init__(self, namespace: Namespace, directory: Path, interface: str) -> None:
        self._namespace = namespace
        self._directory = directory
        self._interface = interface
        self._hosts = directory / "hosts"
        self._leases = directory / "leases"
        self._pid_file = directory / "pid"

    def ensure(self, ranges: Sequence[DhcpRange], mtu: int, lease: int) -> None:
        """Make sure that the server runs with just these settings. Raises NetworkFailed."""
        if not ranges:
            self.stop()
            return
        argv = self._argv(ranges, mtu, lease)
        with self._running() as found:
            if found is not None and found.argv == argv and found.inode == self._namespace.inode:
                return
        self.stop()
        self._start(argv)

    def replace(self, lines: Mapping[str, str]) -> None:
        """Make ``lines`` (port id: reservation) all that the server knows."""
        ensure_directory(self._hosts)
        for stale in {entry.name for entry in self._hosts.iterdir()} - set(lines):
            (self._hosts / stale).unlink(missing_ok=True)
        for port_id, line in lines.items():
            self._write(port_id, line)
        self.reload()

    def reserve(self, port_id: str, line: str) -> None:
        """Add or change a reservation; known to the server on return, or a moment later."""
        if self._leased_to_another(line):
            self.restart(port_id, line)
        elif self._write(port_id, line):
            self.reload()

    def release(self, port_id: str) -> None:
        """Take a reservation away."""
        path = self._hosts / port_id
        if path.exists():
            path.unlink(missing_ok=True)
            self.reload()

    def restart(self, port_id: str, line: str) -> None:
        """Add a reservation and forget all leases: dnsmasq would not give an address that it leased to
        another MAC. Guests that hold one of the others just renew it."""
        self._write(port_id, line)
        with self._running() as found:
            argv = found.argv if found else None
        self.stop()
        if argv:
            self._start(argv)

    def reload(self) -> None:
        """Make the server read its reservations again."""
        with self._running() as found:
            if found is not None:
                found.send(signal.SIGHUP)

    def stop(self) -> None:
        """End the server and forget its leases; on return it is gone. None running is no error."""
        with self._running() as found:
            if found is not None:
                found.end()
        self._pid_file.unlink(missing_ok=True)
        self._leases.unlink(missing_ok=True)

    def remove(self) -> None:
        """End the server and remove its directory."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def running(self) -> bool:
        """Return whether the server runs."""
        with self._running() as found:
            return found is not None

    def _argv(self, ranges: Sequence[DhcpRange], mtu: int, lease: int) -> list[str]:
        argv = [
            tool("dnsmasq"),
            "--conf-file=/dev/null",
            "--no-hosts",
            "--no-resolv",
            "--port=0",
            f"--interface={self._interface}",
            "--except-interface=lo",
            "--bind-interfaces",
            "--dhcp-authoritative",
            "--no-ping",
            "--user=nobody",
            f"--pid-file={self._pid_file}",
            f"--dhcp-leasefile={self._leases}",
            f"--dhcp-hostsfile={self._hosts}",
            f"--log-facility={self._directory / 'log'}",
            "--quiet-dhcp",
            "--dhcp-lease-max=65536",
            f"--dhcp-option-force=option:mtu,{mtu}",
        ]
        for number, part in enumerate(ranges):
            network, tag = IPv4Network(part.cidr), f"subnet{number}"
            argv.append(f"--dhcp-range=set:{tag},{network.network_address},static,{network.netmask},{lease}s")
            argv.append(
                f"--dhcp-option=tag:{tag},option:router" + (f",{part.gateway}" if part.gateway else "")
            )
            if part.dns:
                argv.append(f"--dhcp-option=tag:{tag},option:dns-server,{','.join(part.dns)}")
        return argv

    def _start(self, argv: Sequence[str]) -> None:
        ensure_directory(self._hosts)
        run(self._namespace.command(argv))

    def _write(self, port_id: str, line: str) -> bool:
        """Write a reservation's file; return whether anything changed."""
        path, part = self._hosts / port_id, self._directory / f"{port_id}.part"
        with contextlib.suppress(FileNotFoundError):
            if path.read_text() == line:
                return False
        ensure_directory(self._hosts)
        part.write_text(line)
        part.chmod(0o644)
        part.rename(path)
        return True

    def _leased_to_another(self, line: str) -> bool:
        """Return whether another MAC has a lease of this address (lines of the lease file: expiry, MAC,
        address, …)."""
        mac, address = line.strip().split(",")[:2]
        try:
            leases = [entry.split() for entry in self._leases.read_text().splitlines()]
        except FileNotFoundError:
            return False
        return any(len(lease) > 2 and lease[2] == address and lease[1].lower() != mac for lease in leases)

    @contextlib.contextmanager
    def _running(self) -> Iterator[Process | None]:
        """Give the server's process if it runs: by its pid file, or, where a crash lost that, by its command
        line."""
        mark = f"--pid-file={self._pid_file}"
        found = None
        with contextlib.suppress(OSError, ValueError):
            found = Process.open(int(self._pid_file.read_text()), mark)
        if found is None:
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and (found := Process.open(int(entry.name), mark)):
                    break
        try:
            yield found
        finally:
            if found is not None:
                found.close()


class Process:
    """A running process, held by a pidfd so that its number cannot become somebody else's."""

    def __init__(self, fd: int, argv: list[str], inode: int) -> None:
        self._fd = fd
        self.argv = argv
        self.inode = inode
        """Identifies the network namespace it is in."""

    @classmethod
    def open(cls, pid: int, mark: str) -> Process | None:
        """Return the process ``pid`` if ``mark`` is one of its arguments."""
        try:
            if mark.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return None
            fd = os.pidfd_open(pid)
        except OSError:
            return None
        try:
            # Read again: only what is read while the pidfd is open is sure to be of this process.
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            inode = Path(f"/proc/{pid}/ns/net").stat().st_ino
        except OSError:
            argv, inode = [], 0
        # An "ip netns exec" that is about to become the server does not count.
        if mark in argv and argv[0].endswith("dnsmasq"):
            return cls(fd, argv, inode)
        os.close(fd)
        return None

    def send(self, number: int) -> None:
        """Send a signal; a process that has just ended is no error."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)

    def end(self, patience: float = 5.0) -> None:
        """End the process, by force after ``patience`` seconds; on return it is gone."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 30.0)):
            self.send(number)
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            if poll.poll(seconds * 1000):
                return

    def close(self) -> None:
        """Let go of the process; it runs on."""
        os.close(self._fd)
