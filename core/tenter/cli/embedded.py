"""Everything in one process: drivers, conductor and compute around one fabric."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from oslo_config import cfg

from tenter import plugins
from tenter.bus import InProcessBus
from tenter.compute.service import ComputeService
from tenter.conductor.service import ConductorService
from tenter.contracts.base import Plugin
from tenter.contracts.identity import Bootstrap, IdentityDriver, SupportsIdentityApi
from tenter.contracts.image import ImageDriver
from tenter.contracts.network import NetworkDriver
from tenter.contracts.virt import VirtDriver
from tenter.operations.fabric import Fabric, open_fabric

LOG = logging.getLogger(__name__)
P = TypeVar("P", bound=Plugin)


@dataclass
class Embedded:
    """A whole cloud in this process."""

    fabric: Fabric
    identity: IdentityDriver
    image: ImageDriver
    network: NetworkDriver
    conductor: ConductorService
    compute: ComputeService

    def bootstrap(self, reset_password: bool = False) -> Bootstrap | None:
        """Make the administrator at first start; None if the identity driver has users of its own."""
        if isinstance(self.identity, SupportsIdentityApi):
            return self.identity.bootstrap(reset_password)
        return None

    def stop(self, timeout: float = 10.0) -> None:
        """Finish or leave what runs within ``timeout`` seconds. Guests go on running."""
        self.compute.stop(timeout)
        self.conductor.stop(timeout)
        for driver in (self.image, self.identity):
            driver.close()
        self.fabric.close()


def start(conf: cfg.ConfigOpts) -> Embedded:
    """Open the state directory's fabric and start all of it.

    Raises an error of :mod:`tenter.errors` with one sentence for the operator: a driver that is missing or cannot
    start, a database that cannot be used.
    """
    state_dir = Path(conf.state_dir)

    def load(kind: str, base: type[P]) -> P:
        return plugins.load(kind, conf[f"{kind}_driver"], base, conf, state_dir, conf.host)

    identity = load("identity", IdentityDriver)  # type: ignore[type-abstract]
    image = load("image", ImageDriver)  # type: ignore[type-abstract]
    network = load("network", NetworkDriver)  # type: ignore[type-abstract]
    virt = load("virt", VirtDriver)  # type: ignore[type-abstract]
    fabric = open_fabric(conf, InProcessBus())
    conductor = ConductorService(fabric)
    compute = ComputeService(fabric, fabric.cells.all()[0], virt, network, image)
    compute.start()
    conductor.start(sole=True)
    return Embedded(fabric, identity, image, network, conductor, compute)
