"""What the driver keeps for each guest: one directory, named by its UUID, from the start of spawn to destroy's end."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tenter import errors


@dataclass(frozen=True)
class GuestDir:
    """The directory of one guest; it need not exist."""

    path: Path

    @property
    def uuid(self) -> str:
        """The guest's UUID."""
        return self.path.name

    @property
    def root(self) -> Path:
        """The guest's root file system. Its content is not to be trusted: a link in it may lead anywhere."""
        return self.path / "root"

    @property
    def seed(self) -> Path:
        """The config drive's files, which the guest sees read-only; exists only if they were asked for."""
        return self.path / "seed"

    @property
    def console_log(self) -> Path:
        """What the guest's console printed."""
        return self.path / "console.log"

    @property
    def unfinished(self) -> Path:
        """Marker: exists while ``spawn`` has not ended."""
        return self.path / "unfinished"

    @property
    def idmap_base(self) -> int:
        """The host's user who is the guest's root."""
        return int((self.path / "idmap-base").read_text(encoding="ascii"))

    def create(self, idmap_base: int) -> None:
        """Make the directory with its marker."""
        self.path.mkdir(mode=0o711)
        self.unfinished.touch()
        (self.path / "idmap-base").write_text(str(idmap_base), encoding="ascii")

    def remove(self) -> None:
        """Remove the directory and all in it; none is no error."""
        self._end_unpacking()
        # Not shutil.rmtree: a guest may make directories deeper than Python's stack.
        done = subprocess.run(["rm", "-rf", "--", str(self.path)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise errors.GuestFailed(f"The directory of guest {self.uuid} cannot be removed: {done.stderr.strip()}")

    def _end_unpacking(self) -> None:
        """End what a driver that died while it unpacked an image has left running."""
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if link.readlink() == self.root:
                    os.kill(int(link.parent.name), signal.SIGKILL)
                    while link.exists():
                        time.sleep(0.01)


def find(directory: Path, uuid: str) -> GuestDir:
    """Return the directory of a guest below ``directory``. Raises Invalid if ``uuid`` is no UUID."""
    try:
        return GuestDir(directory / str(UUID(uuid)))
    except ValueError:
        raise errors.Invalid(f"{uuid!r} is no UUID of a guest.") from None


def find_all(directory: Path) -> Iterator[GuestDir]:
    """Yield the guests' directories below ``directory``."""
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            yield GuestDir(path)


@contextlib.contextmanager
def host_disk(doing: str) -> Iterator[None]:
    """Let an OSError of what is done inside leave as one of our errors."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.ResourceExhausted(f"The host has no disk space left ({doing}).") from exc
        raise errors.GuestFailed(f"The host failed ({doing}): {exc}") from exc
