"""Operations that nobody would end otherwise: of workers and hosts that went down, and past their deadline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from oslo_config import cfg

from tenter import errors
from tenter.operations import moments
from tenter.operations.model import COMPUTE, CONDUCTOR, Kinds
from tenter.operations.runner import Runner, Source, deadline_passed
from tenter.plugins.emitter import SILENT, Emitter
from tenter.store import hosts, lost, operations, presence

LOG = logging.getLogger(__name__)


class Leases:
    """Which leases stand still, by this process's monotonic clock.

    A lease that is not renewed runs out by the wall clock too, unless that clock went back, or its owner's was ahead.
    """

    def __init__(self, length: float) -> None:
        """``length`` in seconds: how long a lease must have been seen unchanged."""
        self._length = length
        self._since: dict[lost.Lease, float] = {}

    def still(self, leases: Iterable[lost.Lease]) -> list[lost.Lease]:
        """Return those of the leases that there are now that were not renewed for their whole length."""
        at = time.monotonic()
        self._since = {lease: self._since.get(lease, at) for lease in leases}
        return [lease for lease, since in self._since.items() if at - since >= self._length]

    def forget(self) -> None:
        """Begin anew: what happened since the last look is not known."""
        self._since = {}


class Watch:
    """Watches one database.

    A host counts as down when its sign of life has not changed for ``[compute] service_down_time`` while this conductor
    could look, by the monotonic clock: so neither a clock that jumps nor a database that was away, nor a conductor that
    starts before the computes, takes work off a host that is well.
    """

    def __init__(
        self, source: Source, runner: Runner, kinds: Kinds, conf: cfg.ConfigOpts, stopped: threading.Event,
        back: Callable[[], None] = lambda: None, hooks: Emitter = SILENT,
    ) -> None:  # fmt: skip
        """``back`` is called when the database answers again after it did not; ``hooks`` hear of hosts that went down
        and came back."""
        self._back, self._hooks = back, hooks
        self._told_down: dict[str, tuple[float, bool]] = {}
        self._source, self._runner, self._kinds, self._conf, self._stopped = source, runner, kinds, conf, stopped
        self._seen: dict[str, tuple[float, float]] = {}
        self._leases = Leases(conf.operations.lease)

    def start(self) -> None:
        """Look every ``[operations] watch_interval`` seconds, in a thread, until ``stopped``."""
        threading.Thread(target=self._loop, name="conductor-watch", daemon=True).start()

    def look(self) -> None:
        """Look once, and do what is to be done."""
        self._look_for_dead_leases()
        if self._source.cell_uuid is not None:
            self._look_for_lost()
        self._look_for_overdue()

    def _loop(self) -> None:
        trouble = ""
        while not self._stopped.wait(self._conf.operations.watch_interval):
            try:
                self.look()
                if trouble:
                    self._back()
                trouble = ""
            except Exception as exc:
                self._seen.clear()
                self._leases.forget()
                if str(exc) != trouble and not isinstance(exc, errors.CellAway):
                    LOG.warning("Cannot look for lost operations: %s", exc)
                trouble = str(exc)

    def _look_for_dead_leases(self) -> None:
        db, table = self._source.db, self._source.table
        for lease in self._leases.still(lost.leases(db, table)):
            if lost.end_lease(db, table, lease):
                LOG.info("The lease of %s on operation %s stands still and is ended", lease.owner, lease.uuid)
                self._runner.ring()

    def _look_for_lost(self) -> None:
        db, table = self._source.db, self._source.table
        down = self._down(operations.hosts_with_work(db, table, COMPUTE))
        for held in (True, False):
            # Who was declared down is not waited for; else a lease that still runs says that somebody works.
            of = [host for host, forced in down.items() if forced == held]
            for operation in lost.on_hosts(db, table, of, COMPUTE, held) if of else ():
                self._take_off(operation)

    def _down(self, wanted: list[str]) -> dict[str, bool]:
        """Return which of the hosts are down, and whether they were declared so."""
        signs = hosts.signs_of_life(self._source.db, presence.COMPUTE)
        at, down = time.monotonic(), {}
        seen = {}
        for host in {*signs, *wanted}:
            last_seen, forced = signs.get(host, (0.0, False))
            before, since = self._seen.get(host, (-1.0, at))
            seen[host] = (last_seen, since if before == last_seen else at)
            if forced or at - seen[host][1] >= self._conf.compute.service_down_time:
                down[host] = forced
        self._seen = seen
        self._tell(signs, down)
        return {host: forced for host, forced in down.items() if host in wanted}

    def _tell(self, signs: Mapping[str, tuple[float, bool]], down: Mapping[str, bool]) -> None:
        """Tell which hosts went down since the last look, and which of those told as down have shown that they live."""
        for host in signs.keys() & down.keys() - self._told_down.keys():
            moments.service_down(self._hooks, COMPUTE, host, "declared" if down[host] else "silent")
            self._told_down[host] = signs[host]
        for host in self._told_down.keys() - down.keys():
            # After a while without the database none counts as down any more: that is no sign of life.
            if signs.get(host) != self._told_down[host]:
                del self._told_down[host]
                if host in signs:
                    moments.service_up(self._hooks, COMPUTE, host)

    def _take_off(self, operation: operations.Operation) -> None:
        db, table = self._source.db, self._source.table
        step = self._kinds[operation.kind].without_host
        if operation.cancel:
            done = lost.cancel(db, table, operation)
        elif step is not None:
            done = lost.move(db, table, operation, step, CONDUCTOR)
        else:
            return
        if done:
            LOG.info("%s of %s is taken off host %s", operation.kind, operation.instance_uuid, operation.host)
            self._runner.ring()

    def _look_for_overdue(self) -> None:
        db, table, options = self._source.db, self._source.table, self._conf.operations
        expiring = [name for name, kind in self._kinds.by_name.items() if kind.expires]
        # Whoever should do it sees to it that it ends, and cleans up better; this is for when nobody does.
        for operation in lost.overdue(db, table, expiring, options.lease):
            taken = lost.take(db, table, operation, self._runner.owner, options.lease)
            if taken is not None:
                self._runner.give_up(self._source, taken, deadline_passed(taken))
