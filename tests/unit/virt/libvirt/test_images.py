from __future__ import annotations

import errno
import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenter import errors
from tenter.contracts.virt import ImageSource
from tenter_plugins.virt.libvirt import images

CONTENT = b"tenter" * 1024
needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")


class Source:
    """An image whose bytes are ``content``; counts how often it was opened."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.opened = 0

    def open(self) -> Iterator[bytes]:
        self.opened += 1
        for start in range(0, len(self.content), 1000):
            yield self.content[start : start + 1000]

    def image(self, **changes: Any) -> ImageSource:
        values: dict[str, Any] = {
            "id": "i", "name": "img", "disk_format": "raw", "size": len(self.content),
            "checksum": f"sha256:{hashlib.sha256(self.content).hexdigest()}", "open": self.open,
        }  # fmt: skip
        return ImageSource(**(values | changes))


@pytest.fixture
def cache(tmp_path: Path) -> images.ImageCache:
    (tmp_path / "images").mkdir()
    return images.ImageCache(tmp_path / "images", 60.0)


def fetch(cache: images.ImageCache, image: ImageSource, root_gib: int = 0, cancelled: Any = lambda: False) -> Path:
    return cache.fetch(image, root_gib, lambda word: None, cancelled)


def kept(cache: images.ImageCache) -> list[str]:
    return [path.name for path in cache.directory.iterdir() if path.suffix != ".lock"]


def test_fetched_once_and_kept(cache: images.ImageCache) -> None:
    source = Source()
    base = fetch(cache, source.image())
    assert base.read_bytes() == CONTENT
    assert fetch(cache, source.image()) == base
    assert source.opened == 1
    assert kept(cache) == [base.name]
    assert fetch(cache, source.image(checksum=None)) != base, "another checksum is another image"


def test_many_wait_for_one(cache: images.ImageCache) -> None:
    source, go, got = Source(), threading.Event(), []

    def slow() -> Iterator[bytes]:
        go.wait(10)
        yield from source.open()

    threads = [threading.Thread(target=lambda: got.append(fetch(cache, source.image(open=slow)))) for _ in range(5)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(10)
    assert (len(got), len(set(got)), source.opened) == (5, 1, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checksum": "sha256:" + "0" * 64}, "damaged"),
        ({"checksum": "md7:00"}, "unknown kind 'md7'"),
        ({"checksum": None, "size": 5}, "damaged"),
        ({"disk_format": "vmdk"}, "'vmdk'"),
        ({"disk_format": "qcow2"}, "is not"),
    ],
)
def test_unusable(cache: images.ImageCache, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.ImageUnusable, match=words):
        fetch(cache, Source().image(**changes))
    assert kept(cache) == []


def test_larger_than_root(cache: images.ImageCache) -> None:
    image = Source().image()
    images.check_size(image, images.GIB, 1)
    images.check_size(image, 5 * images.GIB, 0)
    with pytest.raises(errors.ImageUnusable, match=r"1\.50 GiB; the flavor's has 1 GiB"):
        images.check_size(image, images.GIB * 3 // 2, 1)


def test_cancelled_and_failing_downloads_leave_nothing(cache: images.ImageCache) -> None:
    with pytest.raises(errors.StaleAttempt):
        fetch(cache, Source().image(), cancelled=lambda: True)

    def broken() -> Iterator[bytes]:
        yield b"some"
        raise errors.NotFound("gone")

    def full() -> Iterator[bytes]:
        yield b"some"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(errors.NotFound):
        fetch(cache, Source().image(open=broken))
    with pytest.raises(errors.ResourceExhausted):
        fetch(cache, Source().image(open=full))
    assert kept(cache) == []


def test_purge_leaves_what_is_being_made(cache: images.ImageCache) -> None:
    (cache.directory / "dead.download.part").touch()
    (cache.directory / "dead.raw.part").touch()
    busy = cache.directory / "busy.raw.part"
    busy.touch()
    with images._try_lock(cache.directory / "busy.lock") as held:
        assert held
        cache.purge_partial()
        assert kept(cache) == [busy.name]
    cache.purge_partial()
    assert kept(cache) == []


def qcow2(tmp_path: Path, *options: str) -> Source:
    path = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, "4M"], check=True, cwd=tmp_path)
    return Source(path.read_bytes())


@needs_qemu_img
def test_qcow2_becomes_raw(cache: images.ImageCache, tmp_path: Path) -> None:
    base = fetch(cache, qcow2(tmp_path).image(disk_format="qcow2"))
    assert base.stat().st_size == 4 << 20
    assert base.stat().st_mode & 0o222 == 0


@needs_qemu_img
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-u", "-F", "raw", "-b", "/etc/passwd"), "backing file"),
        (("-o", "data_file=other.raw"), "in another file"),
        (("--object", "secret,id=s,data=pw", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"),
         "encrypted"),
    ],
)  # fmt: skip
def test_qcow2_that_reaches_out_is_refused(
    cache: images.ImageCache, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    with pytest.raises(errors.ImageUnusable, match=words):
        fetch(cache, qcow2(tmp_path, *options).image(disk_format="qcow2"))
    assert kept(cache) == []


@needs_qemu_img
def test_damaged_qcow2(cache: images.ImageCache, tmp_path: Path) -> None:
    source = qcow2(tmp_path)
    source.content = source.content[:8] + bytes(60)
    with pytest.raises(errors.ImageUnusable, match="cannot be used"):
        fetch(cache, source.image(disk_format="qcow2"))
    assert kept(cache) == []


@needs_qemu_img
def test_overlay(tmp_path: Path) -> None:
    base, disk = tmp_path / "base", tmp_path / "disk"
    base.write_bytes(bytes(1000))
    images.create_disk(disk, 1000, base)
    images.create_disk(disk, 1 << 20, base)
    info = images.qemu_img(["info", str(disk)], 10)
    assert f"backing file: {base}" in info
    assert "1 MiB" in info


@needs_qemu_img
def test_disks_grow_or_stay_all_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, swap, more = (tmp_path / name for name in ("disk", "disk.swap", "disk.ephemeral"))
    images.create_disk(root, 1 << 20)
    images.grow_disks({root: 2 << 20, swap: 3 << 20, more: 0})
    assert images.virtual_size(root) == 2 << 20 and images.virtual_size(swap) == 3 << 20 and not more.exists()
    with pytest.raises(errors.Invalid, match="disk has 2097152 bytes and cannot shrink to 1048576"):
        images.grow_disks({swap: 4 << 20, root: 1 << 20})
    assert images.virtual_size(swap) == 3 << 20

    def full(path: Path, size: int) -> None:
        raise errors.ResourceExhausted("The disk is full.")

    monkeypatch.setattr(images, "create_disk", full)
    with pytest.raises(errors.ResourceExhausted):
        images.grow_disks({root: 8 << 20, more: 1 << 20})
    assert images.virtual_size(root) == 2 << 20 and not more.exists()
