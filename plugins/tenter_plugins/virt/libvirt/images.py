"""The cache of base images: each is fetched once, verified, and kept as a raw file that overlays stand on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tenter import errors
from tenter.contracts.virt import ImageSource

LOG = logging.getLogger(__name__)

GIB = 1 << 30
# Formats of the image service -> formats of qemu-img. vmdk is left out: it may name files of the host.
FORMATS = {"raw": "raw", "qcow2": "qcow2", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
_QCOW2_EXTERNAL_DATA = 1 << 2


class ImageCache:
    """Base images by image id and checksum, in one directory. A base never changes and is never written to."""

    def __init__(self, directory: Path, timeout: float) -> None:
        self.directory = directory
        self.timeout = timeout

    def purge_partial(self) -> None:
        """Remove what downloads and conversions of processes that died have left."""
        for part in self.directory.glob("*.part"):
            with contextlib.suppress(OSError), _try_lock(part.parent / f"{part.name.split('.')[0]}.lock") as held:
                if held:
                    part.unlink(missing_ok=True)

    def fetch(
        self, image: ImageSource, root_gib: int, report: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Path:
        """Return the raw base of ``image``, fetching it if it is not there; concurrent callers wait for one fetch.

        Raises ImageUnusable (format, checksum, larger than ``root_gib`` GiB unless that is 0), ResourceExhausted (no
        space), StaleAttempt (cancelled), or what ``image.open`` raises. Nothing is left if it raises.
        """
        if image.disk_format not in FORMATS:
            raise errors.ImageUnusable(
                f"The image {image.name!r} is of format {image.disk_format!r}; this driver takes {', '.join(FORMATS)}.",
                image=image.id,
            )
        key = hashlib.sha256(f"{image.id}\0{image.checksum}\0{image.disk_format}".encode()).hexdigest()[:32]
        base = self.directory / f"{key}.raw"
        if not base.exists():
            with _lock(self.directory / f"{key}.lock", cancelled):
                if not base.exists():
                    self._make(base, image, root_gib, report, cancelled)
        check_size(image, base.stat().st_size, root_gib)
        return base

    def _make(self, base: Path, image: ImageSource, root_gib: int, report: Any, cancelled: Any) -> None:
        download, raw = base.with_suffix(".download.part"), base.with_suffix(".raw.part")
        try:
            report("downloading")
            download.unlink(missing_ok=True)
            _download(image, download, cancelled)
            if image.disk_format == "raw":
                download.rename(raw)
            else:
                report("converting")
                self._convert(image, download, raw, root_gib)
            raw.chmod(0o444)
            raw.rename(base)
        except OSError as exc:
            raise disk_error(exc, f"keeping the image {image.name!r}") from exc
        finally:
            download.unlink(missing_ok=True)
            raw.unlink(missing_ok=True)

    def _convert(self, image: ImageSource, source: Path, target: Path, root_gib: int) -> None:
        form = FORMATS[image.disk_format]
        if form == "qcow2":
            _refuse_foreign_qcow2(image, source)
        info = json.loads(qemu_img(["info", "--output=json", "-f", form, str(source)], 60.0, image))
        if info.get("backing-filename") or info.get("encrypted"):
            raise errors.ImageUnusable(
                f"The image {image.name!r} is encrypted or refers to another file; neither can be used.", image=image.id
            )
        check_size(image, int(info["virtual-size"]), root_gib)
        argv = ["convert", "-f", form, "-O", "raw", "-t", "writeback", str(source), str(target)]
        qemu_img(argv, self.timeout, image)


def check_size(image: ImageSource, virtual_size: int, root_gib: int) -> None:
    """Raise ImageUnusable if an image of ``virtual_size`` bytes does not fit a root disk of ``root_gib`` (0: any)."""
    if root_gib and virtual_size > root_gib * GIB:
        raise errors.ImageUnusable(
            f"The image {image.name!r} needs a root disk of {virtual_size / GIB:.2f} GiB; "
            f"the flavor's has {root_gib} GiB.",
            image=image.id,
            virtual_size=virtual_size,
            root_gib=root_gib,
        )


def disk_error(exc: OSError, doing: str) -> errors.TenterError:
    """Return what an OSError of the host's disk means."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return errors.ResourceExhausted(f"The host has no disk space left ({doing}).")
    return errors.GuestFailed(f"The host's disk failed ({doing}): {exc}")


