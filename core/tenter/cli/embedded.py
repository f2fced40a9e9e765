"""Everything in one process: drivers, conductor and compute around one fabric."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from oslo_config import cfg

from tenter import plugins
from tenter.bus import InProcessBus
from tenter.compute.service import ComputeService
from tenter.conductor.service import ConductorService
from tenter.contracts.api import ApiExtension
from tenter.contracts.base import Plugin
from tenter.contracts.identity import Bootstrap, IdentityDriver, SupportsIdentityApi
from tenter.contracts.image import ImageDriver
from tenter.contracts.network import NetworkDriver
from tenter.contracts.virt import VirtDriver
from tenter.operations.fabric import FIRST_CELL, Fabric, open_fabric, shared_dir
from tenter.plugins.emitter import open_emitter

LOG = logging.getLogger(__name__)
P = TypeVar("P", bound=Plugin)


@dataclass
class Drivers:
    """The drivers that more than one role uses."""

    identity: IdentityDriver
    image: ImageDriver
    network: NetworkDriver

    def bootstrap(self, reset_password: bool = False) -> Bootstrap | None:
        """Make the administrator at first start; None if the identity driver has users of its own."""
        if isinstance(self.identity, SupportsIdentityApi):
            return self.identity.bootstrap(reset_password)
        return None

    def close(self) -> None:
        """Close all of them."""
        for kind in ("network", "image", "identity"):
            driver: Plugin = getattr(self, kind)
            plugins.close(kind, type(driver).__name__, driver)


def load(kind: str, base: type[P], conf: cfg.ConfigOpts, state_dir: Path) -> P:
    """Return the driver of a kind that the configuration chooses. Raises PluginBroken, or what it raises itself."""
    return plugins.load(kind, conf[f"{kind}_driver"], base, conf, state_dir, conf.host)


def load_drivers(conf: cfg.ConfigOpts) -> Drivers:
    """Return the drivers whose state all processes of a machine share."""
    shared = shared_dir(conf)
    return Drivers(
        load("identity", IdentityDriver, conf, shared),
        load("image", ImageDriver, conf, shared),
        load("network", NetworkDriver, conf, shared),
    )


def load_extensions(conf: cfg.ConfigOpts) -> list[tuple[str, ApiExtension]]:
    """Return the API extensions that the configuration enables, by name; a broken one is left out."""
    wanted, state_dir = plugins.enabled("extension", conf), Path(conf.state_dir)
    return plugins.load_all("extension", wanted, ApiExtension, conf, state_dir)


@dataclass
class Served(Drivers):
    """What a process that serves the API has."""

    fabric: Fabric
    extensions: Sequence[tuple[str, ApiExtension]]

    def close(self) -> None:
        """Close it all."""
        for name, extension in self.extensions:
            plugins.close("extension", name, extension)
        super().close()
        self.fabric.close()


@dataclass
class Embedded(Served):
    """A whole cloud in this process."""

    conductor: ConductorService
    compute: ComputeService

    def stop(self, timeout: float | None = None) -> None:
        """Finish what runs within ``timeout`` seconds (default: graceful_timeout), or leave it; guests go on."""
        seconds = self.fabric.conf.graceful_timeout if timeout is None else timeout
        until = time.monotonic() + seconds
        self.compute.stop(seconds)
        self.conductor.stop(max(0.0, until - time.monotonic()))
        self.close()


def start(conf: cfg.ConfigOpts) -> Embedded:
    """Open the state directory's fabric and start all of it.

    Raises an error of :mod:`tenter.errors` with one sentence for the operator: a driver that is missing or cannot
    start, a database that cannot be used.
    """
    drivers = load_drivers(conf)
    virt = load("virt", VirtDriver, conf, Path(conf.state_dir))
    fabric = open_fabric(conf, InProcessBus(), hooks=open_emitter)
    conductor = ConductorService(fabric, LOG.error, drivers.network)
    cell = fabric.cells.named(FIRST_CELL)
    compute = ComputeService(fabric, cell, virt, drivers.network, drivers.image, LOG.error)
    compute.start()
    conductor.start(sole=True)
    extensions = load_extensions(conf)
    return Embedded(drivers.identity, drivers.image, drivers.network, fabric, extensions, conductor, compute)
