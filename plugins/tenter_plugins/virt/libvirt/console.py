"""The serial console's log file."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1 << 20


def tail(path: Path, max_bytes: int) -> bytes:
    """Return at most the last ``max_bytes`` bytes of a file; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            return file.read(max_bytes)
    except FileNotFoundError:
        return b""


def trim(path: Path, limit_mib: int) -> None:
    """Cut the file to its last MiB if it is larger than ``limit_mib``.

    QEMU has it open for appending, so it goes on at the new end; what it writes in the instant between reading and
    cutting is lost.
    """
    try:
        if path.stat().st_size <= limit_mib * MIB:
            return
        kept = tail(path, MIB)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "ab") as file:
        file.truncate(0)
        file.write(kept)
