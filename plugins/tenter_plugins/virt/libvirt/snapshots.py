"""Snapshots of root disks: each complete in itself, in a file that nobody can find any more when it is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

from tenter import errors
from tenter.contracts.virt import Snapshot
from tenter_plugins.virt.libvirt import images
from tenter_plugins.virt.libvirt.domains import Domains
from tenter_plugins.virt.libvirt.layout import GuestDir

_CHUNK = 1 << 20
_POLL = 0.05


def of_running(
    domains: Domains, directory: GuestDir, cancelled: Callable[[], bool], timeout: float
) -> Snapshot:
    """Return the disk of a running guest as it is when the copying begins; the guest writes on meanwhile.

    ``timeout`` in seconds. Raises GuestFailed, ResourceExhausted, StaleAttempt (cancelled).
    """
    target = directory.snapshot
    target.unlink(missing_ok=True)
    deadline = time.monotonic() + timeout
    try:
        domains.begin_backup(directory.uuid, "vda", target)
        while not domains.backup_has_ended(directory.uuid):
            if cancelled():
                domains.abort_backup(directory.uuid)
                raise errors.StaleAttempt(f"The snapshot of guest {directory.uuid} is not wanted any more.")
            if time.monotonic() > deadline:
                domains.abort_backup(directory.uuid)
                raise errors.GuestFailed(f"The disk of guest {directory.uuid} was not copied in {timeout:g} seconds.")
            time.sleep(_POLL)
        return _deliver(target)
    finally:
        target.unlink(missing_ok=True)


def of_stopped(directory: GuestDir, timeout: float) -> Snapshot:
    """Return the disk of a guest that is shut down and must not be started meanwhile. Raises GuestFailed,
    ResourceExhausted."""
    target = directory.snapshot
    try:
        images.qemu_img(["convert", "-f", "qcow2", "-O", "qcow2", str(directory.root_disk), str(target)], timeout)
        return _deliver(target)
    finally:
        target.unlink(missing_ok=True)


def _deliver(path: Path) -> Snapshot:
    file = path.open("rb")
    return Snapshot("qcow2", path.stat().st_size, _read(file))


def _read(file: IO[bytes]) -> Generator[bytes]:
    # The file has no name by now: it is gone when this is closed, even unread, and when the process dies.
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
