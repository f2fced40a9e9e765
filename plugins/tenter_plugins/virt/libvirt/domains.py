"""What is done to domains: look, start, stop, remove. Knows libvirt, not the driver's requests."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lxml import etree

from tenter import errors
from tenter.contracts.virt import PowerState
from tenter_plugins.virt.libvirt import processes
from tenter_plugins.virt.libvirt.connection import Connection
from tenter_plugins.virt.libvirt.domain_xml import METADATA_NAMESPACE, domain_name, element
from tenter_plugins.virt.libvirt.layout import GuestDir, Layout
from tenter_plugins.virt.libvirt.lib import libvirt, no_such_domain, translate

LOG = logging.getLogger(__name__)
T = TypeVar("T")

# Seconds between two looks at a guest that was asked to stop, and between two presses of its power button (a guest
# that still boots misses the first).
_POLL = 0.1
_PRESS_AGAIN = 5.0
_ORPHAN_TIMEOUT = 10.0


class Domains:
    """The domains of the guests of one state directory. Every method may be run again after a crash."""

    def __init__(self, connection: Connection, layout: Layout) -> None:
        self._connection = connection
        self._layout = layout

    def states(self) -> dict[str, PowerState]:
        """Return the power state of every domain of ours by UUID, in one call (one more for each unknown one)."""
        lib = libvirt()

        def look(conn: Any) -> dict[str, PowerState]:
            ours: dict[str, PowerState] = {}
            for domain, stats in conn.getAllDomainStats(lib.VIR_DOMAIN_STATS_STATE, 0):
                uuid = domain.UUIDString()
                if self._layout.guest(uuid).path.is_dir() or self._is_marked(domain):
                    ours[uuid] = power_state(stats.get("state.state", 0), stats.get("state.reason", 0))
            return ours

        return self._call("", look)

    def state(self, uuid: str) -> PowerState | None:
        """Return the power state of one domain, None if there is no such domain."""

        def look(conn: Any) -> PowerState | None:
            domain = _lookup(conn, uuid)
            return None if domain is None else power_state(*domain.state(0))

        return self._call(uuid, look)

    def start(self, directory: GuestDir, xml: str) -> None:
        """Define the domain (anew) and start it; on return it runs. One that is paused goes on.

        Raises GuestFailed, HypervisorUnavailable.
        """
        lib = libvirt()

        def work(conn: Any) -> None:
            domain = _lookup(conn, directory.uuid)
            if domain is not None and domain.isActive():
                if list(domain.state(0)) != [lib.VIR_DOMAIN_PAUSED, lib.VIR_DOMAIN_PAUSED_STARTING_UP]:
                    if domain.state(0)[0] == lib.VIR_DOMAIN_PAUSED:
                        domain.resume()
                    return
                # The daemon died while it started this guest, which will never come further. The new daemon may wait
                # for its monitor, and answers for this domain only when the process is gone.
                self._destroy(domain, directory)
            self._end_processes(directory)
            conn.defineXML(xml).create()

        self._call(directory.uuid, work)

    def ask_to_stop(self, uuid: str, timeout: float) -> bool:
        """Press the power button and wait. Return whether the guest stopped within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        press_at = 0.0
        while True:
            if self.state(uuid) not in (PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED):
                return True
            now = time.monotonic()
            if now >= deadline:
                return False
            if now >= press_at:
                press_at = now + _PRESS_AGAIN
                self._press_power_button(uuid)
            time.sleep(_POLL)

    def force_off(self, directory: GuestDir) -> None:
        """On return no process of the guest runs; its domain stays defined. Raises GuestFailed."""

        def work(conn: Any) -> None:
            domain = _lookup(conn, directory.uuid)
            if domain is not None:
                self._destroy(domain, directory)

        self._call(directory.uuid, work)
        self._end_processes(directory)

    def pause(self, uuid: str) -> None:
        """On return the guest is paused. Raises GuestNotFound, GuestFailed (it does not run)."""
        self._freeze(uuid, lambda domain: domain.suspend(), PowerState.RUNNING, PowerState.PAUSED)

    def unpause(self, uuid: str) -> None:
        """On return the guest runs. Raises GuestNotFound, GuestFailed (it is not paused)."""
        self._freeze(uuid, lambda domain: domain.resume(), PowerState.PAUSED, PowerState.RUNNING)

    def _freeze(self, uuid: str, work: Callable[[Any], Any], before: PowerState, after: PowerState) -> None:
        def change(conn: Any) -> None:
            domain = _lookup(conn, uuid)
            power = None if domain is None else power_state(*domain.state(0))
            if power is before:
                work(domain)
            elif power is not after:
                raise errors.GuestFailed(f"Guest {uuid} is neither running nor paused.", uuid=uuid)

        self._call(uuid, change)

    def begin_backup(self, uuid: str, disk: str, target: Path) -> None:
        """Begin to copy a disk of a running guest, as it is now and without backing file, to a qcow2 file.

        https://libvirt.org/formatbackup.html, push mode. Raises GuestFailed.
        """
        entry = element("disk", attributes={"name": disk, "backup": "yes", "type": "file"})
        entry.append(element("target", attributes={"file": str(target)}))
        entry.append(element("driver", attributes={"type": "qcow2"}))
        disks = element("disks")
        disks.append(entry)
        backup = element("domainbackup", attributes={"mode": "push"})
        backup.append(disks)
        xml = etree.tostring(backup, encoding="unicode")
        self._call(uuid, lambda conn: conn.lookupByUUIDString(uuid).backupBegin(xml, None, 0))

    def backup_has_ended(self, uuid: str) -> bool:
        """Return whether the copy is complete. Raises GuestFailed if it failed."""
        lib = libvirt()

        def look(conn: Any) -> bool:
            domain = conn.lookupByUUIDString(uuid)
            if domain.jobInfo()[0] != lib.VIR_DOMAIN_JOB_NONE:
                return False
            last = domain.jobStats(lib.VIR_DOMAIN_JOB_STATS_COMPLETED | lib.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED)
            if last.get("type") != lib.VIR_DOMAIN_JOB_COMPLETED or not last.get("success", True):
                raise errors.GuestFailed(f"The disk of guest {uuid} was not copied: {last.get('errmsg', 'aborted')}.")
            return True

        return self._call(uuid, look)

    def abort_backup(self, uuid: str) -> None:
        """End the copy. One that has ended is no error."""
        lib = libvirt()

        def work(conn: Any) -> None:
            try:
                conn.lookupByUUIDString(uuid).abortJob()
            except lib.libvirtError as exc:
                if exc.get_error_code() != lib.VIR_ERR_OPERATION_INVALID:
                    raise

        self._call(uuid, work)

    def remove(self, directory: GuestDir) -> None:
        """On return there is no domain and no process of the guest. Raises GuestFailed, HypervisorUnavailable."""
        lib = libvirt()
        flags = (
            lib.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | lib.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | lib.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | lib.VIR_DOMAIN_UNDEFINE_NVRAM
        )

        def work(conn: Any) -> None:
            domain = _lookup(conn, directory.uuid)
            if domain is None:
                return
            self._destroy(domain, directory)
            try:
                domain.undefineFlags(flags)
            except lib.libvirtError as exc:
                if not no_such_domain(exc):
                    raise

        self._call(directory.uuid, work)
        self._end_processes(directory)

    def _press_power_button(self, uuid: str) -> None:
        lib = libvirt()

        def work(conn: Any) -> None:
            domain = _lookup(conn, uuid)
            if domain is not None:
                domain.shutdownFlags(lib.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

        try:
            self._connection.run(work)
        except lib.libvirtError as exc:
            # It may have stopped by itself just now; the next look at it tells.
            LOG.debug("The power button of guest %s could not be pressed: %s", uuid, exc)

    def _destroy(self, domain: Any, directory: GuestDir) -> None:
        """Destroy a domain; if libvirt cannot because QEMU does not answer it, end QEMU first."""
        lib = libvirt()
        try:
            if list(domain.state(0)) == [lib.VIR_DOMAIN_PAUSED, lib.VIR_DOMAIN_PAUSED_STARTING_UP]:
                self._end_processes(directory)
            _destroy(domain)
        except lib.libvirtError as exc:
            if exc.get_error_code() != lib.VIR_ERR_OPERATION_TIMEOUT:
                raise
            self._end_processes(directory)
            _destroy(domain)

    def _end_processes(self, directory: GuestDir) -> None:
        """End QEMU processes that libvirt has lost: a daemon may die between starting QEMU and noting that it did."""
        for pid in processes.guest_pids(domain_name(directory.uuid), directory.path):
            LOG.warning("Ending QEMU process %d of guest %s, which libvirt has lost", pid, directory.uuid)
            if not processes.end(pid, _ORPHAN_TIMEOUT, signal.SIGKILL):
                raise errors.GuestFailed(f"QEMU process {pid} of guest {directory.uuid} does not end.")

    def _is_marked(self, domain: Any) -> bool:
        lib = libvirt()
        try:
            text = domain.metadata(lib.VIR_DOMAIN_METADATA_ELEMENT, METADATA_NAMESPACE, 0)
        except lib.libvirtError:
            return False
        return f">{self._layout.state_dir}<" in text

    def _call(self, uuid: str, work: Callable[[Any], T]) -> T:
        try:
            return self._connection.run(work)
        except libvirt().libvirtError as exc:
            raise translate(exc, uuid, self._qemu_words(uuid)) from exc

    def _qemu_words(self, uuid: str) -> str:
        """Return the last line that QEMU itself wrote to its log, if the daemon is ours."""
        daemon = self._connection.daemon
        if daemon is None or not uuid:
            return ""
        try:
            lines = daemon.qemu_log(domain_name(uuid)).read_text(errors="replace").splitlines()
        except OSError:
            return ""
        words = [line for line in lines[-20:] if "qemu-system" in line and not line.startswith("/")]
        return words[-1][-500:] if words else ""


def power_state(state: int, reason: int) -> PowerState:
    """Return the power state that libvirt's domain state and its reason stand for."""
    lib = libvirt()
    if state == lib.VIR_DOMAIN_SHUTOFF:
        return PowerState.CRASHED if reason == lib.VIR_DOMAIN_SHUTOFF_CRASHED else PowerState.SHUTDOWN
    known = {
        lib.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
        lib.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
        lib.VIR_DOMAIN_SHUTDOWN: PowerState.RUNNING,
        lib.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
        lib.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
        lib.VIR_DOMAIN_PMSUSPENDED: PowerState.SUSPENDED,
    }
    return known.get(state, PowerState.NOSTATE)


def _lookup(conn: Any, uuid: str) -> Any:
    lib = libvirt()
    try:
        return conn.lookupByUUIDString(uuid)
    except lib.libvirtError as exc:
        if no_such_domain(exc):
            return None
        raise


def _destroy(domain: Any) -> None:
    lib = libvirt()
    try:
        domain.destroy()
    except lib.libvirtError as exc:
        if not no_such_domain(exc) and exc.get_error_code() != lib.VIR_ERR_OPERATION_INVALID:
            raise
