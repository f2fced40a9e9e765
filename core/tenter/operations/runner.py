"""The runner: claims operations, runs their steps in threads, writes each outcome under the fence."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import uuid as uuidlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from oslo_context.context import RequestContext
from oslo_db import exception as db_exception

from tenter import errors
from tenter.bus import Bus
from tenter.cells import Cells
from tenter.contracts.network import NetworkDriver
from tenter.operations import moments
from tenter.operations.model import COMPUTE, Guard, HostSide, Kinds, LeftBehind, Outcome, StepContext
from tenter.plugins.emitter import SILENT, Emitter
from tenter.scheduler import Scheduler
from tenter.store import operations
from tenter.store.engine import Database, now
from tenter.store.operations import Operation

LOG = logging.getLogger(__name__)
CROSSED_PAUSE = 0.1
"""Seconds until a step is run again whose transaction the database has given up, because another waited for it."""
BUSY_PAUSE = 0.5
"""Seconds for which a step waits for another one of the same instance, on the same host, that no longer counts."""
BUSY_PATIENCE = 10.0
"""Seconds after which such a wait is a failure, for operations that have no deadline."""


@dataclass(frozen=True)
class Source:
    """One table of operations."""

    db: Database
    table: sa.Table
    cell_uuid: str | None = None


@dataclass
class _Held:
    """An operation that this process holds, or held until its lease ran out, and whose step still runs here."""

    source: Source
    instance_uuid: str
    deadline: float
    """Seconds since the epoch; infinite for what does not expire."""
    in_the_way: float | None = None
    """Since when (monotonic) it no longer counts and others of its instance wait for it."""
    asked: bool = False
    """Whether somebody said meanwhile that it is to be done."""


def deadline_passed(operation: Operation) -> errors.DeadlinePassed:
    """Return the error for an operation that was not done in time."""
    return errors.DeadlinePassed(f"It was not done within {operation.deadline - operation.created_at:.0f} s.")


class Runner:
    """Drives the steps of one role, on one host if the role is compute."""

    def __init__(
        self,
        role: str,
        host: str | None,
        sources: Sequence[Source],
        kinds: Kinds,
        bus: Bus,
        cells: Cells,
        conf: Any,
        workers: int,
        api_db: Database | None = None,
        scheduler: Scheduler | None = None,
        host_side: HostSide | None = None,
        network: NetworkDriver | None = None,
        guard: Guard | None = None,
        hooks: Emitter = SILENT,
    ) -> None:
        self.role, self.host = role, host
        self.owner = f"{role}:{host or '-'}:{os.getpid()}:{uuidlib.uuid4().hex[:12]}"
        self._sources, self._kinds, self._bus, self._cells = list(sources), kinds, bus, cells
        self._conf, self._api_db, self._scheduler, self._host_side = conf, api_db, scheduler, host_side
        self._network, self._guard, self._hooks = network, guard, hooks
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=f"{role}-step")
        self._bell = threading.Condition()
        self._rung = True
        self._stopping = False
        self._lock = threading.Lock()
        self._trying: set[str] = set()
        self._held: dict[str, _Held] = {}
        self._threads = [
            threading.Thread(target=self._dispatch, name=f"{role}-dispatch", daemon=True),
            threading.Thread(target=self._renew, name=f"{role}-renew", daemon=True),
        ]

    def start(self, sole: bool = False) -> None:
        """Start looking for work. ``sole``: no other process has this role (on this host), so what earlier ones held is
        taken over at once and not when its lease runs out."""
        if sole:
            for source in self._sources:
                freed = operations.release_of_host(source.db, source.table, self.role, self.host, self.owner)
                if freed:
                    LOG.info("Taking over %d operations that an earlier process left", freed)
        self._bus.listen(self.role, self.host, self._heard)
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Take no more work and wait for the steps that run, at most ``timeout`` seconds; the rest is handed over:
        others may take it at once, and what this process still writes is refused."""
        with self._bell:
            self._stopping = True
            self._bell.notify_all()
        with self._lock:
            running = len(self._held)
        if running:
            LOG.info("Stopping; %d steps run, they have up to %g seconds", running, timeout)
        until = time.monotonic() + timeout
        while self._held and time.monotonic() < until:
            time.sleep(0.02)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._hand_over()

    def ring(self) -> None:
        """Look for work at once."""
        self._heard(None, None)

    def works_on(self, instance_uuid: str) -> bool:
        """Return whether a step for the instance runs in this process, even one that no longer counts."""
        with self._lock:
            return any(held.instance_uuid == instance_uuid for held in self._held.values())

    def give_up(self, source: Source, operation: Operation, error: Exception) -> None:
        """End an operation, or its step, that this runner has taken, as if the step had raised ``error``."""
        context = self._context(source, operation)
        self._log_failure(operation, error)
        outcome = self._kinds[operation.kind].on_error(context, operation.step, error)
        try:
            self._write(source, operation, outcome, self._event(operation, now(), error))
        except errors.StaleAttempt as exc:
            self._stale(source, operation, exc)

    def _hand_over(self) -> None:
        with self._lock:
            left = dict(self._held)
        for uuid, held in left.items():
            try:
                operations.release(held.source.db, held.source.table, uuid, self.owner)
                LOG.info("Operation %s of instance %s is handed over", uuid, held.instance_uuid)
            except Exception as exc:
                LOG.warning("Operation %s cannot be handed over, its lease must run out: %s", uuid, exc)

    def _heard(self, uuid: str | None, cell: str | None) -> None:
        source = next((source for source in self._sources if source.cell_uuid == cell), None)
        if uuid is not None:
            if source is not None:
                self._offer(source, uuid)
            return
        with self._bell:
            self._rung = True
            self._bell.notify()

    def _offer(self, source: Source, uuid: str) -> None:
        with self._lock:
            if self._stopping or uuid in self._trying:
                return
            if (held := self._held.get(uuid)) is not None:
                # After a long halt of this process (SIGSTOP, a suspended machine) its own leases have run out, but its
                # steps go on: they are renewed, not begun beside themselves. What a second thread ends or removes, the
                # first may still be making.
                held.asked = True
                return
            self._trying.add(uuid)
        try:
            self._pool.submit(self._try, source, uuid)
        except RuntimeError:  # the pool was shut down meanwhile
            self._trying.discard(uuid)

    def _dispatch(self) -> None:
        poll, trouble = self._conf.operations.poll_interval, ""
        while True:
            with self._bell:
                if not self._rung and not self._stopping:
                    self._bell.wait(poll)
                self._rung = False
                if self._stopping:
                    return
            for source in self._sources:
                try:
                    for uuid in operations.todo(source.db, source.table, self.role, self.host, self._workers * 4):
                        self._offer(source, uuid)
                    trouble = ""
                except Exception as exc:
                    if str(exc) != trouble and not isinstance(exc, errors.CellAway):
                        LOG.warning("Cannot look for work: %s", exc)
                    trouble = str(exc)

    def _renew(self) -> None:
        lease = self._conf.operations.lease
        while not self._stopping or self._held:
            time.sleep(lease / 3)
            with self._lock:
                # A driver's call may never come back: after the deadline the lease runs out and a conductor ends it.
                at = now()
                in_time = [(uuid, held.source) for uuid, held in self._held.items() if held.deadline >= at]
            for source in self._sources:
                mine = [uuid for uuid, of in in_time if of is source]
                if mine:
                    try:
                        operations.renew(source.db, source.table, self.owner, mine, lease)
                    except Exception as exc:
                        LOG.warning("Cannot renew leases: %s", exc)

    def _try(self, source: Source, uuid: str) -> None:
        operation = None
        try:
            operation = operations.claim(
                source.db, source.table, uuid, self.role, self.host, self.owner, self._conf.operations.lease
            )
        except Exception as exc:
            LOG.warning("Cannot claim operation %s: %s", uuid, exc)
        with self._lock:
            self._trying.discard(uuid)
            if operation is None:
                return
            busy = self._busy_since(operation.instance_uuid)
            if busy is None:
                deadline = operation.deadline if self._kinds[operation.kind].expires else math.inf
                self._held[uuid] = _Held(source, operation.instance_uuid, deadline)
        if busy is not None:
            self._wait_for_other(source, operation, busy)
            return
        try:
            self._run(source, operation)
        except Exception as exc:
            known = isinstance(exc, errors.TenterError)
            said = "Operation %s of instance %s could not be written and is tried again: %s"
            LOG.warning(said, uuid, operation.instance_uuid, exc, exc_info=not known)
        finally:
            with self._lock:
                held = self._held.pop(uuid)
            if held.asked:
                self._offer(source, uuid)

    def _busy_since(self, instance_uuid: str) -> float | None:
        """Return since when (monotonic) a step that no longer counts is in the way of others of its instance, None if
        there is none. On a host it may still be at work on the same guest."""
        if self._guard is None:
            return None
        other = next((held for held in self._held.values() if held.instance_uuid == instance_uuid), None)
        if other is not None and other.in_the_way is None:
            other.in_the_way = time.monotonic()
        return None if other is None else other.in_the_way

    def _wait_for_other(self, source: Source, operation: Operation, since: float) -> None:
        """Put off an operation while another is in its way; one that has no deadline fails when that goes on."""
        try:
            if not self._kinds[operation.kind].expires and time.monotonic() - since > BUSY_PATIENCE:
                self.give_up(source, operation, errors.Unavailable("An earlier call of the driver does not come back."))
                return
            operations.postpone(source.db, source.table, operation, BUSY_PAUSE)
        except Exception as exc:
            LOG.warning("Operation %s must wait until its lease runs out: %s", operation.uuid, exc)

    def _run(self, source: Source, operation: Operation) -> None:
        # Becomes this thread's current context, from which oslo.log takes request id and instance of every line.
        RequestContext(request_id=operation.request_id, resource_uuid=operation.instance_uuid)
        kind = self._kinds[operation.kind]
        context = self._context(source, operation)
        started, step = now(), operation.step
        error: Exception | None = None
        try:
            self._check(source, operation, context)
            if self._guard is not None and self._guard.begin(operation.instance_uuid):
                # It may have been recorded as left by this very run, which was taken off this host meanwhile: what that
                # made now, nobody would know of.
                with source.db.write() as connection:
                    operations.fenced(connection, source.table, operation)
            outcome = kind.steps[step].run(context)
        except errors.StaleAttempt as exc:
            self._stale(source, operation, exc)
            return
        except Exception as exc:
            error = exc
        if isinstance(error, db_exception.DBDeadlock):
            # The database ended one of two transactions that waited for each other; nothing of it is written.
            LOG.info("Step %s of %s is run again, for its transaction was given up for another's", step, operation.uuid)
            outcome = Outcome(again=CROSSED_PAUSE)
        elif error is not None:
            self._log_failure(operation, error)
            outcome = kind.on_error(context, step, error)
        try:
            self._write(source, operation, outcome, self._event(operation, started, error))
        except errors.StaleAttempt as exc:
            self._stale(source, operation, exc)

    def _event(self, operation: Operation, started: float, error: Exception | None) -> dict[str, Any]:
        return {
            "event": self._kinds[operation.kind].steps[operation.step].event,
            "step": operation.step,
            "started": started,
            "finished": now(),
            "result": "Error" if error else "Success",
            "host": self.host,
            "details": str(error) if error else None,
        }

    def _check(self, source: Source, operation: Operation, context: StepContext) -> None:
        if operation.cancel:
            raise operations.Cancelled(f"The operation {operation.kind} was cancelled.")
        kind, options = self._kinds[operation.kind], self._conf.operations
        given_up: errors.TenterError
        if kind.expires and now() > operation.deadline:
            given_up = deadline_passed(operation)
        elif operation.step_attempt > options.max_takeovers:
            begun = operation.step_attempt - 1
            given_up = errors.Unavailable(
                f"The step {operation.step!r} was begun {begun} times and never came to an end."
            )
        else:
            return
        try:
            kind.abandon(context, operation.step)
        except Exception as exc:
            LOG.warning("What step %s of %s left may not all be removed: %s", operation.step, operation.uuid, exc)
            raise LeftBehind(given_up) from exc
        raise given_up

    def _context(self, source: Source, operation: Operation) -> StepContext:
        last = [0.0, False]

        def cancelled() -> bool:
            if time.monotonic() - last[0] > 0.25:
                last[:] = [time.monotonic(), operations.is_cancelled(source.db, source.table, operation)]
            return bool(last[1])

        return StepContext(
            operation=operation, db=source.db, table=source.table, cells=self._cells, bus=self._bus,
            api_db=self._api_db, conf=self._conf, cancelled=cancelled, cell_uuid=source.cell_uuid,
            scheduler=self._scheduler, host_side=self._host_side, network=self._network, hooks=self._hooks,
        )  # fmt: skip

    def _write(self, source: Source, operation: Operation, outcome: Outcome, event: dict[str, Any]) -> None:
        values: dict[str, Any] = {}
        if outcome.again is None:
            values["events"] = [*operation.events, event]
        if outcome.data is not None:
            values["data"] = {**operation.data, **outcome.data}
        role = None
        if outcome.again is not None:
            values.update(operations.paused(outcome.again))
        elif outcome.next is not None:
            role = self._kinds[operation.kind].steps[outcome.next].role
            values.update(
                step=outcome.next, role=role, host=outcome.host, state=operations.QUEUED,
                owner=None, lease_until=None, step_attempt=0,
            )  # fmt: skip
        else:
            values.update(operations.ended(operation, outcome.state, outcome.error))
        waiting = []
        with source.db.write() as connection:
            operations.fenced(connection, source.table, operation, **values)
            outcome.apply(connection)
            if role is None and outcome.again is None:
                waiting = operations.waiting(connection, source.table, operation.instance_uuid)
        if outcome.then is not None:
            outcome.then()
        if role is not None:
            self._bus.ring(role, outcome.host if role == COMPUTE else None, operation.uuid, source.cell_uuid)
        elif not outcome.gone and outcome.again is None:
            LOG.info("%s: %s", operation.kind, outcome.state)
            moments.operation_ended(self._hooks, operation, outcome.state, outcome.error)
        self._wake(source, waiting)

    def _wake(self, source: Source, waiting: Sequence[tuple[str, str, str | None]]) -> None:
        for uuid, role, host in waiting:
            self._bus.ring(role, host if role == COMPUTE else None, uuid, source.cell_uuid)

    def _stale(self, source: Source, operation: Operation, error: errors.StaleAttempt) -> None:
        LOG.info("%s: %s", operation.kind, error)
        if self._guard is not None:
            self._guard.disown(operation.instance_uuid)
        if isinstance(error, operations.Cancelled):
            operations.finish_cancelled(source.db, source.table, operation)
            moments.operation_ended(self._hooks, operation, operations.CANCELLED)
            with source.db.read() as connection:
                waiting = operations.waiting(connection, source.table, operation.instance_uuid)
            self._wake(source, waiting)

    def _log_failure(self, operation: Operation, error: Exception) -> None:
        known = isinstance(error, errors.TenterError)
        LOG.warning(
            "%s failed at step %s: %s", operation.kind, operation.step, error, exc_info=None if known else error,
        )  # fmt: skip
