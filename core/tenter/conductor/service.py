"""The conductor: schedules builds, moves them on, finishes deletes, purges what ended long ago."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable

from tenter import errors
from tenter.conductor.audit import Duty
from tenter.conductor.watch import Watch
from tenter.contracts.network import NetworkDriver
from tenter.operations import moments
from tenter.operations.fabric import Fabric
from tenter.operations.kinds import all_kinds
from tenter.operations.membership import Member
from tenter.operations.model import CONDUCTOR
from tenter.operations.runner import Runner, Source
from tenter.scheduler import record
from tenter.scheduler.loading import load_scheduler
from tenter.store import api_schema, cell_schema, host_changes, operations, presence
from tenter.store.engine import now

LOG = logging.getLogger(__name__)
PURGE_INTERVAL = 600.0
CHANGES_KEPT = 900.0
"""Seconds for which the log of changes of hosts is kept; who has not read it for so long reads all hosts anew."""
LOOK_INTERVAL = 2.0
"""Seconds between two looks for cells that are new."""


class ConductorService:
    """Drives the steps of role conductor, of the API database and of every cell.

    Each database has a runner, with threads of its own: one that is slow or away does not hold up the others.
    """

    def __init__(
        self,
        fabric: Fabric,
        on_lost: Callable[[str], None] = lambda why: None,
        network: NetworkDriver | None = None,
    ) -> None:
        """``on_lost`` is told, in a sentence, that another process has this one's identity; no more work is taken.
        ``network`` gives back the ports of instances whose host is away; without one they wait for the host."""
        self._fabric, self._on_lost, self._network = fabric, on_lost, network
        self._scheduler = load_scheduler(fabric.conf, fabric.cells, fabric.api_db, fabric.state_dir)
        self._kinds = all_kinds()
        self._sole = False
        self.runners: dict[str | None, Runner] = {}
        self._sources: list[Source] = []
        compute = fabric.conf.compute
        self._member = Member(
            fabric.api_db, api_schema.services, fabric.state_dir, presence.CONDUCTOR, fabric.conf.host,
            compute.report_interval, compute.service_down_time,
        )  # fmt: skip
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"conductor-{name}", daemon=True)
            for name, work in (("purge", self._purge), ("report", self._report), ("look", self._look))
        ]

    def start(self, sole: bool = False, stopped: threading.Event | None = None) -> None:
        """Take work. ``sole``: there is no other conductor, so what an earlier one held is taken over at once.

        Raises Conflict if another conductor runs with this one's identity; ``stopped`` ends waiting for that.
        """
        self._sole = sole
        self._member.join(stopped)
        self._drive(Source(self._fabric.api_db, api_schema.operations))
        self._find_cells()
        for thread in self._threads:
            thread.start()
        fabric = self._fabric
        moments.service_up(fabric.hooks, CONDUCTOR, fabric.conf.host)
        Duty(fabric.conf, fabric.api_db, fabric.cells, self._network, self._stopped).start()

    def stop(self, timeout: float) -> None:
        """Take no more work, finish what runs within ``timeout`` seconds, hand over the rest."""
        self._stopped.set()
        stopping = [threading.Thread(target=runner.stop, args=(timeout,)) for runner in self.runners.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self._member.leave()
        moments.service_down(self._fabric.hooks, CONDUCTOR, self._fabric.conf.host, "stopped")

    def _drive(self, source: Source) -> None:
        fabric = self._fabric
        runner = Runner(
            CONDUCTOR, None, [source], self._kinds, fabric.bus, fabric.cells, fabric.conf,
            fabric.conf.operations.workers, api_db=fabric.api_db, scheduler=self._scheduler,
            network=self._network, hooks=fabric.hooks,
        )  # fmt: skip
        runner.start(self._sole)
        carry_on = functools.partial(self._carry_on, source)
        Watch(source, runner, self._kinds, fabric.conf, self._stopped, carry_on, fabric.hooks).start()
        self.runners[source.cell_uuid] = runner
        self._sources.append(source)

    def _carry_on(self, back: Source) -> None:
        """Bring the deletes that wait for a cell into one that answers again."""
        if back.cell_uuid is not None:
            self._fabric.cells.asking.answers(back.cell_uuid)
            if operations.resume(self._fabric.api_db, api_schema.operations, "delete"):
                self.runners[None].ring()

    def _find_cells(self) -> None:
        for cell in self._fabric.cells.all():
            if cell.uuid not in self.runners:
                self._drive(Source(cell.db, cell_schema.operations, cell.uuid))

    def _look(self) -> None:
        while not self._stopped.wait(LOOK_INTERVAL):
            try:
                self._find_cells()
            except Exception as exc:
                LOG.warning("Cannot look for cells: %s", exc)

    def _report(self) -> None:
        while not self._stopped.wait(self._fabric.conf.compute.report_interval):
            try:
                self._member.report()
            except errors.Conflict as exc:
                self._on_lost(str(exc))
            except Exception as exc:
                LOG.warning("Cannot give a sign of life: %s", exc)

    def _purge(self) -> None:
        retention = self._fabric.conf.operations.retention
        while True:
            for source in list(self._sources):
                try:
                    operations.purge(source.db, source.table, now() - retention)
                    if source.cell_uuid is not None:
                        host_changes.purge(source.db, now() - CHANGES_KEPT)
                except Exception as exc:
                    if not isinstance(exc, errors.CellAway):
                        LOG.warning("Cannot purge what ended long ago: %s", exc)
            self._purge_decisions()
            if self._stopped.wait(PURGE_INTERVAL):
                return

    def _purge_decisions(self) -> None:
        try:
            record.purge(self._fabric.api_db, self._fabric.conf.scheduler.decision_retention)
        except Exception as exc:
            LOG.warning("Cannot purge decisions that were made long ago: %s", exc)
