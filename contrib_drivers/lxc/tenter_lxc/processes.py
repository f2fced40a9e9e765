"""Processes of containers, as the host sees them: for what libvirt has no call for, or has lost sight of."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from tenter import errors

_CGROUPS = Path("/sys/fs/cgroup")


def ask_to_stop(keeper: int) -> None:
    """Tell the init that libvirt_lxc (``keeper``) holds to shut its system down.

    systemd takes SIGRTMIN+3, and is known by blocking it, for it reads signals from a descriptor; of other inits most
    understand SIGTERM.
    """
    for pid in _children(keeper):
        with contextlib.suppress(OSError):
            blocked = re.search(r"^SigBlk:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            is_systemd = blocked and int(blocked[1], 16) >> (signal.SIGRTMIN + 3 - 1) & 1
            os.kill(pid, signal.SIGRTMIN + 3 if is_systemd else signal.SIGTERM)


def init_runs(keeper: int) -> bool:
    """Return whether the container has begun: libvirt_lxc starts a process that becomes its init a moment later."""
    with contextlib.suppress(OSError):
        return any(not os.path.samefile(f"/proc/{pid}/exe", f"/proc/{keeper}/exe") for pid in _children(keeper))
    return False


def kill(keeper: int) -> None:
    """Kill the init that libvirt_lxc holds, and with it all that the container runs."""
    for pid in _children(keeper):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end_leftovers(domain: str, timeout: float) -> None:
    """End what still runs if libvirt_lxc was killed while there was no daemon to see it, and remove its cgroups, by the
    names that libvirt gives them. Raises GuestFailed if it has not ended after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while groups := [*_CGROUPS.glob(f"machine/lxc-*-{domain}.*"), *_CGROUPS.glob(f"*/machine/lxc-*-{domain}.*")]:
        for group in groups:
            for directory, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    for pid in Path(directory, "cgroup.procs").read_text().split():
                        os.kill(int(pid), signal.SIGKILL)
                    os.rmdir(directory)
        if time.monotonic() >= deadline:
            raise errors.GuestFailed(f"Processes of the container {domain} do not end.")
        time.sleep(0.01)


def _children(keeper: int) -> list[int]:
    try:
        if Path(f"/proc/{keeper}/exe").readlink().name != "libvirt_lxc":
            return []  # it has ended, and its number is another's
        return [int(pid) for pid in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()]
    except OSError:
        return []
