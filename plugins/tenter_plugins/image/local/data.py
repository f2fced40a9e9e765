"""The data: a file an image, written beside and moved into place whole.

A file that is being written is locked (flock) by its writer until it is either in place and recorded, or
gone. So whoever sweeps knows which files are nobody's, whichever process wrote them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tenter import errors

CHUNK = 256 * 1024
HASH = "sha512"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Stored:
    """What was written: bytes, MD5 and ``HASH`` of them, in hex."""

    size: int
    checksum: str
    digest: str


class FileChunks:
    """An iterator over an open file that closes it at the end, when told, and when forgotten."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "rb", buffering=0)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = b"" if self._file.closed else self._file.read(CHUNK)
        if not chunk:
            self._file.close()
            raise StopIteration
        return chunk

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        self._file.close()


class DataStore:
    """The files of one directory: ``data/ID`` are complete, ``incoming/ID`` are being written."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / "data"
        self._incoming = directory / "incoming"
        for each in (self._data, self._incoming):
            each.mkdir(mode=0o700, exist_ok=True)

    def open(self, image_id: str) -> FileChunks:
        """Return the chunks of complete data. Raises ImageUnusable if there is none."""
        try:
            return FileChunks(os.open(self._data / image_id, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError as exc:
            raise errors.ImageUnusable(f"Image {image_id} has no data.") from exc

    @contextlib.contextmanager
    def writer(self, image_id: str, limit: int) -> Iterator[Writer]:
        """Give the one writer of this image's data. Unless it was kept, nothing of it is left afterwards.

        Raises Conflict if somebody writes it already.
        """
        path = self._incoming / image_id
        writer = Writer(_locked(path, os.O_RDWR | os.O_CREAT), path, self._data / image_id, limit)
        try:
            with writer.file:  # closing it gives up the lock, so what is unlinked is unlinked before
                try:
                    yield writer
                finally:
                    if not writer.kept:
                        writer.path.unlink(missing_ok=True)
        except OSError as exc:
            raise _translate(exc) from exc

    def remove(self, image_id: str) -> None:
        """Remove complete data, if there is any."""
        (self._data / image_id).unlink(missing_ok=True)

    def names(self) -> frozenset[str]:
        """Return the id of each image of which there is any data, complete or not."""
        return frozenset(path.name for each in (self._incoming, self._data) for path in each.iterdir())

    def recording(self, image_id: str) -> bool:
        """Return whether some writer has put this image's data into place and is not done with it."""
        try:
            os.close(_locked(self._data / image_id, os.O_RDWR))
        except FileNotFoundError:
            return False
        except errors.Conflict:
            return True
        return False


class Writer:
    """Writes one image's data."""

    def __init__(self, descriptor: int, path: Path, target: Path, limit: int) -> None:
        self.file = os.fdopen(descriptor, "wb", buffering=0)
        self.path = path
        self.kept = False
        self._target = target
        self._limit = limit

    def write(self, chunks: Iterable[bytes]) -> Stored:
        """Write all to disk. Raises TooLarge beyond the limit, and OSError."""
        md5, sha, size = hashlib.md5(usedforsecurity=False), hashlib.new(HASH), 0
        self.file.truncate(0)
        for chunk in chunks:
            size += len(chunk)
            if size > self._limit:
                raise errors.TooLarge(f"An image may have at most {self._limit} bytes.")
            md5.update(chunk)
            sha.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[self.file.write(view) :]
        os.fsync(self.file.fileno())
        return Stored(size, md5.hexdigest(), sha.hexdigest())

    def drop(self) -> None:
        """Give back the space at once: recording the failure may need some."""
        self.file.truncate(0)

    def move(self) -> None:
        """Put the complete file into its place; it stays only if ``kept`` is set before the writer is
        left."""
        self.path.rename(self._target)
        self.path = self._target
        descriptor = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _locked(path: Path, flags: int) -> int:
    """Return a descriptor of the file with its lock. Raises Conflict if another has it, FileNotFoundError."""
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(descriptor, path):
                return descriptor
        except BlockingIOError as exc:
            os.close(descriptor)
            raise errors.Conflict(f"Data of image {path.name} is being uploaded already.") from exc
        os.close(descriptor)  # it was removed or moved between open and lock: look again


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _translate(exc: OSError) -> errors.TenterError:
    if exc.errno in _FULL:
        return errors.ResourceExhausted("There is no space left on the disk that holds the images.")
    return errors.Unavailable(f"The image's data cannot be written: {exc.strerror}.")
