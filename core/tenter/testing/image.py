"""The conformance kit of image drivers."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from tenter import errors
from tenter.contracts.image import DownloadRequest, Image, ImageDriver, ShowRequest, SupportsImageApi, UploadRequest
from tenter.testing.general import DriverConformance
from tenter.testing.image_api import ImageApiChecks

OWNER, OTHER = "1" * 32, "2" * 32
STRANGE = ("", " ", "no-uuid", "../../etc/passwd", "0" * 5000, "é\u2028", "%00", "'; --", str(uuid.UUID(int=7)))


class ImageConformance(DriverConformance, ImageApiChecks):
    """What must hold of an image driver::

        class TestAcme(ImageConformance):
            plugin = AcmeImages

    A driver that has the power ``image_api`` is given its images through it. Any other needs ``put_image``, and
    ``put_empty`` if it knows images without data.
    """

    kind: ClassVar[str] = "image"
    base = ImageDriver

    def put_image(self, driver: Any, data: bytes, owner: str, visibility: str) -> str:
        """Make an active image of raw data, with that owner and visibility (``private``, ``public``); return its
        id."""
        if not isinstance(driver, SupportsImageApi):
            pytest.fail("override put_image(): without the power image_api the kit cannot make an image to look at")
        image_id = self.put_empty(driver, owner, visibility)
        driver.upload(UploadRequest(image_id or "", iter((data,)), len(data)))
        return image_id or ""

    def put_empty(self, driver: Any, owner: str, visibility: str = "private") -> str | None:
        """Make an image without data and return its id; None where there is no such thing."""
        if not isinstance(driver, SupportsImageApi):
            return None
        values = {"name": "conformance", "disk_format": "raw", "container_format": "bare"}
        return driver.create({**values, "owner": owner, "visibility": visibility}).id

    @pytest.fixture
    def data(self) -> bytes:
        """An image that is no multiple of any block size."""
        return os.urandom((1 << 20) + 17)

    def test_show_by_project(self, ready: ImageDriver, data: bytes) -> None:
        """An image is shown to its owner and to whoever asks for no project; to other projects only if it is public,
        else NotFound is raised."""
        private = self.put_image(ready, data, OWNER, "private")
        public = self.put_image(ready, data, OWNER, "public")
        for project in (OWNER, None):
            assert ready.show(ShowRequest(private, project)).id == private
        assert ready.show(ShowRequest(public, OTHER)).id == public
        with pytest.raises(errors.NotFound):
            ready.show(ShowRequest(private, OTHER))

    def test_show_is_true(self, ready: ImageDriver, data: bytes) -> None:
        """What is shown of an image with data is so: it is active, has its size, and a hash if one is shown is that
        of the data."""
        image = ready.show(ShowRequest(self.put_image(ready, data, OWNER, "private")))
        assert isinstance(image, Image) and image.status == "active" and image.owner == OWNER
        assert image.size == len(data)
        _assert_hashes(image, data)

    def test_download_is_the_data(self, ready: ImageDriver, data: bytes) -> None:
        """What is downloaded is the data, in chunks, and each download starts at the beginning."""
        image_id = self.put_image(ready, data, OWNER, "private")
        begun = ready.download(DownloadRequest(image_id))
        next(iter(begun))
        for _ in range(2):
            chunks = list(ready.download(DownloadRequest(image_id)))
            assert all(isinstance(chunk, bytes) for chunk in chunks)
            assert b"".join(chunks) == data

    def test_downloads_at_once(self, ready: ImageDriver, data: bytes) -> None:
        """Several threads download at once, and each gets its image whole."""
        wanted = {self.put_image(ready, each, OWNER, "private"): each for each in (data, data[::-1])}

        def read(image_id: str) -> bool:
            return b"".join(ready.download(DownloadRequest(image_id))) == wanted[image_id]

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(read, [*wanted] * 6))

    def test_unknown_image(self, ready: ImageDriver) -> None:
        """An id that no image has raises NotFound, whatever it looks like."""
        for image_id in STRANGE:
            with pytest.raises(errors.NotFound):
                ready.show(ShowRequest(image_id))
            with pytest.raises(errors.NotFound):
                b"".join(ready.download(DownloadRequest(image_id)))

    def test_image_without_data(self, ready: ImageDriver) -> None:
        """An image without data is shown, but to download it raises ImageUnusable."""
        image_id = self.put_empty(ready, OWNER)
        if image_id is None:
            pytest.skip("the driver has no images without data")
        assert ready.show(ShowRequest(image_id)).status != "active"
        with pytest.raises(errors.ImageUnusable):
            b"".join(ready.download(DownloadRequest(image_id)))

    def test_found_again(self, make: Callable[..., Any], data: bytes) -> None:
        """After a restart an image is the same, and so is its data."""
        before = make()
        image_id = self.put_image(before, data, OWNER, "private")
        image = before.show(ShowRequest(image_id))
        before.close()
        after = make()
        assert after.show(ShowRequest(image_id)) == image
        assert b"".join(after.download(DownloadRequest(image_id))) == data


def _assert_hashes(image: Image, data: bytes) -> None:
    if image.checksum is not None:
        assert image.checksum == hashlib.md5(data, usedforsecurity=False).hexdigest(), "checksum is not the data's MD5"
    if image.hash is not None:
        algorithm, digest = image.hash
        assert digest == hashlib.new(algorithm, data).hexdigest(), f"hash is not the data's {algorithm}"

