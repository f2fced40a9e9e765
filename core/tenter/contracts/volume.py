"""The contract of volume drivers, version 1.0. Volumes are made elsewhere; instances use them."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenter.contracts.base import Driver

CONTRACT = "volume 1.0"


@dataclass(frozen=True)
class VolumeRef:
    """Names a volume. With ``project_id``, only if that project may see it."""

    id: str
    project_id: str | None = None


@dataclass(frozen=True)
class Volume:
    """A volume. ``size`` in GiB; ``status`` as the Block Storage API v3 shows it (``available``, ``in-use``, …)."""

    id: str
    name: str
    project_id: str
    size: int
    status: str
    bootable: bool = False
    multiattach: bool = False
    availability_zone: str | None = None
    image_properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attachment:
    """An instance has, or is about to have, the volume.

    ``connection`` (JSON) is what the host needs to reach it, empty until ``connect``; ``secrets`` is the part of it
    that is never logged or stored.
    """

    id: str
    volume_id: str
    instance_uuid: str
    host: str | None = None
    connection: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ReserveRequest:
    """Keep the volume for the instance, so that nobody else gets it."""

    volume_id: str
    instance_uuid: str
    project_id: str
    read_only: bool = False


@dataclass(frozen=True)
class ConnectRequest:
    """Let a host reach the volume. ``connector`` (JSON) is what the host says of itself: addresses, initiator, …"""

    attachment_id: str
    host: str
    connector: Mapping[str, Any]
    device: str | None = None


class VolumeDriver(Driver):
    """What every volume driver must do. All methods are thread-safe and safe to run again."""

    contract = CONTRACT

    @abc.abstractmethod
    def show(self, volume: VolumeRef) -> Volume:
        """Return the volume. Raises NotFound."""

    @abc.abstractmethod
    def reserve(self, request: ReserveRequest) -> Attachment:
        """Return the instance's attachment of the volume, made unless it is there. Raises NotFound, Conflict (another
        has the volume)."""

    @abc.abstractmethod
    def connect(self, request: ConnectRequest) -> Attachment:
        """Return the attachment with the connection by which that host, besides any other, reaches the volume. Raises
        NotFound, Conflict."""

    @abc.abstractmethod
    def complete(self, attachment_id: str) -> None:
        """The guest has the volume: it is in use from now on. Raises NotFound."""

    @abc.abstractmethod
    def detach(self, attachment_id: str) -> None:
        """Forget the attachment; no host reaches the volume by it any more. One that does not exist is no error."""

    @abc.abstractmethod
    def attachments(self, instance_uuid: str) -> Sequence[Attachment]:
        """Return the attachments of the instance, without their connections."""
