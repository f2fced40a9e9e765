"""What is done to containers: look, start, stop, freeze. Knows libvirt, not the contract's requests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from tenter import errors
from tenter.contracts.virt import PowerState
from tenter_lxc.daemon import Daemon
from tenter_lxc.domain_xml import domain_name

T = TypeVar("T")

_POWER = {
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
}
_CGROUPS = Path("/sys/fs/cgroup")
_POLL = 0.02
_END_SECONDS = 5.0

# libvirt prints every error to stderr unless it is told otherwise; we raise them.
libvirt.registerErrorHandler(lambda context, error: None, None)


class Containers:
    """The containers of one daemon, by the UUIDs of their guests. Thread-safe; all is safe to run again.

    Every method raises HypervisorUnavailable if there can be no daemon, and GuestFailed with libvirt's words.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self._lock = threading.Lock()
        self._connection: Any = None

    def close(self) -> None:
        """Close the connection; daemon and containers stay."""
        with self._lock:
            self._connection = None

    def version(self) -> int:
        """Return the version of what runs containers (the kernel), as libvirt counts."""
        return int(self._run(lambda connection: connection.getVersion()))

    def states(self) -> dict[str, PowerState]:
        """Return the state of every container that is defined."""
        return self._run(lambda connection: {each.UUIDString(): _power(each) for each in connection.listAllDomains()})

    def state(self, uuid: str) -> PowerState | None:
        """Return a container's state; None if it is not defined."""
        return self._with(uuid, _power)

    def terminal(self, uuid: str) -> str | None:
        """Return the path of the terminal that is the container's console; None if it does not run."""

        def read(domain: Any) -> str | None:
            found = re.search(r"<console type='pty' tty='([^']+)'", domain.XMLDesc())
            return found[1] if found else None

        return self._with(uuid, read)

    def start(self, uuid: str, xml: str) -> None:
        """Define the container (anew) and start it, unless it runs."""

        def work(connection: Any) -> None:
            if (domain := _lookup(connection, uuid)) is None or not domain.isActive():
                _end_leftovers(uuid)
                connection.defineXML(xml).create()

        self._run(work, uuid)

    def ask_to_stop(self, uuid: str, timeout: float) -> bool:
        """Tell the container's init to shut down; return whether it did within ``timeout`` seconds."""
        if self.state(uuid) == PowerState.PAUSED:
            return False
        for pid in self._with(uuid, _init) or ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, _stop_signal(pid))
        return self._stopped(uuid, timeout)

    def force_off(self, uuid: str) -> None:
        """On return no process of the container runs; it stays defined."""
        self.unpause(uuid)  # what is frozen does not die
        for pid in self._with(uuid, _init) or ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # and with it all that it shares its namespace with, at once
        if not self._stopped(uuid, _END_SECONDS):
            self._with(uuid, lambda domain: domain.destroy() if domain.isActive() else None)
        _end_leftovers(uuid)

    def remove(self, uuid: str) -> None:
        """On return there is nothing of the container. None is no error."""
        self.force_off(uuid)
        self._with(uuid, lambda domain: domain.undefine())
        (self.daemon.directory / "log" / "lxc" / f"{domain_name(uuid)}.log").unlink(missing_ok=True)

    def pause(self, uuid: str) -> None:
        """Freeze the container unless it is."""
        self._with(uuid, lambda domain: domain.suspend() if _power(domain) != PowerState.PAUSED else None)

    def unpause(self, uuid: str) -> None:
        """Thaw the container if it is frozen."""
        self._with(uuid, lambda domain: domain.resume() if _power(domain) == PowerState.PAUSED else None)

    def _stopped(self, uuid: str, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.state(uuid) in (PowerState.RUNNING, PowerState.PAUSED):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        return True

    def _with(self, uuid: str, work: Callable[[Any], T]) -> T | None:
        """Return ``work(virDomain)``, None if there is no such domain (any more)."""

        def run(connection: Any) -> T | None:
            domain = _lookup(connection, uuid)
            return None if domain is None else work(domain)

        try:
            return self._run(run, uuid)
        except errors.GuestNotFound:
            return None

    def _run(self, work: Callable[[Any], T], uuid: str = "") -> T:
        """Return ``work(virConnect)``. If the connection breaks meanwhile, a new one is made, with a new daemon if
        that is gone, and ``work`` is run once more."""
        again = True
        while True:
            connection = self._connect()
            try:
                return work(connection)
            except libvirt.libvirtError as exc:
                if connection.isAlive() == 1:
                    raise _translate(exc, uuid) from exc
                if not again:
                    raise errors.HypervisorUnavailable(f"libvirtd went away twice: {exc}") from exc
                again = False

    def _connect(self) -> Any:
        with self._lock:
            if self._connection is None or self._connection.isAlive() != 1:
                try:
                    self._connection = libvirt.open(self.daemon.uri())
                except libvirt.libvirtError as exc:
                    raise errors.HypervisorUnavailable(f"libvirtd does not answer: {exc}") from exc
            return self._connection


def _power(domain: Any) -> PowerState:
    return _POWER.get(domain.state()[0], PowerState.NOSTATE)


def _lookup(connection: Any, uuid: str) -> Any:
    try:
        return connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _translate(exc: libvirt.libvirtError, uuid: str) -> errors.TenterError:
    if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
        return errors.GuestNotFound(f"libvirt knows no guest {uuid}.")
    return errors.GuestFailed(f"libvirt failed{f' guest {uuid}' if uuid else ''}: {exc}")


def _init(domain: Any) -> list[int]:
    """Return the pid of a running container's init: the child of libvirt_lxc, whose pid is the domain's id."""
    keeper = domain.ID()
    try:
        return [int(pid) for pid in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()]
    except OSError:
        return []


def _stop_signal(pid: int) -> signal.Signals | int:
    """Return what tells an init to shut down. systemd takes SIGRTMIN+3, and is known by blocking it: it reads signals
    from a descriptor. Of others SIGTERM is the most likely to be understood."""
    with contextlib.suppress(OSError, AttributeError):
        blocked = re.search(r"^SigBlk:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        if blocked and int(blocked[1], 16) >> (signal.SIGRTMIN + 3 - 1) & 1:
            return signal.SIGRTMIN + 3
    return signal.SIGTERM


def _groups(uuid: str) -> Iterator[Path]:
    """Yield the cgroups of a container, as libvirt names them (v1: one a controller; v2: one)."""
    for place in ("*/machine", "machine"):
        yield from _CGROUPS.glob(f"{place}/lxc-*-{domain_name(uuid)}.libvirt-lxc")


def _end_leftovers(uuid: str) -> None:
    """End what runs on if libvirt_lxc was killed while there was no daemon to see it, and remove its cgroups."""
    deadline = time.monotonic() + _END_SECONDS
    while groups := list(_groups(uuid)):
        for group in groups:
            for directory, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    for pid in Path(directory, "cgroup.procs").read_text().split():
                        os.kill(int(pid), signal.SIGKILL)
                    os.rmdir(directory)
        if time.monotonic() >= deadline:
            raise errors.GuestFailed(f"Processes of guest {uuid} do not end.")
        time.sleep(_POLL)
