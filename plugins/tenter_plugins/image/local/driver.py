"""The driver: brings descriptions and data together."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tenter import errors
from tenter.contracts.base import Capability, Description, PluginSetup
from tenter.contracts.image import (
    DownloadRequest,
    Image,
    ImageDriver,
    ImageQuery,
    ImportRequest,
    ShowRequest,
    SupportsImageApi,
    UploadRequest,
)
from tenter_plugins.image.local.catalog import METADATA, Catalog
from tenter_plugins.image.local.data import CHUNK, HASH, DataStore
from tenter_plugins.image.local.options import OPTS, SECTION
from tenter_plugins.sqlite import Database

LOG = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class LocalImages(ImageDriver, SupportsImageApi):
    """Images of one machine. Several processes may use the same directory."""

    contract = "image 1.0"
    section = SECTION
    options = OPTS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        setup.state_dir.chmod(0o700)
        self.max_image_bytes = setup.conf[self.section].max_image_bytes
        self._data = DataStore(setup.state_dir)
        self._catalog = Catalog(Database(setup.state_dir / "image.sqlite", METADATA))
        self._sweep()

    def close(self) -> None:
        self._catalog.close()

    def describe(self) -> Description:
        return Description("local", {SupportsImageApi.capability: Capability(True)})

    def show(self, request: ShowRequest) -> Image:
        return self._catalog.show(request.image_id, request.project_id)

    def list(self, query: ImageQuery) -> Sequence[Image]:
        return self._catalog.list(query)

    def download(self, request: DownloadRequest) -> Iterator[bytes]:
        image_id = request.image_id
        if self._catalog.show(image_id).status != "active":
            raise errors.ImageUnusable(f"Image {image_id} has no data.")
        return self._data.open(image_id)

    def create(self, values: Mapping[str, Any]) -> Image:
        if "id" in values and not _ID.fullmatch(values["id"]):
            raise errors.Invalid("The id of an image must be a UUID in lower case.")
        return self._catalog.create(values)

    def update(self, image_id: str, values: Mapping[str, Any]) -> Image:
        return self._catalog.update(image_id, {key: value for key, value in values.items() if key != "id"})

    def delete(self, image_id: str) -> None:
        self._catalog.delete(image_id)
        self._data.remove(image_id)

    def upload(self, request: UploadRequest) -> Image:
        image_id = request.image_id
        self._catalog.show(image_id)
        if (request.size or 0) > self.max_image_bytes:
            raise errors.TooLarge(f"An image may have at most {self.max_image_bytes} bytes.")
        with self._data.writer(image_id, self.max_image_bytes) as writer:
            self._begin(image_id)
            try:
                stored = writer.write(request.chunks)
                if request.size not in (None, stored.size):
                    raise errors.Invalid(f"The data broke off after {stored.size} of {request.size} bytes.")
                writer.move()
                found = {"size": stored.size, "checksum": stored.checksum}
                found |= {"hash_algorithm": HASH, "hash_value": stored.digest}
                writer.kept = self._catalog.move(image_id, "saving", "active", **found)
            except BaseException:
                writer.drop()
                self._catalog.move(image_id, "saving", "queued")
                raise
        LOG.info("Image %s has its data: %d bytes", image_id, stored.size)
        return self._catalog.show(image_id)

    def _begin(self, image_id: str) -> None:
        """Mark the image as being uploaded; the caller holds the lock on its data."""
        image = self._catalog.show(image_id)
        if image.status == "saving":  # its uploader died: nobody else has the lock
            self._catalog.move(image_id, "saving", "queued")
        elif image.status == "queued" and not (image.disk_format and image.container_format):
            raise errors.Invalid("Properties disk_format, container_format must be set prior to saving data.")
        if not self._catalog.move(image_id, "queued", "saving"):
            raise errors.Conflict(f"Image {image_id} has its data already; it cannot be replaced.")

    def import_file(self, request: ImportRequest) -> Image:
        digest = _digest(request.path)
        known = ImageQuery(names=(request.name,), statuses=("active",), owner=request.owner)
        for image in self._catalog.list(known):
            if image.hash == (HASH, digest):
                return image
        values = {"container_format": "bare", **request.values, "name": request.name, "owner": request.owner}
        image = self.create({**values, "disk_format": request.disk_format, "visibility": request.visibility})
        try:
            size = request.path.stat().st_size
            return self.upload(UploadRequest(image.id, _chunks(request.path), size))
        except BaseException:
            self._catalog.delete(image.id)
            raise

    def _sweep(self) -> None:
        """Remove what a process that died left behind, and let its uploads be tried again."""
        statuses = self._catalog.statuses()
        unfinished = {image_id for image_id, status in statuses.items() if status == "saving"}
        orphans = {name for name in self._data.names() if statuses.get(name) != "active"}
        for image_id in unfinished | orphans:
            with contextlib.suppress(errors.Conflict):
                self._sweep_one(image_id)

    def _sweep_one(self, image_id: str) -> None:
        """Do so for one image, as its one writer. Raises Conflict if it has another."""
        with self._data.writer(image_id, 0):
            if self._data.recording(image_id) or self._catalog.statuses().get(image_id) == "active":
                return
            self._catalog.move(image_id, "saving", "queued")
            self._data.remove(image_id)
        LOG.info("Removed what an interrupted upload of image %s left", image_id)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _digest(path: Path) -> str:
    found = hashlib.new(HASH)
    try:
        for chunk in _chunks(path):
            found.update(chunk)
    except OSError as exc:
        raise errors.Invalid(f"The image file {path} cannot be read: {exc.strerror}.") from exc
    return found.hexdigest()
