"""The conductor: schedules builds, moves them on, finishes deletes, purges what ended long ago."""

from __future__ import annotations

import logging
import threading

from tenter.contracts.scheduling import HostFilter, HostWeigher
from tenter.operations.fabric import Fabric
from tenter.operations.kinds import all_kinds
from tenter.operations.model import CONDUCTOR
from tenter.operations.runner import Runner, Source
from tenter.plugins import load_all
from tenter.scheduler import Scheduler
from tenter.store import api_schema, cell_schema, operations
from tenter.store.engine import now

LOG = logging.getLogger(__name__)
PURGE_INTERVAL = 600.0


def load_scheduler(fabric: Fabric) -> Scheduler:
    """Return the scheduler with the filters and weighers that the configuration names."""
    conf, state_dir = fabric.conf, fabric.state_dir
    return Scheduler(
        conf,
        fabric.cells,
        load_all("filter", conf.scheduler.filters, HostFilter, conf, state_dir),  # type: ignore[type-abstract]
        load_all("weigher", conf.scheduler.weighers, HostWeigher, conf, state_dir),  # type: ignore[type-abstract]
    )


class ConductorService:
    """Drives the steps of role conductor, of the API database and of every cell."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._sources = [Source(fabric.api_db, api_schema.operations)] + [
            Source(cell.db, cell_schema.operations, cell.uuid) for cell in fabric.cells.all()
        ]
        self._runner = Runner(
            CONDUCTOR, None, self._sources, all_kinds(), fabric.bus, fabric.cells, fabric.conf,
            fabric.conf.operations.workers, api_db=fabric.api_db, scheduler=load_scheduler(fabric),
        )  # fmt: skip
        self._stopped = threading.Event()
        self._purger = threading.Thread(target=self._purge, name="conductor-purge", daemon=True)

    def start(self, sole: bool = False) -> None:
        """Take work. ``sole``: there is no other conductor, so what an earlier one held is taken over at once."""
        self._runner.start(sole)
        self._purger.start()

    def stop(self, timeout: float) -> None:
        """Take no more work, finish what runs within ``timeout`` seconds."""
        self._stopped.set()
        self._runner.stop(timeout)

    def _purge(self) -> None:
        retention = self._fabric.conf.operations.retention
        while True:
            for source in self._sources:
                try:
                    operations.purge(source.db, source.table, now() - retention)
                except Exception as exc:
                    LOG.warning("Cannot purge ended operations: %s", exc)
            if self._stopped.wait(PURGE_INTERVAL):
                return
