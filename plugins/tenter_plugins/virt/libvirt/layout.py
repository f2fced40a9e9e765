"""Where the driver keeps what: one directory a guest, named by its UUID."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from tenter import errors


@dataclass(frozen=True)
class GuestDir:
    """The directory of one guest. It exists from the start of ``spawn`` to the end of ``destroy``."""

    path: Path

    @property
    def uuid(self) -> str:
        """The guest's UUID."""
        return self.path.name

    @property
    def root_disk(self) -> Path:
        """qcow2 overlay over a base image of the cache."""
        return self.path / "disk"

    @property
    def swap_disk(self) -> Path:
        """Empty qcow2 disk; exists only if the flavor has swap."""
        return self.path / "disk.swap"

    @property
    def ephemeral_disk(self) -> Path:
        """Empty qcow2 disk; exists only if the flavor has an ephemeral disk."""
        return self.path / "disk.ephemeral"

    @property
    def config_drive(self) -> Path:
        """iso9660 image with label config-2; exists only if one was asked for."""
        return self.path / "disk.config"

    @property
    def console_log(self) -> Path:
        """What the serial console printed; QEMU appends to it."""
        return self.path / "console.log"

    @property
    def snapshot(self) -> Path:
        """A snapshot of the root disk; exists only while one is being made."""
        return self.path / "snapshot.part"

    @property
    def unfinished(self) -> Path:
        """Marker: exists while ``spawn`` has not ended."""
        return self.path / "unfinished"

    @property
    def title_file(self) -> Path:
        """JSON object with the key ``title``: the server's name when it was spawned."""
        return self.path / "guest.json"

    def create(self, title: str) -> None:
        """Make the directory with its marker. Raises ResourceExhausted if there is no space."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.unfinished.touch()
        self.title_file.write_text(json.dumps({"title": title}), encoding="utf-8")

    def title(self) -> str:
        """Return the server's name as it was at spawn, "" if that is not known."""
        try:
            return str(json.loads(self.title_file.read_text(encoding="utf-8"))["title"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def remove(self) -> None:
        """Remove the directory and all in it; none is no error."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.path.exists():
            shutil.rmtree(self.path)


class Layout:
    """The directories of the driver below its state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir.absolute()
        self.instances = self.state_dir / "instances"
        self.images = self.state_dir / "images"
        self.daemon = self.state_dir / "libvirtd"

    def create(self) -> None:
        """Make the directories."""
        for path in (self.instances, self.images):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def guest(self, uuid: str) -> GuestDir:
        """Return the directory of a guest (it need not exist). Raises Invalid if ``uuid`` is not a UUID."""
        try:
            name = str(UUID(uuid))
        except ValueError:
            raise errors.Invalid(f"{uuid!r} is no UUID of a guest.") from None
        return GuestDir(self.instances / name)

    def guests(self) -> Iterator[GuestDir]:
        """Yield the directories that exist, finished or not."""
        if not self.instances.is_dir():
            return
        for path in sorted(self.instances.iterdir()):
            try:
                UUID(path.name)
            except ValueError:
                continue
            yield GuestDir(path)

    @property
    def node_file(self) -> Path:
        """Where the node's UUID is kept."""
        return self.state_dir / "node-uuid"

    def node_uuid(self) -> str:
        """Return the node's UUID, made at the first call and kept in ``node_file``."""
        path = self.node_file
        try:
            return str(UUID(path.read_text(encoding="ascii").strip()))
        except (OSError, ValueError):
            fresh = path.with_suffix(".new")
            fresh.write_text(f"{uuid4()}\n", encoding="ascii")
            fresh.rename(path)
            return path.read_text(encoding="ascii").strip()
