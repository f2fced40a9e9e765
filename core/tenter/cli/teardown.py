"""``tenter teardown``: take off this host what the drivers of a state directory made there."""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from oslo_config import cfg

from tenter import errors, plugins
from tenter.bus import InProcessBus
from tenter.cli import config, state
from tenter.contracts.base import Plugin, SupportsTeardown
from tenter.contracts.network import InitHostRequest, InstancePorts, NetworkDriver, PlugRequest
from tenter.contracts.virt import DestroyRequest, GuestRef, HostSetup, VirtDriver
from tenter.operations.fabric import open_fabric
from tenter.store import api_schema, cell_schema

LOG = logging.getLogger(__name__)
P = TypeVar("P", bound=Plugin)


def run(args: argparse.Namespace) -> int:
    """Tear down, print what is left, and return 0 if nothing is.

    Raises NotFound if there is no cloud, Conflict while it runs or, without ``purge``, while it has servers.
    """
    conf = config.read(args)
    state_dir = Path(conf.state_dir).absolute()
    conf.set_override("state_dir", str(state_dir))
    if not state_dir.is_dir():
        raise errors.NotFound(f"There is no cloud in {state_dir}.")
    with state.lock(state_dir):
        servers = _servers(conf)
        if servers and not args.purge:
            raise errors.Conflict(
                f"{len(servers)} servers exist in {state_dir}; delete them first, or say --purge to lose them."
            )
        left = _tear_down(conf, state_dir, servers if args.purge else None)
        if args.purge and not left:
            shutil.rmtree(state_dir, ignore_errors=True)
    for sentence in left:
        print(f"left: {sentence}")
    if not left:
        print("Nothing is left on this host." if args.purge else f"Nothing is left on this host but {state_dir}.")
    return 1 if left else 0


def _servers(conf: cfg.ConfigOpts) -> set[str]:
    """Return the UUIDs of all servers that the databases know."""
    fabric = open_fabric(conf, InProcessBus())
    try:
        with fabric.api_db.read() as connection:
            found = set(connection.execute(sa.select(api_schema.places.c.instance_uuid)).scalars())
        for cell in fabric.cells.all():
            with cell.db.read() as connection:
                found |= set(connection.execute(sa.select(cell_schema.instances.c.uuid)).scalars())
        return found
    finally:
        fabric.close()


def _tear_down(conf: cfg.ConfigOpts, state_dir: Path, doomed: set[str] | None) -> list[str]:
    """Tear down every driver that was used here, and return what is left. ``doomed``: servers to remove first; None:
    no guest is touched."""
    broken: list[str] = []
    virts = list(_drivers("virt", VirtDriver, conf, state_dir, broken))
    networks = list(_drivers("network", NetworkDriver, conf, state_dir, broken))
    failed: list[str] = []
    if doomed:
        failed = _remove_all(conf.host, virts, networks, doomed)
    left = _leave(virts, networks)
    if left and doomed is not None and not doomed:
        # Guests that no database knows.
        failed = _remove_all(conf.host, virts, networks, doomed)
        left = _leave(virts, networks)
    for driver in (*virts, *networks):
        driver.close()
    return [*broken, *failed, *left]


def _drivers(kind: str, base: type[P], conf: cfg.ConfigOpts, state_dir: Path, left: list[str]) -> Iterator[P]:
    """Yield the drivers of one kind that have a directory in the state directory."""
    directory = state_dir / kind
    for name in sorted(path.name for path in directory.iterdir()) if directory.is_dir() else ():
        if kind == "virt":
            # The network driver may look at it: nothing is wired for guests that are pretended.
            conf.set_override("virt_driver", name)
        try:
            yield plugins.load(kind, name, base, conf, state_dir, conf.host)
        except errors.TenterError as exc:
            left.append(f"whatever the {kind} driver {name} made: {exc}")


def _remove_all(
    host: str, virts: Sequence[VirtDriver], networks: Sequence[NetworkDriver], doomed: set[str]
) -> list[str]:
    failed: list[str] = []
    for network in networks:
        for virt in virts:
            _attempt(failed, partial(_remove_guests, host, virt, network, doomed, failed))
    return failed


def _remove_guests(
    host: str, virt: VirtDriver, network: NetworkDriver, doomed: set[str], failed: list[str]
) -> None:
    """Destroy every guest on this host and give back what the network allocated; what fails is noted."""
    wired = network.init_host(InitHostRequest(host))
    virt.init_host(HostSetup(host, wired.namespace, wired.mode))
    found = {guest.uuid for guest in virt.guests()}
    for uuid in found:
        _attempt(failed, partial(virt.destroy, DestroyRequest(GuestRef(uuid))))
    for uuid in found | doomed:
        for vif in network.vifs(InstancePorts(uuid)):
            _attempt(failed, partial(network.unplug, PlugRequest(uuid, vif)))
        _attempt(failed, partial(network.deallocate, InstancePorts(uuid)))


def _leave(virts: Sequence[VirtDriver], networks: Sequence[NetworkDriver]) -> list[str]:
    """Let the drivers take off the host what they made, virt first: it may run in the network's namespace."""
    left: list[str] = []
    for driver in (*virts, *networks):
        if isinstance(driver, SupportsTeardown):
            try:
                left += driver.teardown()
            except errors.TenterError as exc:
                left.append(str(exc))
    return left


def _attempt(failed: list[str], work: Callable[[], object]) -> None:
    """Call ``work``; what it raises is noted."""
    try:
        work()
    except errors.TenterError as exc:
        LOG.debug("Tearing down failed", exc_info=True)
        failed.append(str(exc))
