"""What the API is built on: every collaborator of the resources, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oslo_config import cfg

    from tenter.cells.reading import ServerReader
    from tenter.contracts.api import ApiExtension
    from tenter.contracts.identity import IdentityDriver
    from tenter.contracts.image import ImageDriver
    from tenter.contracts.network import NetworkDriver
    from tenter.operations.fabric import Fabric


@dataclass(frozen=True)
class Services:
    """The collaborators that resources are constructed with."""

    conf: cfg.ConfigOpts
    fabric: Fabric
    identity: IdentityDriver
    image: ImageDriver
    network: NetworkDriver
    servers: ServerReader
    extensions: Sequence[tuple[str, ApiExtension]] = ()