def create_disk(path: Path, size: int, base: Path | None = None) -> None:
    """Make a qcow2 disk of ``size`` bytes, over the raw file ``base`` if given; what was at ``path`` is replaced.

    Raises ResourceExhausted, GuestFailed.
    """
    path.unlink(missing_ok=True)
    over = ["-u", "-F", "raw", "-b", str(base)] if base else []
    qemu_img(["create", "-q", "-f", "qcow2", *over, str(path), str((size + 511) // 512 * 512)], 60.0)


def virtual_size(path: Path) -> int:
    """Return the size in bytes of the disk in a qcow2 file of ours."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(32)[24:32], "big")


def grow_disks(sizes: Mapping[Path, int]) -> None:
    """Make qcow2 disks as large as ``sizes`` says in bytes; one that does not exist is made, empty.

    If it raises, all are as before. Raises Invalid (one would shrink), ResourceExhausted, GuestFailed.
    """
    before = {path: virtual_size(path) if path.exists() else 0 for path in sizes}
    for path, size in sizes.items():
        if size < before[path]:
            raise errors.Invalid(f"{path.name} has {before[path]} bytes and cannot shrink to {size}.")
    grown: list[Path] = []
    try:
        for path, size in sizes.items():
            if size > before[path]:
                grown.append(path)
                _resize(path, size) if before[path] else create_disk(path, size)
    except errors.TenterError:
        for path in grown:
            _resize(path, before[path], "--shrink") if before[path] else path.unlink(missing_ok=True)
        raise


def _resize(path: Path, size: int, *options: str) -> None:
    qemu_img(["resize", "-q", "-f", "qcow2", *options, str(path), str(size)], 60.0)


def qemu_img(arguments: list[str], timeout: float, image: ImageSource | None = None) -> str:
    """Run qemu-img and return its output.

    Raises ResourceExhausted if the disk is full, else ImageUnusable if ``image`` is given, else GuestFailed;
    HypervisorUnavailable if there is no qemu-img.
    """
    failed: Callable[..., errors.TenterError] = errors.ImageUnusable if image else errors.GuestFailed
    subject = f"The image {image.name!r} cannot be used" if image else "A disk cannot be made"
    try:
        done = subprocess.run(
            ["qemu-img", *arguments], capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise failed(f"{subject}: qemu-img took longer than {timeout:g} seconds.") from None
    except FileNotFoundError:
        raise errors.HypervisorUnavailable("qemu-img is missing; install the package qemu-utils.") from None
    if done.returncode == 0:
        return done.stdout
    words = done.stderr.strip()
    if "No space left" in words or "Disk quota exceeded" in words:
        raise errors.ResourceExhausted(f"The host has no disk space left: {words}")
    raise failed(f"{subject}: {words or f'qemu-img ended with status {done.returncode}'}")


def _download(image: ImageSource, target: Path, cancelled: Callable[[], bool]) -> None:
    algorithm, _, expected = (image.checksum or "").partition(":")
    try:
        digest = hashlib.new(algorithm) if image.checksum else None
    except ValueError:
        raise errors.ImageUnusable(
            f"The checksum of image {image.name!r} is of unknown kind {algorithm!r}.", image=image.id
        ) from None
    size = 0
    with target.open("xb") as out:
        for chunk in image.open():
            if cancelled():
                raise errors.StaleAttempt("The guest is not wanted any more.")
            size += len(chunk)
            if digest:
                digest.update(chunk)
            out.write(chunk)
    if digest and digest.hexdigest() != expected.lower():
        raise errors.ImageUnusable(
            f"The image {image.name!r} is damaged: its {algorithm} is {digest.hexdigest()}, not {expected}.",
            image=image.id,
        )
    if image.size and size != image.size:
        raise errors.ImageUnusable(
            f"The image {image.name!r} is damaged: {size} bytes came, not {image.size}.", image=image.id
        )


def _refuse_foreign_qcow2(image: ImageSource, source: Path) -> None:
    # Read by hand, before qemu-img opens the file: opening may already follow the names in it. Header as in
    # https://www.qemu.org/docs/master/interop/qcow2.html (big endian).
    with source.open("rb") as file:
        header = file.read(80)
    if header[:4] != b"QFI\xfb":
        raise errors.ImageUnusable(f"The image {image.name!r} is said to be qcow2 and is not.", image=image.id)
    version = int.from_bytes(header[4:8], "big")
    features = int.from_bytes(header[72:80], "big") if version >= 3 else 0
    if header[8:16] != bytes(8):
        raise errors.ImageUnusable(f"The image {image.name!r} has a backing file; that is not allowed.", image=image.id)
    if features & _QCOW2_EXTERNAL_DATA:
        raise errors.ImageUnusable(
            f"The image {image.name!r} keeps its data in another file; that is not allowed.", image=image.id
        )


@contextlib.contextmanager
def _lock(path: Path, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock file; processes and threads exclude each other, and a dead holder's lock is free."""
    while True:
        with _try_lock(path) as held:
            if held:
                yield
                return
        if cancelled():
            raise errors.StaleAttempt("The guest is not wanted any more.")
        time.sleep(0.05)


@contextlib.contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
