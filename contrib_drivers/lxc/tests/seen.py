"""What can be seen of containers from the host, without asking driver or libvirt."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def processes(uuid: str) -> list[int]:
    """Return the pids of a guest's processes, which libvirt marks; its init is the first."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"LIBVIRT_LXC_UUID={uuid}".encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return sorted(found, key=started)


def started(pid: int) -> tuple[int, int]:
    """Return when a process was started, in clock ticks, and its pid: pids alone begin anew at their highest."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]), pid
    return sys.maxsize, pid


def parent(pid: int) -> int:
    """Return the pid of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def cgroups(uuid: str) -> list[Path]:
    """Return a guest's control groups."""
    return [*CGROUPS.glob(f"*/machine/lxc-*-tenter-{uuid}.*"), *CGROUPS.glob(f"machine/lxc-*-tenter-{uuid}.*")]


def writers(path: Path) -> list[int]:
    """Return the pids of the processes whose standard output is that file."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/1"):
        with contextlib.suppress(OSError):
            if link.readlink() == path:
                found.append(int(link.parts[2]))
    return found


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Fail unless the condition holds within some seconds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
