"""Which processes on this host belong to a driver and its guests, by ``/proc`` (proc(5))."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_EXEC_SECONDS = 0.5
"""For how long a process may have neither command line nor environment: both are empty in the middle of an exec."""

_POLL = 0.005
_KERNEL_THREAD = 0x00200000
"""``PF_KTHREAD`` of the flags in ``/proc/PID/stat``."""


@dataclass(frozen=True)
class Process:
    """A process that lives. ``started`` is in clock ticks since boot: with it a pid that is used anew is another."""

    pid: int
    parent: int
    started: int

    def __str__(self) -> str:
        """Return a name, which stays the same when the process executes another program."""
        return f"process {self.pid}: {_first_command(self.pid, self.started)}"


def naming(words: Collection[str]) -> list[Process]:
    """Return the processes, but this one, whose command line or environment holds one of ``words``."""
    wanted = [os.fsencode(word) for word in words]
    return [each for each in _living().values() if each.pid != os.getpid() and _holds(each.pid, wanted)]


def descendants() -> list[Process]:
    """Return the processes that this one has started, and those that they have, for as long as their parents live."""
    living = _living()
    return [each for each in living.values() if _descends(each, living)]


def _descends(process: Process, living: dict[int, Process]) -> bool:
    parent: Process | None = process
    while parent is not None and parent.parent != os.getpid():
        parent = living.get(parent.parent)
    return parent is not None


def _living() -> dict[int, Process]:
    """Return all processes by pid but zombies and the kernel's own."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        # The fields behind the command, which stands in brackets and may hold any character: proc(5).
        fields = _read(int(name), "stat").rpartition(b")")[2].split()
        if fields and fields[0] not in (b"Z", b"X") and not int(fields[6]) & _KERNEL_THREAD:
            found[int(name)] = Process(int(name), int(fields[1]), int(fields[19]))
    return found


def _holds(pid: int, wanted: Collection[bytes]) -> bool:
    deadline = time.monotonic() + _EXEC_SECONDS
    while not (text := _read(pid, "cmdline") + _read(pid, "environ")):
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        if not fields or fields[0] in (b"Z", b"X") or time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return any(word in text for word in wanted)


def _read(pid: int, name: str) -> bytes:
    """Return a file of a process; nothing if it is gone, or another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


@functools.cache
def _first_command(pid: int, started: int) -> str:
    """Return the command that a process executed when it was asked for the first time."""
    command = _read(pid, "cmdline").replace(b"\0", b" ").strip() or _read(pid, "comm").strip()
    return os.fsdecode(command)[:100]
