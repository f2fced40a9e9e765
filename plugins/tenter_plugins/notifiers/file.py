"""Notifier ``file``: a line of JSON for each event (JSON Lines), in a file that several processes may share."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict
from pathlib import Path

import orjson

from tenter import errors
from tenter.contracts.base import PluginSetup
from tenter.contracts.notifier import Notification, Notifier
from tenter_plugins.notifiers.options import OPTS, SECTION


class FileNotifier(Notifier):
    """Appends; never reads, truncates or rotates. A file that was moved away or removed is made anew, so that any log
    rotation works without a signal."""

    contract = "notifier 1.0"
    section = SECTION
    options = OPTS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._path = Path(setup.conf.notifier_file.path or setup.state_dir / "notifications.jsonl").absolute()
        self._fd = -1
        self._torn = False
        self._closed = False
        try:
            self._path.parent.mkdir(0o750, parents=True, exist_ok=True)
            self._open()
        except OSError as exc:
            words = f"{self._path} cannot be written ([{SECTION}] path): {exc.strerror}: {exc.filename}."
            raise errors.Unavailable(words) from exc

    def notify(self, notification: Notification) -> None:
        """Append a line with one write, which the kernel does not mix with those of others. Raises Unavailable."""
        if self._closed:
            raise errors.Unavailable(f"The notifier of {self._path} is closed.")
        try:
            self._append(notification)
        except OSError as exc:
            raise errors.Unavailable(f"{self._path} cannot be written: {exc.strerror or exc}.") from exc

    def _append(self, notification: Notification) -> None:
        if not self._is_there():
            self._open()
        line = orjson.dumps(asdict(notification)) + b"\n"
        if self._torn:  # what a full disk cut off must not spoil this line too
            line = b"\n" + line
        written = os.write(self._fd, line)
        self._torn = written != len(line)
        if self._torn:
            raise errors.Unavailable(f"{self._path} took only {written} of {len(line)} bytes.")

    def close(self) -> None:
        """Close the file for good."""
        self._closed = True
        self._release()

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _is_there(self) -> bool:
        with contextlib.suppress(OSError):
            at, mine = os.stat(self._path), os.fstat(self._fd)
            return (at.st_dev, at.st_ino) == (mine.st_dev, mine.st_ino)
        return False

    def _open(self) -> None:
        self._release()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._torn = False
