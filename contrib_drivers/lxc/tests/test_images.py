"""Archives of strangers: whatever is in them, nothing of the host is touched."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from root_tar import add
from tenter import errors
from tenter.contracts.virt import ImageSource
from tenter_lxc import images
from tenter_lxc.guest_dir import GuestDir

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="user namespaces of other users need root")
BASE = 1_000_000
IMAGE = ImageSource("id", "image", "raw", 0, None, lambda: iter([]))
Fill = Callable[[tarfile.TarFile], None]


def tar(fill: Fill, compression: str = "") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as archive:
        fill(archive)
    return data.getvalue()


def unpack(directory: Path, data: bytes, cancelled: Callable[[], bool] = lambda: False) -> Path:
    image = ImageSource(str(uuid.uuid4()), "image", "raw", len(data), None, lambda: iter([data]))
    archives = images.Archives(directory / "images")
    for each in (archives.directory, directory / "guest"):
        each.mkdir(mode=0o700)
    root = directory / "guest" / "root"
    images.unpack(image, archives.fetch(image, cancelled), root, BASE, 30, cancelled)
    return root


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_users_are_the_guests_own(tmp_path: Path, compression: str) -> None:
    def fill(archive: tarfile.TarFile) -> None:
        add(archive, ".", kind=tarfile.DIRTYPE)
        for name, user in (("root", 0), ("user", 1000)):
            member = tarfile.TarInfo(name)
            member.uid = member.gid = user
            member.mode = 0o4755
            archive.addfile(member)

    root = unpack(tmp_path, tar(fill, compression))
    owners = {path.name: (path.stat().st_uid - BASE, path.stat().st_gid - BASE) for path in (root, *root.iterdir())}
    assert owners == {"root": (0, 0), "user": (1000, 1000)}
    assert (root / "user").stat().st_mode & 0o7777 == 0o4755


def test_devices_in_dev_are_left_out(tmp_path: Path) -> None:
    def fill(archive: tarfile.TarFile) -> None:
        for name in ("dev", "./dev/sub"):
            add(archive, name, kind=tarfile.DIRTYPE)
        for name in ("dev/null", "./dev/sda", "dev/sub/sda"):
            add(archive, name, kind=tarfile.BLKTYPE)
        add(archive, "etc/dev/file")

    root = unpack(tmp_path, tar(fill))
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["dev", "etc", "etc/dev", "etc/dev/file"]


def test_no_device_is_made(tmp_path: Path) -> None:
    with pytest.raises(errors.ImageUnusable, match="disk"):
        unpack(tmp_path, tar(lambda archive: add(archive, "tmp/disk", kind=tarfile.BLKTYPE)))


@pytest.mark.parametrize("what", ["parent", "absolute", "symlink", "symlink to parent", "hard link"])
def test_nothing_outside_is_touched(tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (outside / "mine").write_text("mine")

    def fill(archive: tarfile.TarFile) -> None:
        if what == "parent":
            add(archive, "../../outside/mine", b"theirs")
        elif what == "absolute":
            add(archive, f"{outside}/mine", b"theirs")
        elif what.startswith("symlink"):
            add(archive, "link", kind=tarfile.SYMTYPE, link="../../outside" if "parent" in what else str(outside))
            add(archive, "link/mine", b"theirs")
        else:
            add(archive, "link", kind=tarfile.LNKTYPE, link="../../outside/mine")
            add(archive, "link", b"theirs")

    try:
        unpack(tmp_path, tar(fill))
    except errors.ImageUnusable:
        pass
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"mine": "mine"}
    assert (outside / "mine").stat().st_nlink == 1 and (outside / "mine").stat().st_uid == 0


@pytest.mark.parametrize("data", [b"no archive at all" * 1000, b"\x1f\x8b broken"], ids=["text", "gzip"])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(errors.ImageUnusable, match="cannot be unpacked"):
        unpack(tmp_path, data)


def test_cancelled_while_it_is_unpacked(tmp_path: Path) -> None:
    answers = iter([False])
    with pytest.raises(errors.StaleAttempt):
        unpack(tmp_path, tar(lambda archive: add(archive, "file", bytes(64 << 20)), "gz"), lambda: next(answers, True))


def test_users_that_the_host_does_not_have() -> None:
    with pytest.raises(errors.HypervisorUnavailable, match="user namespaces"), images.user_namespace(2**32 - 1):
        pass


def test_an_unpacking_that_nobody_waits_for_any_more(tmp_path: Path) -> None:
    guest = GuestDir(tmp_path / "guest")
    guest.create(BASE)
    guest.root.mkdir()
    with subprocess.Popen(["sleep", "60"], cwd=guest.root) as tar_of_a_driver_that_died:
        reaper = threading.Thread(target=tar_of_a_driver_that_died.wait)
        reaper.start()
        guest.remove()
        reaper.join(10)
        assert tar_of_a_driver_that_died.returncode == -signal.SIGKILL
    assert not guest.path.exists()


def test_directories_deeper_than_pythons_stack(tmp_path: Path) -> None:
    def fill(archive: tarfile.TarFile) -> None:
        for depth in (500, 1000, 1500):
            add(archive, "d/" * depth, kind=tarfile.DIRTYPE)

    root = unpack(tmp_path, tar(fill))
    images.check_size(IMAGE, root, 1)
    GuestDir(root.parent).remove()
    assert not root.parent.exists()


def test_larger_than_the_flavor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "GIB", 1 << 20)
    root = unpack(tmp_path, tar(lambda archive: add(archive, "deep/file", bytes(1 << 20))))
    images.check_size(IMAGE, root, 2)
    images.check_size(IMAGE, root, 0)
    with pytest.raises(errors.ImageUnusable, match="root disk"):
        images.check_size(IMAGE, root, 1)
