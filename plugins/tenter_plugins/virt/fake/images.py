"""The images that fake guests were made from: each is fetched once and verified."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid as uuidlib
from collections.abc import Generator
from pathlib import Path

from tenter import errors
from tenter.contracts.virt import ImageSource, Snapshot

_CHUNK = 1 << 20


class Images:
    """Base images in one directory, a file each; a file that has its name is whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._there: set[str] = set()
        self._fetching: dict[str, threading.Lock] = {}

    def load(self) -> None:
        """Remove what an earlier process has not fetched to the end."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for leftover in self.directory.glob("*.part"):
            leftover.unlink(missing_ok=True)

    def fetch(self, image: ImageSource) -> str:
        """Return the key of an image that is here and whole. Raises ImageUnusable, ResourceExhausted, or what reading
        the image raises; nothing is left then."""
        key = hashlib.sha256(f"{image.id}\0{image.checksum}\0{image.disk_format}".encode()).hexdigest()[:32]
        if key not in self._there:
            with self._fetching.setdefault(key, threading.Lock()):
                if not self._path(key).exists():
                    self._download(image, key)
                self._there.add(key)
        return key

    def snapshot(self, key: str) -> Snapshot:
        """Return the data of an image. Raises GuestFailed if it is not here."""
        path = self._path(key)
        try:
            size = path.stat().st_size
        except OSError as exc:
            raise errors.GuestFailed(f"The guest's disk cannot be read: {exc}.") from exc
        return Snapshot("raw", size, _read(path))

    def _download(self, image: ImageSource, key: str) -> None:
        part = self.directory / f"{key}.{uuidlib.uuid4()}.part"
        try:
            size, digest = _copy(image, part)
            expected = (image.checksum or "").partition(":")[2]
            if expected and digest != expected:
                raise errors.ImageUnusable(f"The data of image {image.id} has not the checksum {image.checksum}.")
            if image.size and size != image.size:
                raise errors.ImageUnusable(f"Of image {image.id} came {size} bytes, not {image.size}.")
            os.replace(part, self._path(key))
        except OSError as exc:
            raise errors.ResourceExhausted(f"The image could not be kept: {exc.strerror}.") from exc
        finally:
            part.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.directory / key


def _copy(image: ImageSource, target: Path) -> tuple[int, str]:
    """Return the number of bytes copied and their digest."""
    algorithm = (image.checksum or "sha256:").partition(":")[0]
    try:
        digest = hashlib.new(algorithm)
    except ValueError:
        raise errors.ImageUnusable(f"The checksum of image {image.id} is of unknown kind {algorithm!r}.") from None
    size = 0
    with target.open("xb") as out:
        for chunk in image.open():
            size += len(chunk)
            digest.update(chunk)
            out.write(chunk)
    return size, digest.hexdigest()


def _read(path: Path) -> Generator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
