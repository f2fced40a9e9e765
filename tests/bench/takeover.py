"""Two conductor processes on one database: how soon the one goes on with a step when the other dies or is stopped.

``python takeover.py DIRECTORY LEASE`` is one of the processes; its step never ends at the first attempt.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid as uuidlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tenter.bus import PollingBus
from tenter.cells import Cells
from tenter.conf import new_conf
from tenter.operations.model import CONDUCTOR, Kinds, OperationKind, Outcome, Step, StepContext
from tenter.operations.runner import Runner, Source
from tenter.store import migrate, operations
from tenter.store.cell_schema import operations as table
from tenter.store.engine import Database, now, sqlite_url

FOREVER = 3600.0


def _nap(context: StepContext) -> Outcome:
    if context.operation.attempt == 1:
        time.sleep(FOREVER)
    return Outcome()


class Nap(OperationKind):
    """Sleeps until somebody else takes over."""

    kind = "nap"
    action = "nap"
    steps = {"nap": Step(CONDUCTOR, _nap, "nap")}

    def on_error(self, context: StepContext, step: str, error: Exception) -> Outcome:
        """It failed."""
        return Outcome(state=operations.FAILED)


def work(directory: Path, lease: float) -> None:
    """Be a conductor, until killed."""
    conf = new_conf([], directory)
    conf.set_override("lease", lease, "operations")
    kinds, db = Kinds(), _database(directory)
    kinds.add(Nap())
    Runner(CONDUCTOR, None, [Source(db, table)], kinds, PollingBus(), Cells(db), conf, 4).start()
    time.sleep(FOREVER)


def _database(directory: Path) -> Database:
    return Database(sqlite_url(directory / "cell.sqlite"))


class Pair:
    """The two processes, of which one is struck again and again."""

    def __init__(self, directory: Path, lease: float) -> None:
        self._directory, self._lease = directory, lease
        self._db = _database(directory)
        migrate.upgrade(self._db, "cell")
        self._processes = [self._start(), self._start()]

    def close(self) -> None:
        """End both."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._db.close()

    def strike(self, number: signal.Signals, renewed: bool) -> float:
        """Send a signal to the process that has a step, just after it has renewed its lease or just after it took the
        step; return the seconds until the other has taken it."""
        uuid = self._ask()
        row = self._wait(uuid, lambda row: row.owner is not None)
        if renewed:
            first = row.lease_until
            row = self._wait(uuid, lambda row: row.lease_until != first)
        victim = next(process for process in self._processes if f":{process.pid}:" in row.owner)
        victim.send_signal(number)
        began = time.time()
        row = self._wait(uuid, lambda row: row.attempt > 1)
        victim.kill()
        victim.wait()
        self._wait(uuid, lambda row: row.state == operations.DONE)
        self._processes.remove(victim)
        self._processes.append(self._start())
        return float(row.claimed_at) - began

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, __file__, str(self._directory), str(self._lease)])

    def _ask(self) -> str:
        new = operations.Operation(
            uuid=str(uuidlib.uuid4()), kind=Nap.kind, instance_uuid=str(uuidlib.uuid4()), project_id="p", user_id="u",
            request_id="r", step="nap", role=CONDUCTOR, deadline=now() + FOREVER,
        )  # fmt: skip
        with self._db.write() as connection:
            operations.insert(connection, table, new)
        return new.uuid

    def _wait(self, uuid: str, until: Any) -> Any:
        end = time.monotonic() + 3 * self._lease + 30
        while time.monotonic() < end:
            with self._db.read() as connection:
                row = connection.execute(sa.select(table).where(table.c.uuid == uuid)).one()
            if until(row):
                return row
            time.sleep(0.01)
        raise RuntimeError(f"the step is stuck: {row}")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    work(Path(sys.argv[1]), float(sys.argv[2]))
