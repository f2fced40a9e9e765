"""The audit: all records compared with each other; what is provable is repaired, the rest is reported."""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import sqlalchemy as sa
from oslo_config import cfg

from tenter import errors
from tenter.bus import InProcessBus
from tenter.cells import Cell, Cells
from tenter.conductor import audit_cell
from tenter.conductor.audit_fabric import FabricAudit, reported_by_hosts
from tenter.conductor.audit_groups import GroupAudit
from tenter.conductor.problems import Problem, only_reported, repaired
from tenter.contracts.network import NetworkDriver
from tenter.operations.findings import Finding
from tenter.operations.kinds import all_kinds
from tenter.operations.model import CONDUCTOR
from tenter.operations.runner import Runner, Source, deadline_passed
from tenter.store import api_schema, audits, cell_schema, lost
from tenter.store.engine import Database, now
from tenter.store.operations import OPEN, Operation

LOG = logging.getLogger(__name__)


def record(api_db: Database, began: float, found: Iterable[Finding]) -> None:
    """Write down for metrics what an audit has come to that ``began`` then (monotonic clock). Never raises."""
    counts: dict[bool, collections.Counter[str]] = {True: collections.Counter(), False: collections.Counter()}
    for finding in found:
        counts[finding.repaired][finding.code] += 1
    try:
        audits.record(api_db, time.monotonic() - began, counts[False], counts[True])
    except Exception as exc:
        LOG.warning("What the audit has come to is not written down: %s", exc)


class Auditor:
    """Audits a fabric. ``grace`` is for how many seconds something must have been found wrong until it is repaired."""

    def __init__(
        self, conf: cfg.ConfigOpts, api_db: Database, cells: Cells, network: NetworkDriver | None = None,
        grace: float = 0.0, guests: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """``guests`` are the UUIDs of guests here that no server belongs to, beside those that computes reported."""
        self._conf, self._api_db, self._cells, self._network = conf, api_db, cells, network
        self._grace, self._guests = grace, frozenset(guests)
        self._since: dict[tuple[str, str], float] = {}
        self._kinds = all_kinds()

    def run(self, repair: bool) -> list[Finding]:
        """Return what does not fit, with what was repaired of it."""
        found: list[Finding] = []
        seen: dict[tuple[str, str], float] = {}
        for problem in self._problems():
            key = (problem.finding.code, problem.finding.subject)
            seen[key] = self._since.get(key, time.monotonic())
            ripe = repair and time.monotonic() - seen[key] >= self._grace
            settled = self._settled(problem, ripe)
            if settled is not None:
                found.append(settled)
        self._since = seen
        return found

    def _settled(self, problem: Problem, repair: bool) -> Finding | None:
        try:
            return problem.settle(repair)
        except Exception as exc:
            LOG.warning("%s of %s cannot be repaired: %s", problem.finding.code, problem.finding.subject, exc)
            return problem.finding

    def _problems(self) -> Iterator[Problem]:
        cells, away, guests = [], [], set(self._guests)
        for cell in self._cells.all():
            try:
                with cell.db.read() as connection:
                    connection.execute(sa.select(cell_schema.services.c.uuid).limit(1)).first()
                cells.append(cell)
            except errors.Unavailable as exc:
                away.append(cell.name)
                yield only_reported(Finding("cell.away", cell.name, exc.message, "Audit again when it is back."))
        yield from self._operations(Source(self._api_db, api_schema.operations), None)
        for cell in cells:
            yield from self._operations(Source(cell.db, cell_schema.operations, cell.uuid), cell)
            yield from audit_cell.problems(cell, self._conf)
            for problem in reported_by_hosts(cell):
                if problem.finding.code == "guest.unknown":
                    guests.add(problem.finding.subject)
                yield problem
        fabric = FabricAudit(self._api_db, cells, away, frozenset(guests))
        yield from fabric.problems()
        yield from GroupAudit(self._api_db, cells, not away).problems()
        if self._network is not None:
            yield from fabric.ports(self._network)

    def _operations(self, source: Source, cell: Cell | None) -> Iterator[Problem]:
        expiring = {name for name, kind in self._kinds.by_name.items() if kind.expires}
        name = cell.name if cell else None
        for operation in self._open(source):
            what = f"The {operation.kind} of server {operation.instance_uuid}"
            if operation.kind not in self._kinds.by_name:
                yield only_reported(Finding(
                    "operation.unknown_kind", operation.uuid, f"{what} is of no known kind.",
                    "Use the release that began it.", name,
                ))  # fmt: skip
            elif operation.kind in expiring and operation.deadline < now():
                finding = Finding(
                    "operation.overdue", operation.uuid, f"{what} should have ended, and nobody works on it.",
                    "A conductor ends it, or 'tenter audit --repair'.", name,
                )  # fmt: skip
                yield Problem(finding, self._ender(source, operation, finding))
            elif operation.updated_at < now() - self._conf.compute.service_down_time:
                where = f"host {operation.host}" if operation.host else "a conductor"
                yield only_reported(Finding(
                    "operation.no_owner", operation.uuid, f"{what} waits for {where} at step {operation.step!r}.",
                    "See that it runs.", name,
                ))  # fmt: skip

    def _open(self, source: Source) -> Iterable[Operation]:
        table = source.table
        free = sa.or_(table.c.owner.is_(None), table.c.lease_until < now())
        return lost.of_table(source.db, table, sa.and_(table.c.state.in_(OPEN), free))

    def _ender(
        self, source: Source, operation: Operation, finding: Finding
    ) -> Callable[[bool], Finding | None]:
        def settle(repair: bool) -> Finding | None:
            if not repair:
                return finding
            runner = Runner(
                CONDUCTOR, None, [source], self._kinds, InProcessBus(), self._cells, self._conf, 1,
                api_db=self._api_db, network=self._network,
            )  # fmt: skip
            taken = lost.take(source.db, source.table, operation, runner.owner, self._conf.operations.lease)
            if taken is None:
                return None
            runner.give_up(source, taken, deadline_passed(taken))
            return repaired(finding, "It was ended as failed; the server can be deleted.")

        return settle


class Duty:
    """The audit that a conductor does by itself, every ``[operations] audit_interval`` seconds."""

    def __init__(
        self, conf: cfg.ConfigOpts, api_db: Database, cells: Cells, network: NetworkDriver | None,
        stopped: threading.Event,
    ) -> None:  # fmt: skip
        self._options, self._stopped, self._api_db = conf.operations, stopped, api_db
        self._auditor = Auditor(conf, api_db, cells, network, self._options.audit_grace)
        self._told: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Begin, in a thread, unless it is switched off."""
        if self._options.audit_interval:
            threading.Thread(target=self._loop, name="conductor-audit", daemon=True).start()

    def _loop(self) -> None:
        while not self._stopped.wait(self._options.audit_interval):
            began = time.monotonic()
            try:
                found = self._auditor.run(self._options.audit_repair)
            except Exception as exc:
                LOG.warning("The audit was not finished: %s", exc)
                continue
            record(self._api_db, began, found)
            for finding in found:
                if finding.repaired or (finding.code, finding.subject) not in self._told:
                    LOG.warning("%s: %s %s", finding.code, finding.sentence, finding.remedy)
            self._told = {(finding.code, finding.subject) for finding in found}
