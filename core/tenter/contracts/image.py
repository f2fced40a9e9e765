"""The contract of image drivers, version 1.0."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenter.contracts.base import Driver, Power

CONTRACT = "image 1.0"


@dataclass(frozen=True)
class Image:
    """An image. Sizes in bytes, ``min_disk`` in GiB, ``min_ram`` in MiB; times are ISO 8601 in UTC.

    ``status`` is one of the Image API v2's: queued, saving, active, killed, deleted. ``hash`` is
    ``(algorithm, hexdigest)`` of the data; ``checksum`` is its MD5 as the Image API shows it.
    """

    id: str
    name: str | None
    owner: str
    status: str
    visibility: str
    disk_format: str | None
    container_format: str | None
    size: int | None
    created_at: str
    updated_at: str
    checksum: str | None = None
    hash: tuple[str, str] | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ShowRequest:
    """One image. With ``project_id``, only if that project may see it."""

    image_id: str
    project_id: str | None = None


@dataclass(frozen=True)
class DownloadRequest:
    """The data of one image."""

    image_id: str


class ImageDriver(Driver):
    """What every image driver must do for instances to boot."""

    contract = CONTRACT

    @abc.abstractmethod
    def show(self, request: ShowRequest) -> Image:
        """Return the image. Raises NotFound."""

    @abc.abstractmethod
    def download(self, request: DownloadRequest) -> Iterator[bytes]:
        """Yield the image's data in chunks. Raises NotFound, ImageUnusable (no data)."""


@dataclass(frozen=True)
class ImageQuery:
    """Which images to list. None means any.

    ``project_id`` is the project that looks: it sees its own and public images (and, if ``visibility`` asks
    for them, community ones); None sees all. ``sort`` is pairs of a field and ``asc`` or ``desc``; ``marker``
    is the last image's id of the page before. ``properties`` are free-form properties that must be equal.
    """

    project_id: str | None = None
    ids: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None
    disk_formats: tuple[str, ...] | None = None
    container_formats: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    visibility: str | None = None
    owner: str | None = None
    protected: bool | None = None
    checksum: str | None = None
    size_min: int | None = None
    size_max: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"),)
    marker: str | None = None
    limit: int = 1000


@dataclass(frozen=True)
class UploadRequest:
    """Data for a queued image. ``size`` in bytes, if it is known before, must be what ``chunks`` amount
    to."""

    image_id: str
    chunks: Iterable[bytes]
    size: int | None = None


@dataclass(frozen=True)
class ImportRequest:
    """A file of this machine to be made an image. ``values`` are further fields of Image."""

    path: Path
    name: str
    owner: str
    disk_format: str = "qcow2"
    visibility: str = "public"
    values: Mapping[str, Any] = field(default_factory=dict)


class SupportsImageApi(Power):
    """Power ``image_api``: to be the image service of an embedded fabric: all that Image API v2 needs.

    Who may call what is for the API to decide; a driver only keeps and checks.
    """

    capability = "image_api"

    max_image_bytes: int
    """No image is larger."""

    @abc.abstractmethod
    def list(self, query: ImageQuery) -> Sequence[Image]:
        """Return one page of images. Raises Invalid for an unknown marker or sort key."""

    @abc.abstractmethod
    def create(self, values: Mapping[str, Any]) -> Image:
        """Make a queued image of fields of Image (``id`` too, if wanted). Raises Conflict if the id is
        taken."""

    @abc.abstractmethod
    def update(self, image_id: str, values: Mapping[str, Any]) -> Image:
        """Set fields of Image; ``properties`` replaces them all. Raises NotFound, Conflict (the formats of an
        image that has data do not change)."""

    @abc.abstractmethod
    def upload(self, request: UploadRequest) -> Image:
        """Store a queued image's data; on return it is on disk and the image active.

        If it raises, nothing of the data is left and the image is queued. Raises NotFound, Conflict (not
        queued), TooLarge, Invalid (the data broke off), ResourceExhausted (no space).
        """

    @abc.abstractmethod
    def delete(self, image_id: str) -> None:
        """Delete image and data. Raises NotFound, Forbidden (protected)."""

    @abc.abstractmethod
    def import_file(self, request: ImportRequest) -> Image:
        """Return an active image with this name, owner and data, made from the file unless there is one
        already. The file itself is not kept or changed. Raises Invalid (no such file) and what ``upload``
        raises."""
