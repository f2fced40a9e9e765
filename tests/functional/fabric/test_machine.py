"""The state machine of the fabric: nothing is ever stuck, lost or left behind, in whatever order things happen.

What is real: the SQLite store with its transactions, Requests, Runner with its dispatch, lease and pool threads, the
conductor and compute services with all their loops (Watch, Reaper, reports, power states, audits), Scheduler, all kinds
of operations, the fake virt driver with its files and the local network driver without wiring (mode none).

What is simulated (``tests/helpers/simulation``): threads, which go on one at a time as a schedule says; time, which is
virtual and stands still while anybody can go on; the bus, which loses, doubles, delays and reorders every message as
it likes; two conductors and four computes in two cells and an API, each a process that may die (and comes back as new
objects on the same state), be stopped for a while (so that its leases run out under it), be declared down or told to
end; the clock, which may jump ahead; drivers whose calls fail, before or after they did their work.

A *moment*, at which the schedule changes hands and a process may die, is before the begin and after the commit of each
write transaction and before and after each driver call. A process also dies inside transactions, before the commit;
where inside does not matter, for what was not committed was never there. Before each read the schedule may change
hands too.

What is not: two threads inside transactions at once (SQLite has one writer, and PostgreSQL's concurrency is not tried
here), power cuts and lost disks, databases that are away or full, clocks that jump back, images that cannot be read,
real guests. ``tools/chaos`` has real processes, and ``docs/model`` the protocol for a model checker.

Here Hypothesis chooses, and shrinks; then walks choose by seeds, for as many crashes as the figures ask for. Other
seeds: ``TENTER_MACHINE_SEED=1000``, more walks: ``TENTER_MACHINE_WALKS=50``.
"""

from __future__ import annotations

import atexit
import functools
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.helpers.simulation import Walk, make_template
from tests.helpers.simulation.chunks import CRASHES, SEED, WALKS, run_chunk
from tests.helpers.simulation.cloud import CONDUCTORS, DOWN_TIME, LEASE, VCPUS
from tests.helpers.simulation.walk import CHANGES

CHUNKS = 4
PROCESSES = ("api", *CONDUCTORS, *VCPUS)
ORDERS = st.integers(0, 1 << 16)


@functools.cache
def _template() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="tenter-machine-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return make_template(directory / "template")


class Fabric(RuleBasedStateMachine):
    """A cloud of which every process is running; rules do what clients and misfortune do, and let it go on."""

    @initialize(order=ORDERS, faults=st.booleans())
    def begin(self, order: int, faults: bool) -> None:
        directory = _template().parent / "cloud"
        self.walk = Walk(_template(), directory, order, faults)
        self.walk.cloud.__enter__()
        self.walk.begin()
        self.walk.odds = 0.0

    @rule(order=ORDERS, steps=st.integers(1, 80))
    def go_on(self, order: int, steps: int) -> None:
        """Let some activities take some steps, in some order."""
        self.walk.reseed(order)
        self.walk.stroll(steps)

    @rule()
    def create(self) -> None:
        self.walk.create()

    @rule(which=st.integers(0, 5))
    def delete(self, which: int) -> None:
        if servers := self.walk.cloud.servers():
            self.walk.delete(servers[which % len(servers)])

    @rule(which=st.integers(0, 5), what=st.sampled_from(CHANGES))
    def change(self, which: int, what: str) -> None:
        if servers := self.walk.cloud.servers():
            self.walk.change(servers[which % len(servers)], what)

    @rule(order=ORDERS, name=st.sampled_from(PROCESSES), patience=st.integers(0, 40))
    def crash(self, order: int, name: str, patience: int) -> None:
        """Let a process die at a moment of its work, the next one after some steps."""
        self.walk.reseed(order)
        self.walk.stroll(patience)
        for _ in range(60):
            at = [activity for activity in self.walk.busy() if activity.process.name == name]
            if at:
                self.walk.crash(random.Random(order).choice(at))
                return
            self.walk.step()

    @rule(name=st.sampled_from(PROCESSES[1:]), seconds=st.sampled_from((1.0, LEASE + 2, DOWN_TIME + 2 * LEASE)))
    def freeze(self, name: str, seconds: float) -> None:
        self.walk.freeze(name, seconds)

    @rule(name=st.sampled_from(PROCESSES[1:]), back=st.booleans())
    def down(self, name: str, back: bool) -> None:
        self.walk.down(name, 0.0 if back else DOWN_TIME + 2 * LEASE)

    @rule(host=st.sampled_from(PROCESSES[3:]), down=st.booleans())
    def declare(self, host: str, down: bool) -> None:
        self.walk.cloud.declare(host, down)

    @rule(seconds=st.sampled_from((LEASE + 1, DOWN_TIME + 1)))
    def clock_jumps(self, seconds: float) -> None:
        self.walk.jump(seconds)

    @rule()
    def messages_are_lost(self) -> None:
        self.walk.wire.messages.clear()

    def teardown(self) -> None:
        if not hasattr(self, "walk"):
            return
        try:
            broken = self.walk.end()
            assert broken == [], "\n".join([*broken, *self.walk.story().splitlines()[-150:]])
        finally:
            self.walk.cloud.__exit__()


Fabric.TestCase.settings = settings(
    max_examples=12, stateful_step_count=22, deadline=None, derandomize=SEED == 0, database=None,
    suppress_health_check=list(HealthCheck), print_blob=True,
)  # fmt: skip
TestFabric = pytest.mark.timeout(300)(Fabric.TestCase)


def test_there_are_enough_crashes() -> None:
    assert CHUNKS * WALKS * CRASHES >= 500


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_walks_with_faults(machine_template: Path, tmp_path: Path, chunk: int) -> None:
    run_chunk(machine_template, tmp_path, 10_000 + chunk * 100, faults=True, audits=chunk == 0)
