"""The contract of image drivers, version 1.0."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tenter.contracts.base import Plugin

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


class ImageDriver(Plugin, abc.ABC):
    """What every image driver must do for instances to boot."""

    contract = CONTRACT

    @abc.abstractmethod
    def show(self, image_id: str, project_id: str | None = None) -> Image:
        """Return the image. With ``project_id``, only if that project may see it. Raises NotFound."""

    @abc.abstractmethod
    def download(self, image_id: str) -> Iterator[bytes]:
        """Yield the image's data in chunks. Raises NotFound, ImageUnusable (no data)."""
