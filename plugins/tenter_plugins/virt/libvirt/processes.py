"""Looking at and ending processes by /proc, for what libvirt itself has lost sight of."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path


def pids() -> Iterator[int]:
    """Yield the pids of all processes."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def arguments(pid: int) -> list[bytes]:
    """Return the command line of a process; empty if it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def has_argument(pid: int, argument: bytes) -> bool:
    """Return whether ``argument`` is one of the arguments of a process."""
    return argument in arguments(pid)


def guest_pids(domain: str, directory: Path) -> list[int]:
    """Return the QEMU processes of a domain, known by their name and by a disk in ``directory``."""
    name, disk = f"guest={domain},".encode(), os.fsencode(directory) + b"/"
    found = []
    for pid in pids():
        words = arguments(pid)
        if any(word.startswith(name) for word in words) and any(disk in word for word in words):
            found.append(pid)
    return found


def running(pid: int) -> bool:
    """Return whether a process runs (a zombie does not)."""
    return bool(arguments(pid))


def end(pid: int, timeout: float, first: signal.Signals = signal.SIGTERM) -> bool:
    """End a process, by force if it has not ended after half of ``timeout`` seconds. Return whether it ended."""
    for sig, share in ((first, 0.5), (signal.SIGKILL, 0.5)):
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + timeout * share
        while time.monotonic() < deadline:
            if not running(pid):
                return True
            time.sleep(0.02)
    return not running(pid)
