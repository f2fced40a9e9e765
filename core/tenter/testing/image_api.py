"""The checks of the power ``image_api``, part of the conformance kit of image drivers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tenter import errors
from tenter.contracts.image import (
    DownloadRequest,
    ImageQuery,
    ImportRequest,
    ShowRequest,
    SupportsImageApi,
    UploadRequest,
)
from tenter.testing.base import needs

OWNER, OTHER = "1" * 32, "2" * 32
FORMATS = {"disk_format": "raw", "container_format": "bare"}


def _queued(driver: Any, **values: object) -> str:
    return str(driver.create({"name": "conformance", "owner": OWNER, "visibility": "private", **FORMATS, **values}).id)


def _active(driver: Any, data: bytes = b"data", **values: object) -> str:
    image_id = _queued(driver, **values)
    driver.upload(UploadRequest(image_id, iter((data,)), len(data)))
    return image_id


def _read(driver: Any, image_id: str) -> bytes:
    return b"".join(driver.download(DownloadRequest(image_id)))


class ImageApiChecks:
    """What must hold of an image driver that is the image service of an embedded fabric."""

    @needs(SupportsImageApi)
    def test_upload_broken_off(self, ready: Any) -> None:
        """An upload that breaks off raises, and leaves the image queued and without data; it can be tried again."""
        image_id = _queued(ready)
        data = os.urandom(300_000)

        def gone() -> Iterator[bytes]:
            yield data[:200_000]
            raise errors.Invalid("The client went away.")

        for chunks in (gone(), iter((data[:200_000],)), iter((data, b"too much"))):
            with pytest.raises(errors.Invalid):
                ready.upload(UploadRequest(image_id, chunks, len(data)))
            assert ready.show(ShowRequest(image_id)).status == "queued"
            with pytest.raises(errors.ImageUnusable):
                _read(ready, image_id)
        assert ready.upload(UploadRequest(image_id, iter((data,)), len(data))).status == "active"
        assert _read(ready, image_id) == data

    @needs(SupportsImageApi)
    def test_upload_of_unknown_size(self, ready: Any) -> None:
        """Data of unknown size is taken as far as it goes, empty chunks and all."""
        image_id = _queued(ready)
        image = ready.upload(UploadRequest(image_id, iter((b"one", b"", b"two"))))
        assert (image.size, image.status) == (6, "active")
        assert _read(ready, image_id) == b"onetwo"

    @needs(SupportsImageApi)
    def test_upload_too_large(self, ready: Any) -> None:
        """Data larger than ``max_image_bytes`` raises TooLarge, and the image stays queued."""
        image_id = _queued(ready)
        with pytest.raises(errors.TooLarge):
            ready.upload(UploadRequest(image_id, iter((b"x",)), ready.max_image_bytes + 1))
        assert ready.show(ShowRequest(image_id)).status == "queued"

    @needs(SupportsImageApi)
    def test_upload_once(self, ready: Any) -> None:
        """An image that has data keeps it: another upload raises Conflict; one for no image raises NotFound."""
        image_id = _active(ready, b"first")
        with pytest.raises(errors.Conflict):
            ready.upload(UploadRequest(image_id, iter((b"second",)), 6))
        assert _read(ready, image_id) == b"first"
        with pytest.raises(errors.NotFound):
            ready.upload(UploadRequest("00000000-0000-4000-8000-000000000000", iter((b"x",)), 1))

    @needs(SupportsImageApi)
    def test_uploads_at_once(self, ready: Any) -> None:
        """Of several uploads of one image at once one is done and all others raise Conflict; the data is of that
        one."""
        image_id = _queued(ready)
        start = threading.Barrier(4)

        def upload(number: int) -> bytes | None:
            data = bytes([number]) * 200_000
            start.wait(30)
            try:
                ready.upload(UploadRequest(image_id, iter((data[:1000], data[1000:])), len(data)))
            except errors.Conflict:
                return None
            return data

        with ThreadPoolExecutor(4) as pool:
            done = [data for data in pool.map(upload, range(4)) if data is not None]
        assert len(done) == 1, f"{len(done)} uploads of one image were done"
        assert _read(ready, image_id) == done[0]

    @needs(SupportsImageApi)
    def test_upload_is_kept(self, ready: Any, make: Callable[..., Any]) -> None:
        """On return from ``upload`` another process finds the data."""
        data = os.urandom(100_000)
        image_id = _active(ready, data)
        assert _read(make(), image_id) == data

    @needs(SupportsImageApi)
    def test_delete(self, ready: Any) -> None:
        """A deleted image is gone with its data; to delete it again raises NotFound."""
        image_id = _active(ready)
        ready.delete(image_id)
        for use in (lambda: ready.show(ShowRequest(image_id)), lambda: _read(ready, image_id)):
            with pytest.raises(errors.NotFound):
                use()
        with pytest.raises(errors.NotFound):
            ready.delete(image_id)

    @needs(SupportsImageApi)
    def test_delete_protected(self, ready: Any) -> None:
        """A protected image cannot be deleted (Forbidden) until it is no longer protected."""
        image_id = _active(ready, protected=True)
        with pytest.raises(errors.Forbidden):
            ready.delete(image_id)
        assert _read(ready, image_id) == b"data"
        ready.update(image_id, {"protected": False})
        ready.delete(image_id)

    @needs(SupportsImageApi)
    def test_create_with_an_id(self, ready: Any) -> None:
        """An id that is asked for is the image's; one that is taken raises Conflict."""
        wanted = "7e57ab1e-0000-4000-8000-000000000001"
        assert _queued(ready, id=wanted) == wanted
        with pytest.raises(errors.Conflict):
            _queued(ready, id=wanted)

    @needs(SupportsImageApi)
    def test_update(self, ready: Any) -> None:
        """Fields that are set stay set; ``properties`` replaces all; the formats of an image with data do not change
        (Conflict); an unknown image raises NotFound."""
        image_id = _active(ready, properties={"old": "1"})
        ready.update(image_id, {"name": "é\u2028 new", "properties": {"os_distro": "debian"}, "min_ram": 64})
        image = ready.show(ShowRequest(image_id))
        assert (image.name, dict(image.properties), image.min_ram) == ("é\u2028 new", {"os_distro": "debian"}, 64)
        with pytest.raises(errors.Conflict):
            ready.update(image_id, {"disk_format": "qcow2"})
        with pytest.raises(errors.NotFound):
            ready.update("00000000-0000-4000-8000-000000000000", {"name": "none"})

    @needs(SupportsImageApi)
    def test_list_by_project(self, ready: Any) -> None:
        """A project's list holds its own and public images and no other project's private ones."""
        mine, open_to_all = _queued(ready), _queued(ready, owner=OTHER, visibility="public")
        hidden = _queued(ready, owner=OTHER)
        found = {image.id for image in ready.list(ImageQuery(project_id=OWNER))}
        assert {mine, open_to_all} <= found and hidden not in found
        assert hidden in {image.id for image in ready.list(ImageQuery())}

    @needs(SupportsImageApi)
    def test_list_in_pages(self, ready: Any) -> None:
        """Page after page shows each image once, in order; an unknown marker or sort key raises Invalid."""
        made = {_queued(ready, name=f"image {number % 2}") for number in range(5)}
        seen: list[str] = []
        marker = None
        while page := ready.list(ImageQuery(sort=(("name", "asc"),), marker=marker, limit=2)):
            seen += [image.id for image in page]
            marker = page[-1].id
            assert len(page) <= 2 and len(seen) <= len(made) + 2, "the pages do not end"
        assert sorted(seen) == sorted(made)
        for query in (ImageQuery(marker="none"), ImageQuery(sort=(("no such key", "asc"),))):
            with pytest.raises(errors.Invalid):
                ready.list(query)

    @needs(SupportsImageApi)
    def test_list_narrowed(self, ready: Any) -> None:
        """Each condition of a query narrows the list to the images that fulfil it."""
        image_id = _active(ready, name="wanted", tags=("a", "b"), properties={"hw_disk_bus": "virtio"})
        _queued(ready, name="other", tags=("a",))
        for query in (
            ImageQuery(ids=(image_id,)),
            ImageQuery(names=("wanted",)),
            ImageQuery(statuses=("active",)),
            ImageQuery(tags=("a", "b")),
            ImageQuery(size_min=4, size_max=4),
            ImageQuery(properties={"hw_disk_bus": "virtio"}),
        ):
            assert [image.id for image in ready.list(query)] == [image_id], query

    @needs(SupportsImageApi)
    def test_import_file(self, ready: Any, tmp_path: Path) -> None:
        """A file that is imported twice is one active image with its data; the file stays as it was, and one that is
        missing raises Invalid and leaves no image."""
        path = tmp_path / "disk.raw"
        data = os.urandom(100_000)
        path.write_bytes(data)
        request = ImportRequest(path, "imported", OWNER, disk_format="raw")
        image = ready.import_file(request)
        assert image.status == "active" and _read(ready, image.id) == data
        assert ready.import_file(request).id == image.id, "imported again it is a second image"
        assert path.read_bytes() == data
        with pytest.raises(errors.Invalid):
            ready.import_file(ImportRequest(tmp_path / "none", "none", OWNER))
        assert [each.name for each in ready.list(ImageQuery())] == ["imported"]
