"""A guest's console log: libvirt's LXC driver gives a console's terminal, and whoever reads it may keep a log.

A process of its own does (``cat``), for the guest must not wait for a reader while the driver is restarted. It ends by
itself when the container does. While it runs, it holds the lock of the log that it writes to.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

LOG = logging.getLogger(__name__)

MIB = 1 << 20
_POLL = 0.02


def keep(log: Path, find_terminal: Callable[[], str | None], limit_mib: int, wait: float = 0.0) -> None:
    """On return a process copies what the terminal prints to the end of ``log``, which is not much longer than a MiB
    if it was longer than ``limit_mib``.

    If one does so already, that is enough; for a container that was just started it is the one of the container
    before, which has ``wait`` seconds to end. Errors are only logged: a guest is more than its console.
    """
    try:
        _trim(log, limit_mib)
        deadline = time.monotonic() + wait
        with log.open("ab") as file:
            while not _lock(file.fileno()):
                if time.monotonic() >= deadline:
                    return
                time.sleep(_POLL)
            terminal = find_terminal()
            if terminal is not None:
                subprocess.run(
                    ["sh", "-c", 'cat "$1" &', "sh", terminal], stdin=subprocess.DEVNULL, stdout=file,
                    stderr=subprocess.DEVNULL, start_new_session=True, check=True,
                )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as exc:
        LOG.warning("The console log %s is not kept: %s", log, exc)


def tail(log: Path, max_bytes: int) -> bytes:
    """Return at most the last ``max_bytes`` bytes; empty if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - max_bytes))
            return file.read(max_bytes)
    except FileNotFoundError:
        return b""


def _trim(log: Path, limit_mib: int) -> None:
    """Cut the log to its last MiB if it is larger than ``limit_mib``. Its writer appends, so it goes on at the new
    end; what is written in the instant between reading and cutting is lost."""
    if log.exists() and log.stat().st_size > limit_mib * MIB:
        kept = tail(log, MIB)
        with log.open("ab") as file:
            file.truncate(0)
            file.write(kept)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
