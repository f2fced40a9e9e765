"""Clients that claim on a fleet until it is full, as conductors do: decide, claim, and try the next where that is lost.

``python -m tests.helpers.claiming API-URL CELL-URL CLIENTS SEED`` runs that many threads and prints what came of it as
JSON.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import uuid as uuidlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tenter.cells import Cell, Cells
from tenter.conf import new_conf
from tenter.contracts.filter import Filter
from tenter.contracts.fit import Fit, fit
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.weigher import Weigher
from tenter.plugins import enabled, load_all
from tenter.scheduler import Scheduler
from tenter.scheduler.current import CurrentHosts
from tenter.scheduler.needs import needs_of
from tenter.store import claims
from tenter.store.cell_schema import inventories
from tenter.store.engine import Database

CELL = "c0ffee00-0000-4000-8000-000000000001"
FLAVORS = ((8, 16_384, 80), (4, 8192, 40), (2, 4096, 20), (1, 2048, 10))


@dataclass
class Came:
    """What clients came to."""

    claims: int = 0
    tries: int = 0
    memory: int = 0
    """MiB claimed."""


def amounts(flavor: tuple[int, int, int]) -> dict[str, int]:
    """Return what a flavor asks."""
    return dict(zip(("VCPU", "MEMORY_MB", "DISK_GB"), flavor, strict=True))


def scheduler_on(api_db: Database, cell_db: Database, state_dir: Path, seed: int | None = None, **options: Any) -> Any:
    """Return a scheduler with the default filters and weighers over one cell, and its host table."""
    conf = new_conf([], state_dir)
    for name, value in options.items():
        conf.set_override(name, value, group="scheduler")
    cells = Cells(api_db, [Cell(CELL, "cell1", cell_db)])
    filters = load_all("filter", enabled("filter", conf), Filter, conf, state_dir)
    weighers = load_all("weigher", enabled("weigher", conf), Weigher, conf, state_dir)
    hosts = CurrentHosts(cells, api_db, lambda: 60.0, needs_of(filters, weighers))
    return Scheduler(conf, cells, hosts, filters, weighers, seed), hosts


class Client:
    """Claims until nothing fits any more."""

    def __init__(self, scheduler: Scheduler, db: Database, seed: int) -> None:
        self._scheduler, self._db, self._rng = scheduler, db, random.Random(seed)
        self.came = Came()

    def run(self) -> Came:
        """Ask for servers of random flavors; once one does not fit, for smaller ones only."""
        smallest = 0
        while smallest < len(FLAVORS):
            number = self._rng.randrange(smallest, len(FLAVORS))
            if not self._claim(FLAVORS[number]):
                smallest = number + 1
        return self.came

    def _claim(self, flavor: tuple[int, int, int]) -> bool:
        request = PlacementRequest(str(uuidlib.uuid4()), "project", amounts(flavor))
        lost = 0
        while (candidate := next(self._scheduler.select(request, lost=lost).candidates, None)) is not None:
            found = fit(candidate.view, request)
            assert isinstance(found, Fit)
            self.came.tries += 1
            try:
                with self._db.write() as connection:
                    claims.take(connection, request.instance_uuid, found.wanted)
            except claims.ClaimLost:
                lost += 1
                continue
            self.came.claims += 1
            self.came.memory += flavor[1]
            return True
        return False


def claim(api_url: str, cell_url: str, clients: int, seed: int) -> Came:
    """Let clients claim in threads, by one scheduler; return what all came to."""
    api_db, cell_db = Database(api_url), Database(cell_url, pool_size=clients)
    with tempfile.TemporaryDirectory(prefix="tenter-claiming-") as directory:
        scheduler, _ = scheduler_on(api_db, cell_db, Path(directory), seed)
        with ThreadPoolExecutor(clients) as pool:
            each = list(pool.map(lambda number: Client(scheduler, cell_db, seed + number).run(), range(clients)))
    for db in (api_db, cell_db):
        db.close()
    return Came(*(sum(getattr(one, name) for one in each) for name in ("claims", "tries", "memory")))


def claim_in_processes(api_url: str, cell_url: str, processes: int, clients: int) -> Came:
    """Let clients claim in several processes, ``clients`` in all; return what all came to."""
    command = [sys.executable, "-m", "tests.helpers.claiming", api_url, cell_url, str(clients // processes)]
    root = Path(__file__).parents[2]
    running = [subprocess.Popen([*command, str(1000 * n)], cwd=root, stdout=subprocess.PIPE) for n in range(processes)]
    came = Came()
    try:
        for one in running:
            out, _ = one.communicate(timeout=240)
            assert one.returncode == 0, "a process of clients failed"
            said = json.loads(out)
            came = Came(*(getattr(came, name) + said[name] for name in ("claims", "tries", "memory")))
    finally:
        for one in running:
            one.kill()
            one.wait()
    return came


def over_capacity(db: Database) -> list[Any]:
    """Return the inventories of which more is used than there is, or other than is claimed."""
    with db.read() as connection:
        claimed = sa.select(sa.func.coalesce(sa.func.sum(claims.claims.c.amount), 0)).where(
            claims.claims.c.provider_uuid == inventories.c.provider_uuid,
            claims.claims.c.resource_class == inventories.c.resource_class,
        )
        wrong = sa.or_(inventories.c.used > inventories.c.capacity, inventories.c.used != claimed.scalar_subquery())
        return list(connection.execute(sa.select(inventories).where(wrong)).all())


if __name__ == "__main__":
    print(json.dumps(asdict(claim(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))))
