"""The scheduler on generated hosts: seconds a decision, beside the same masks written by hand; claims in parallel.

Decisions are made one at a time over a cell's database (SQLite), with the default filters and weighers. What a decision
reads of the database, to know what the claims before it changed, counts; the claim itself does not.
"""

from __future__ import annotations

import gc
import random
import sys
import tempfile
import time
import tracemalloc
import uuid as uuidlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cloud import arguments, median, percentile, report

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.helpers import claiming  # noqa: E402
from tests.helpers.fleet import Fleet  # noqa: E402

from tenter.contracts.base import PluginSetup  # noqa: E402
from tenter.contracts.filter import ACCEPT, HostFilter, Verdict  # noqa: E402
from tenter.contracts.fit import Fit, fit  # noqa: E402
from tenter.contracts.scheduling import HostView, PlacementRequest  # noqa: E402
from tenter.contracts.table import HostTable  # noqa: E402
from tenter.scheduler.sift import Sieve  # noqa: E402
from tenter.store import claims, migrate  # noqa: E402
from tenter.store.engine import Database, sqlite_url  # noqa: E402

P50_MS, P99_MS, P99_LARGE_MS, RATIO, SCALAR_US, BYTES = 1.0, 4.0, 40.0, 2.5, 3.0, 600
PACKING, TRIES = 0.95, 1.3
CLIENTS, PROCESSES = 64, 4
SMALL = ((16, 32_768, 400),)


class Stand:
    """A fleet in a database, and a scheduler over it."""

    def __init__(self, directory: Path, fleet: Fleet) -> None:
        self.api_db, self.db = databases(directory, fleet)
        self.scheduler, self.hosts = claiming.scheduler_on(self.api_db, self.db, directory, seed=7)

    def table(self) -> HostTable:
        """Return the host table as it is now."""
        table: HostTable = self.hosts.table(self.scheduler._cells.enabled())[0]
        return table

    def close(self) -> None:
        """Close the databases."""
        self.api_db.close()
        self.db.close()


def databases(directory: Path, fleet: Fleet) -> tuple[Database, Database]:
    """Return an API database and a cell's with the fleet in it."""
    directory.mkdir(parents=True, exist_ok=True)
    found = []
    for which in ("api", "cell"):
        found.append(Database(sqlite_url(directory / f"{which}.sqlite")))
        migrate.upgrade(found[-1], which)
    fleet.write(found[1])
    return found[0], found[1]


def requests(count: int, seed: int) -> list[PlacementRequest]:
    """Return requests of several flavors, some for a zone, some with traits."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        flavor = claiming.FLAVORS[rng.randrange(len(claiming.FLAVORS))]
        traits = frozenset({"HW_CPU_X86_AVX2"}) if rng.random() < 0.2 else frozenset()
        zone = f"zone-{rng.randrange(3)}" if rng.random() < 0.3 else None
        found.append(
            PlacementRequest(
                str(uuidlib.UUID(int=rng.getrandbits(128), version=4)),
                "project",
                claiming.amounts(flavor),
                zone=zone,
                required_traits=traits,
                flavor=f"f{flavor[0]}",
                image_properties={"hw_architecture": "x86_64"},
            )  # fmt: skip
        )
    return found


def by_hand(table: HostTable, request: PlacementRequest) -> int:
    """Return the best row, by masks and weights written out for this one case."""
    ok = table.enabled & table.up
    if request.zone is not None:
        ok &= np.array([zone == request.zone for zone in table.zone.values])[table.zone.codes]
    if request.required_traits:
        ok &= np.array([request.required_traits <= traits for traits in table.traits.values])[table.traits.codes]
    free = {}
    for name, amount in request.resources.items():
        columns = table.resources[name]
        free[name] = columns.capacity - columns.used
        ok &= free[name] >= amount
    rows = np.flatnonzero(ok)
    if not len(rows):
        return -1
    total = np.zeros(len(rows))
    for column in (*free.values(), table.io_ops, table.hypervisor.numbers(lambda one: one.version)):
        raw = column[rows]
        low, high = raw.min(), raw.max()
        if high > low:
            total += (raw - low) / (high - low)
    return int(rows[total.argmax()])


@dataclass
class Times:
    """Seconds of decisions as they are made, of the same on a table that is there, and of the same by hand."""

    whole: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)
    hand: list[float] = field(default_factory=list)


class Held:
    """A host table that stays as it is."""

    def __init__(self, table: HostTable) -> None:
        self._table = table

    def table(self, cells: object) -> tuple[HostTable, tuple[str, ...]]:
        """Return it."""
        return self._table, ()


def timed(into: list[float], call: Callable[[], Any]) -> Any:
    """Return what a call returns, and keep how long it took."""
    began = time.perf_counter()
    found = call()
    into.append(time.perf_counter() - began)
    return found


def decide(stand: Stand, asked: Sequence[PlacementRequest]) -> Times:
    """Decide and claim one request after the other."""
    times, scheduler = Times(), stand.scheduler
    for request in asked:
        choose = lambda of=request: next(scheduler.select(of).candidates, None)  # noqa: E731
        best = timed(times.whole, choose)
        table = stand.table()
        scheduler._hosts = Held(table)
        timed(times.masks, choose)
        scheduler._hosts = stand.hosts
        timed(times.hand, lambda of=request, table=table: by_hand(table, of))
        if best is not None:
            found = fit(best.view, request)
            assert isinstance(found, Fit)
            with stand.db.write() as connection:
                claims.take(connection, request.instance_uuid, found.wanted)
    return times


class Third(HostFilter):
    """A third party's rule for one host."""

    contract = "filter 1.0"

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Say yes to all that fail few builds."""
        return ACCEPT if host.failed_builds < 100 else Verdict.reject("third.failing")


def scalar(stand: Stand, asked: Sequence[PlacementRequest]) -> float:
    """Return by how many microseconds a host that it sees a rule for one host makes a decision slower."""
    scheduler: Any = stand.scheduler
    third = ("Third", Third(PluginSetup(scheduler._conf, Path())))
    with_it = Sieve([*((name, one) for name, one in scheduler._sieve.masks + scheduler._sieve.rules), third])
    sieves, times, seen = (scheduler._sieve, with_it), {False: [], True: []}, 0
    for request in asked:
        for with_third in (False, True):
            scheduler._sieve = sieves[with_third]
            began = time.perf_counter()
            decision = scheduler.select(request)
            times[with_third].append(time.perf_counter() - began)
            if with_third:
                seen += decision.sifted.stages[-1].seen
    scheduler._sieve = sieves[False]
    return (sum(times[True]) - sum(times[False])) / seen * 1e6


def bytes_a_host(stand: Stand) -> float:
    """Return how much memory the host table takes."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    _, hosts = claiming.scheduler_on(stand.api_db, stand.db, Path(tempfile.gettempdir()))
    table = hosts.table(stand.scheduler._cells.enabled())[0]
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / len(table)


