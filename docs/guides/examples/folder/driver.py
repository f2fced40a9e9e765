"""The image plugin folder of Tenter."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tenter_folder.options import OPTS

from tenter import errors
from tenter.contracts.base import Description, PluginSetup
from tenter.contracts.image import DownloadRequest, Image, ImageDriver, ShowRequest

PUBLIC = "public"


class FolderImages(ImageDriver):
    """Every file PATH/PROJECT/NAME.raw is an image of that project; those of the
    directory ``public`` are for everybody."""

    contract = "image 1.0"
    section = "folder"
    options = OPTS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self.path = Path(setup.conf.folder.path or setup.state_dir)

    def describe(self) -> Description:
        """Return the driver's name; it has no optional power."""
        return Description(name="folder")

    def show(self, request: ShowRequest) -> Image:
        """Return the image. Its id is made of the file's path, so it stays the same."""
        file = self._file(request.image_id)
        owner, status = file.parent.name, file.stat()
        if owner != PUBLIC and request.project_id not in (None, owner):
            raise errors.NotFound(f"There is no image {request.image_id}.")
        changed = datetime.fromtimestamp(status.st_mtime, UTC)
        return Image(
            id=request.image_id,
            name=file.stem,
            owner=owner,
            status="active",
            visibility=PUBLIC if owner == PUBLIC else "private",
            disk_format="raw",
            container_format="bare",
            size=status.st_size,
            created_at=changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
            updated_at=changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def download(self, request: DownloadRequest) -> Iterator[bytes]:
        """Yield the file in pieces of a mebibyte."""
        with self._file(request.image_id).open("rb") as data:
            while chunk := data.read(1 << 20):
                yield chunk

    def _file(self, image_id: str) -> Path:
        for file in self.path.glob("*/*.raw"):
            if self.id_of(file) == image_id:
                return file
        raise errors.NotFound(f"There is no image {image_id}.")

    def id_of(self, file: Path) -> str:
        """Return the id of the image that a file is."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{file.parent.name}/{file.name}"))
