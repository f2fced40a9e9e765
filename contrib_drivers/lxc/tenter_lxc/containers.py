"""What is done to containers: look, start, stop, freeze. Knows libvirt, not the contract's requests."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from tenter import errors
from tenter.contracts.virt import PowerState
from tenter_lxc import processes
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
_POLL = 0.02
_ASK_AGAIN = 2.0  # seconds: an init that has just begun hears nothing yet
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

    def start(self, uuid: str, xml: str) -> bool:
        """Define the container (anew) and start it; on return its init runs. Return False if it ran already or was
        frozen, and goes on."""

        def work(connection: Any) -> bool:
            domain = _lookup(connection, uuid)
            if domain is not None and domain.isActive():
                _thaw(domain)
                return False
            processes.end_leftovers(domain_name(uuid), _END_SECONDS)
            domain = connection.defineXML(xml)
            domain.create()
            while not processes.init_runs(domain.ID()):
                if not domain.isActive():
                    raise errors.GuestFailed(f"The init of guest {uuid} ended as soon as it was started.")
                time.sleep(_POLL)
            return True

        return self._run(work, uuid)

    def ask_to_stop(self, uuid: str, timeout: float) -> bool:
        """Tell the container's init to shut down; return whether it did within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.state(uuid) != PowerState.PAUSED:
            self._with(uuid, lambda domain: processes.ask_to_stop(domain.ID()))  # a domain's id is libvirt_lxc's pid
            left = deadline - time.monotonic()
            if self._stopped(uuid, min(left, _ASK_AGAIN)):
                return True
            if left <= _ASK_AGAIN:
                break
        return False

    def force_off(self, uuid: str) -> None:
        """On return no process of the container runs; it stays defined."""
        self._with(uuid, _thaw)  # what is frozen does not die
        self._with(uuid, lambda domain: processes.kill(domain.ID()))  # destroy() alone takes seconds
        if not self._stopped(uuid, _END_SECONDS):
            self._with(uuid, lambda domain: domain.destroy())
        processes.end_leftovers(domain_name(uuid), _END_SECONDS)

    def remove(self, uuid: str) -> None:
        """On return there is nothing of the container. None is no error."""
        self.force_off(uuid)
        self._with(uuid, lambda domain: domain.undefine())
        name = domain_name(uuid)
        (self.daemon.directory / "log" / "lxc" / f"{name}.log").unlink(missing_ok=True)
        for path in (self.daemon.directory / "run" / "lxc").glob(f"{name}.*"):  # sockets, mount points
            with contextlib.suppress(FileNotFoundError):
                path.rmdir() if path.is_dir() else path.unlink()

    def pause(self, uuid: str) -> None:
        """Freeze the container. One that is frozen is no error."""
        self._with(uuid, lambda domain: domain.suspend() if _power(domain) != PowerState.PAUSED else None)

    def unpause(self, uuid: str) -> None:
        """Thaw the container. One that runs is no error."""
        self._with(uuid, _thaw)
        if self.state(uuid) != PowerState.RUNNING:
            raise errors.GuestFailed(f"Guest {uuid} does not run.")

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


def _thaw(domain: Any) -> None:
    if _power(domain) == PowerState.PAUSED:
        domain.resume()


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
