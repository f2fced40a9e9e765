"""``tenter api``, ``tenter conductor`` and ``tenter compute``: one role a process, over databases that they share."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from oslo_config import cfg

from tenter import errors, plugins
from tenter.bus import PollingBus
from tenter.cells import Cell
from tenter.cli import embedded, state, up
from tenter.compute.service import ComputeService
from tenter.conductor.service import ConductorService
from tenter.contracts.image import ImageDriver
from tenter.contracts.network import NetworkDriver
from tenter.contracts.virt import VirtDriver
from tenter.operations.fabric import open_api_database, open_fabric, require_api_database, shared_dir
from tenter.plugins.emitter import Emitter, open_emitter
from tenter.store.cells import list_cells

LOG = logging.getLogger(__name__)
Opened = TypeVar("Opened")
OVERTIME = 2.0
"""Seconds beyond the graceful time-out after which a process that is told to stop ends, whatever still runs in it."""


class Ending:
    """Why and when a process is to end."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.lost: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.asked.set())

    def lose(self, why: str) -> None:
        """End because this process's identity is another's."""
        self.lost = why
        self.asked.set()

    def finish(self, conf: cfg.ConfigOpts, stop: Callable[[float], None], hooks: Emitter) -> int:
        """Wait until the end is asked for, stop within the configured time, tell listeners what they have not heard
        yet, and return the exit code."""
        self.asked.wait()
        code = 0
        if self.lost is not None:
            print(f"tenter: {self.lost}", file=sys.stderr, flush=True)
            code = 1
        LOG.info("Stopping")
        patience: float = conf.graceful_timeout if code == 0 else 0.0
        # A driver call that hangs must not keep the process; whoever comes next does the step again.
        last = threading.Timer(patience + OVERTIME, os._exit, (code,))
        last.daemon = True
        last.start()
        stop(patience)
        hooks.close()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads of steps that were handed over may still run; the interpreter would wait for them.
        os._exit(code)


def conductor(args: argparse.Namespace) -> int:
    """Run a conductor until SIGTERM or SIGINT."""
    conf = _prepared(args, first=False)
    held = state.lock_role(Path(conf.state_dir), "conductor", shared=shared_dir(conf))
    ending = Ending()
    fabric = _waited_for(
        lambda: open_fabric(conf, PollingBus(), embedded=False, many=True, hooks=open_emitter), ending.asked
    )
    if fabric is None:
        return 0
    network = embedded.load("network", NetworkDriver, conf, shared_dir(conf))
    _warn_without_cells(len(fabric.cells.all()))
    service = ConductorService(fabric, ending.lose, network)
    service.start(sole=False, stopped=ending.asked)
    LOG.info("Conductor %s is up, of %d cells", conf.host, len(fabric.cells.all()))
    code = ending.finish(conf, service.stop, fabric.hooks)
    del held
    return code


def compute(args: argparse.Namespace) -> int:
    """Run a compute until SIGTERM or SIGINT. Raises NotFound if there is no such cell."""
    conf = _prepared(args, first=False)
    state_dir = Path(conf.state_dir)
    plugins.check_installed("virt", conf.virt_driver)
    held = state.lock_role(state_dir, "compute", shared=shared_dir(conf))
    ending = Ending()
    fabric = _waited_for(lambda: open_fabric(conf, PollingBus(), embedded=False, hooks=open_emitter), ending.asked)
    if fabric is None:
        return 0
    cell = fabric.cells.named(args.cell)
    if not _reached(cell, ending.asked):
        return 0
    virt = embedded.load("virt", VirtDriver, conf, state_dir)
    shared = shared_dir(conf)
    network = embedded.load("network", NetworkDriver, conf, shared)
    image = embedded.load("image", ImageDriver, conf, shared)
    service = ComputeService(fabric, cell, virt, network, image, ending.lose)
    service.start(ending.asked)
    code = ending.finish(conf, service.stop, fabric.hooks)
    del held
    return code


def _waited_for(open_: Callable[[], Opened], asked: threading.Event) -> Opened | None:
    """Return what ``open_`` returns, as soon as the databases that it needs answer; None if the process is to end."""
    said = ""
    while not asked.is_set():
        try:
            return open_()
        except errors.Unavailable as exc:
            if str(exc) != said:
                LOG.warning("Waiting: %s", exc)
            said = str(exc)
            asked.wait(1.0)
    return None


def _reached(cell: Cell, asked: threading.Event) -> bool:
    """Wait until the cell's database answers; return whether it does (or the process is to end)."""
    while not asked.is_set():
        try:
            with cell.db.read():
                return True
        except errors.Unavailable:  # the database itself says so in the log
            asked.wait(1.0)
    return False


def api(args: argparse.Namespace) -> int:
    """Serve the API with a master and its workers until SIGTERM or SIGINT."""
    _end_when_told()
    conf = _prepared(args)
    state_dir, shared = Path(conf.state_dir), shared_dir(conf)
    held = state.lock_role(state_dir, "api", alone=False, shared=shared)
    _warn_without_cells(_waited_for(lambda: _count_cells(conf), threading.Event()))
    listener = up.listen(conf.api.listen, conf.api.port)
    drivers = embedded.load_drivers(conf)
    clouds = up.bootstrap(conf, shared, drivers, args.reset_password)
    drivers.close()
    serve = plugins.load_server("gunicorn")
    if clouds is not None:
        print(clouds, file=sys.stderr, flush=True)
    serve(conf, listener, lambda: boot_api(conf), conf.api.workers)
    del held
    return 0


def _end_when_told() -> None:
    """End in order, with exit code 0, at a signal that comes before the server has its own ways with signals."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))


@dataclass
class ApiProcess(embedded.Served):
    """What one worker of the API holds."""

    def stop(self) -> None:
        """Close it all."""
        self.close()


def open_api(conf: cfg.ConfigOpts) -> ApiProcess:
    """Return what a worker of the API needs. Raises Unavailable while a database that is needed cannot be reached."""
    drivers = embedded.load_drivers(conf)
    fabric = open_fabric(conf, PollingBus(), embedded=False, many=True, hooks=open_emitter)
    return ApiProcess(drivers.identity, drivers.image, drivers.network, fabric, embedded.load_extensions(conf))


def boot_api(conf: cfg.ConfigOpts) -> ApiProcess | None:
    """Return the same, waiting while a database cannot be reached."""
    return _waited_for(lambda: open_api(conf), threading.Event())


def _prepared(args: argparse.Namespace, first: bool = True) -> cfg.ConfigOpts:
    """Return the configuration, with a state directory that can be used. ``first``: there need not be a cloud yet."""
    conf = up.configuration(args)
    state_dir = Path(conf.state_dir).absolute()
    conf.set_override("state_dir", str(state_dir))
    if not first:
        require_api_database(conf)
    state.prepare(state_dir)
    state.prepare(shared_dir(conf))
    return conf


def _count_cells(conf: cfg.ConfigOpts) -> int:
    api_db = open_api_database(conf)
    try:
        return len(list_cells(api_db))
    finally:
        api_db.close()


def _warn_without_cells(count: int | None) -> None:
    if not count:
        LOG.warning(
            "There are no cells yet, so no server can be built: 'tenter cell add NAME' makes one. Are there some, then "
            "[DEFAULT] shared_dir or [database] api_connection is another one here."
        )