def packed(directory: Path, processes: int, clients: int) -> tuple[claiming.Came, int]:
    """Let clients claim until the fleet is full; return what they came to, and how many inventories are wrong."""
    fleet = Fleet(1000, used=0.0, down=0.0, sizes=SMALL, ratios={"VCPU": 1.0, "MEMORY_MB": 1.0, "DISK_GB": 1.0})
    api_db, db = databases(directory, fleet)
    urls = [sqlite_url(directory / f"{which}.sqlite") for which in ("api", "cell")]
    came = claiming.claim_in_processes(*urls, processes, clients)
    wrong = len(claiming.over_capacity(db))
    api_db.close()
    db.close()
    return came, wrong


def measure(prefix: str, times: Times, values: dict[str, Any]) -> None:
    """Write what came of decisions into ``values``; the ratio is that of equal work, pair by pair."""
    values[prefix + "p50_ms"] = median(times.whole) * 1e3
    values[prefix + "p99_ms"] = percentile(times.whole, 0.99) * 1e3
    values[prefix + "masks_p50_ms"] = median(times.masks) * 1e3
    values[prefix + "by_hand_p50_ms"] = median(times.hand) * 1e3
    values[prefix + "ratio"] = median([ours / hand for ours, hand in zip(times.masks, times.hand, strict=True)])


def main() -> None:
    """Measure decisions on 10,000 and 100,000 hosts, memory, and claims by 64 clients on 1,000 hosts."""
    args = arguments(__doc__ or "")
    rows: list[tuple[str, str]] = []
    values: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tenter-bench-") as name:
        directory = Path(name)
        stand = Stand(directory / "10k", Fleet(10_000))
        decide(stand, requests(50, 1))
        measure("", decide(stand, requests(1000, 2)), values)
        values["scalar_us_a_host"] = scalar(stand, requests(100, 3))
        values["bytes_a_host"] = bytes_a_host(stand)
        stand.close()
        stand = Stand(directory / "100k", Fleet(100_000))
        decide(stand, requests(10, 1))
        measure("large_", decide(stand, requests(300, 2)), values)
        stand.close()
        alone, wrong_alone = packed(directory / "alone", 1, 1)
        many, wrong = packed(directory / "many", PROCESSES, CLIENTS)
        values.update(packing=many.memory / alone.memory, tries=many.tries / many.claims, wrong=wrong + wrong_alone)
    rows = [
        ("10,000 hosts, one decision", f"p50 {values['p50_ms']:.2f} ms (at most {P50_MS:g}), "
                                       f"p99 {values['p99_ms']:.2f} ms (at most {P99_MS:g})"),
        ("without reading what changed", f"p50 {values['masks_p50_ms']:.2f} ms; by hand {values['by_hand_p50_ms']:.2f} "
                                         f"ms: {values['ratio']:.2f} times that (at most {RATIO:g})"),
        ("100,000 hosts", f"p50 {values['large_p50_ms']:.1f} ms, p99 {values['large_p99_ms']:.1f} ms "
                          f"(at most {P99_LARGE_MS:g}); by hand p50 {values['large_by_hand_p50_ms']:.1f} ms, "
                          f"{values['large_ratio']:.2f} times that"),
        ("a rule for one host", f"{values['scalar_us_a_host']:.2f} µs a host it sees (at most {SCALAR_US:g})"),
        ("memory of the table", f"{values['bytes_a_host']:.0f} bytes a host (at most {BYTES})"),
        (f"{CLIENTS} clients, 1,000 hosts", f"{values['packing']:.1%} of what one packs (at least {PACKING:.0%}), "
                                            f"{values['tries']:.3f} tries a claim (at most {TRIES:g}), "
                                            f"{values['wrong']} inventories wrong"),
    ]  # fmt: skip
    figure = f"p50 {values['p50_ms']:.2f} ms, {values['ratio']:.2f} times the same by hand (at most {RATIO:g})"
    report("schedule", rows, figure, values, args.json)


if __name__ == "__main__":
    main()
