"""Images: tar archives of a root file system, kept once they are verified, and unpacked for each guest."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tenter import errors
from tenter.contracts.virt import ImageSource

GIB = 1 << 30
IDS = 65536
"""How many users and groups a guest has."""

DISK_FORMAT = "raw"
"""The Image API has no word for an archive; ``raw`` comes nearest: data as it is."""

Cancelled = Callable[[], bool]


class Archives:
    """Archives by image id and checksum, in one directory. One that is there was verified, and never changes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fetch(self, image: ImageSource, cancelled: Cancelled) -> Path:
        """Return the archive of ``image``, fetching it if it is not there; concurrent callers wait for one fetch.

        Raises ImageUnusable, ResourceExhausted, StaleAttempt (cancelled), or what ``image.open`` raises.
        """
        if image.disk_format != DISK_FORMAT:
            raise errors.ImageUnusable(
                f"The image {image.name!r} is of format {image.disk_format!r}; this driver takes tar archives of a "
                f"root file system, uploaded with disk_format {DISK_FORMAT!r}."
            )
        key = hashlib.sha256(f"{image.id}\0{image.checksum}".encode()).hexdigest()[:32]
        archive, part = self.directory / f"{key}.tar", self.directory / f"{key}.part"
        with _lock(self.directory / f"{key}.lock", cancelled):
            if not archive.exists():
                try:
                    _download(image, part, cancelled)
                    part.rename(archive)
                finally:
                    part.unlink(missing_ok=True)
        return archive


def unpack(image: ImageSource, archive: Path, root: Path, base: int, timeout: float, cancelled: Cancelled) -> None:
    """Unpack the archive (plain, or compressed in a way that tar knows) into the new directory ``root``.

    tar runs in a user namespace where root is the host's user ``base``: it can make neither devices nor files of the
    host's users, and reach nothing else, whatever the archive says. Devices in ``/dev`` are left out, for libvirt
    makes that directory. Raises ImageUnusable, ResourceExhausted, StaleAttempt (cancelled).
    """
    root.mkdir(mode=0o755)
    os.chown(root, base, base)
    with user_namespace(base) as pid, archive.open("rb") as data, (root.parent / "unpack.log").open("w+b") as said:
        argv = ["nsenter", f"--user=/proc/{pid}/ns/user", "--setuid", "0", "--setgid", "0", "--",
                "tar", "--extract", "--file=/dev/stdin", "--numeric-owner", "--same-permissions", "--same-owner",
                "--xattrs", "--xattrs-include=security.capability", "--delay-directory-restore", "--no-overwrite-dir",
                "--anchored", "--exclude=dev/*", "--exclude=./dev/*"]  # fmt: skip
        environment = {**os.environ, "LC_ALL": "C"}
        process = subprocess.Popen(argv, cwd=root, env=environment, stdin=data, stdout=said, stderr=said)
        try:
            _wait(process, timeout, cancelled, image)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        words = said.read(2000).decode(errors="replace").strip()
    if process.returncode != 0 and "No space left" in words:
        raise errors.ResourceExhausted("The host has no disk space left (unpacking an image).")
    if process.returncode != 0:
        reason = words.partition("\n")[0] or "tar was killed"
        raise errors.ImageUnusable(f"The image {image.name!r} cannot be unpacked: {reason}")


@contextlib.contextmanager
def user_namespace(base: int) -> Iterator[int]:
    """Hold a user namespace whose users and groups are the host's from ``base`` on; the value is a pid in it.

    Raises HypervisorUnavailable if the kernel allows none.
    """
    command = ["unshare", "--user", "--", "sh", "-c", "echo; read line"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as holder:
        try:
            _map_users(holder, base)
            yield holder.pid
        finally:
            holder.kill()


def _map_users(holder: subprocess.Popen[bytes], base: int) -> None:
    assert holder.stdout and holder.stderr
    begun = holder.stdout.read(1)  # it is in its namespace now, or has ended
    try:
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{kind}").write_text(f"0 {base} {IDS}\n", encoding="ascii")
    except OSError as exc:
        words = str(exc) if begun else holder.stderr.read().decode(errors="replace").strip()
        raise errors.HypervisorUnavailable(f"This host allows no user namespaces: {words}") from exc


def check_size(image: ImageSource, root: Path, root_gib: int) -> None:
    """Raise ImageUnusable if what was unpacked is larger than ``root_gib`` GiB (0: any size will do)."""
    argv = ["du", "--summarize", "--block-size=1", str(root)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise errors.ImageUnusable(f"The size of image {image.name!r} cannot be found: {done.stderr.strip()}")
    size = int(done.stdout.split()[0]) / GIB
    if root_gib and size > root_gib:
        raise errors.ImageUnusable(
            f"The image {image.name!r} needs a root disk of {size:.2f} GiB; the flavor's has {root_gib} GiB."
        )


def _wait(process: subprocess.Popen[bytes], timeout: float, cancelled: Cancelled, image: ImageSource) -> None:
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            return
        if cancelled():
            raise errors.StaleAttempt("The guest is not wanted any more.")
        if time.monotonic() > deadline:
            raise errors.ImageUnusable(f"The image {image.name!r} was not unpacked in {timeout:g} seconds.")


def _download(image: ImageSource, target: Path, cancelled: Cancelled) -> None:
    algorithm, _, expected = (image.checksum or "").partition(":")
    try:
        digest = hashlib.new(algorithm or "sha256")
    except ValueError:
        raise errors.ImageUnusable(f"The checksum of {image.name!r} is of unknown kind {algorithm!r}.") from None
    size = 0
    with target.open("wb") as file:
        os.fchmod(file.fileno(), 0o444)  # tar, which is no root of the host, opens it anew
        for chunk in image.open():
            if cancelled():
                raise errors.StaleAttempt("The guest is not wanted any more.")
            size += len(chunk)
            digest.update(chunk)
            file.write(chunk)
    if expected and digest.hexdigest() != expected.lower():
        raise errors.ImageUnusable(
            f"The image {image.name!r} is damaged: its {algorithm} is {digest.hexdigest()}, not {expected}."
        )
    if image.size and size != image.size:
        raise errors.ImageUnusable(f"The image {image.name!r} is damaged: {size} bytes came, not {image.size}.")


@contextlib.contextmanager
def _lock(path: Path, cancelled: Cancelled) -> Iterator[None]:
    """Hold the lock file against threads and processes; a dead holder's lock is free."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if cancelled():
                    raise errors.StaleAttempt("The guest is not wanted any more.") from None
                time.sleep(0.05)
        yield
