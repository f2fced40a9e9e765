"""A walk: requests, crashes and other misfortune in an order that a seed fixes; then peace, and what must hold."""

from __future__ import annotations

import collections
import functools
import random
from pathlib import Path
from typing import Any

from tenter import errors
from tenter.operations.requests import RebuildServer
from tests.helpers.cloud import CALLER
from tests.helpers.simulation import invariants
from tests.helpers.simulation.cloud import CONDUCTORS, DEADLINE, DOWN_TIME, IMAGE, LEASE, SimulatedCloud
from tests.helpers.simulation.world import Activity

BACKGROUND = (
    "compute-report", "compute-_sync", "compute-audit", "conductor-report", "conductor-purge", "conductor-look",
)  # fmt: skip
"""Activities that go round without work of a server; they are seldom killed."""
MOST_SERVERS = 12
CHANGES = ("start", "stop", "reboot", "reboot hard", "rebuild", "rename")


class Walk:
    """One cloud and what happens to it. ``crashes`` counts the moments at which a process died in the middle of
    something; a kill of a process that only waits is none."""

    def __init__(
        self, template: Path, directory: Path, seed: int, faults: bool = False, audits: bool = False,
        chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.cloud = SimulatedCloud(template, directory, seed, chance)
        self.world, self.wire = self.cloud.world, self.cloud.wire
        self.chance = self.world.chance
        self.seed, self._faults, self._audits = seed, faults, audits
        self.promises = invariants.Promises()
        self.crashes = 0
        self.crashed_at: collections.Counter[str] = collections.Counter()
        self._back_at: dict[str, float] = {}
        self._up_at: dict[str, float] = {}
        self.odds, self._late_odds = self.chance.choice((0.02, 0.04, 0.08)), 0.02
        """How probable it is that a process dies at a moment of its work, or that one of its threads is late."""
        self._named = 0
        self._renames: dict[str, Activity] = {}

    def reseed(self, seed: int) -> None:
        """Choose by another seed from now on."""
        self.chance = self.world.chance = random.Random(seed)

    def busy(self) -> list[Activity]:
        """Return the activities that are at a moment in the middle of some work and can go on."""
        return [a for a in self.world.ready() if a.crashable and a.name not in BACKGROUND]

    # What happens by itself

    def step(self) -> None:
        """Let one activity go on to its next moment, or die there; or a message arrive, or time pass."""
        self._come_back()
        ready = self.world.ready()
        if self.wire.messages and (not ready or self.chance.random() < 0.3):
            self._message()
            return
        if not ready:
            self._pass_time()
            return
        activity = self.chance.choice(ready)
        if self._dies(activity):
            return
        if activity.crashable and self.chance.random() < self._late_odds:
            self._delay(activity)
            return
        self._resume(activity)

    def _delay(self, activity: Activity) -> None:
        """Let an activity be late, or its whole process, so that its leases run out; maybe its host counts as down."""
        name = activity.process.name
        if activity.name in BACKGROUND or self.chance.random() < 0.4:
            activity.late_until = self.world.monotonic + self.chance.choice((0.5, 3, LEASE, 2 * LEASE))
            self.world.say(f"{activity} is late at {activity.at}")
            return
        pause = self.chance.choice((LEASE + 2, LEASE + 2, 2 * LEASE, DOWN_TIME + LEASE))
        if name in self.cloud.hosts and self.chance.random() < 0.5:
            self.declare_down(name, pause)
        self.freeze(name, pause)

    def _resume(self, activity: Activity) -> None:
        before = activity.at
        self.world.resume(activity)
        if activity.name not in BACKGROUND and (activity.at != before or activity.done) and "read" not in before:
            self.world.say(f"{activity} passed {before!r}" + (", ended" if activity.done else ""))
        for name in self.cloud.bury():
            self._away(name)

    def _dies(self, activity: Activity) -> bool:
        odds = self.odds / 20 if activity.name in BACKGROUND else self.odds
        if not activity.crashable or self.chance.random() >= odds:
            return False
        self.crash(activity)
        return True

    def crash(self, activity: Activity) -> None:
        """Let the process of an activity die where that one is, or before it commits what it begins now."""
        name, at = activity.process.name, activity.at
        if at.startswith("begin") and self.chance.random() < 0.4:
            at = at.replace("begin", "within")
            activity.doomed = True
        self.crashes += 1
        self.crashed_at[f"{self.cloud.doing(activity.about) or activity.name}: {at}"] += 1
        self.world.say(f"CRASH {self.crashes} of {activity} at {at}")
        if activity.doomed:
            self._resume(activity)
            activity.doomed = False
        else:
            self.cloud.kill(name)
            self._away(name)

    def _away(self, name: str) -> None:
        pauses = (0, 0) if name == "api" else (0, 0, 1, LEASE + 1, DOWN_TIME + 2 * LEASE)
        self._back_at[name] = self.world.monotonic + self.chance.choice(pauses)

    def _come_back(self) -> None:
        for name, at in list(self._back_at.items()):
            if at <= self.world.monotonic:
                del self._back_at[name]
                if name not in self.cloud.processes:
                    self.cloud.boot(name)
        for host, at in list(self._up_at.items()):
            if at <= self.world.monotonic:
                del self._up_at[host]
                self.cloud.declare(host, False)

    def _message(self) -> None:
        """Deliver, lose or double one of the messages on their way, whichever; what is not chosen is late."""
        at = self.chance.randrange(len(self.wire.messages))
        fate = self.chance.random()
        message = self.wire.messages[at]
        if fate >= 0.15:  # else it is doubled
            del self.wire.messages[at]
        if fate < 0.75 and not message.to.dead:
            message.deliver()

    def _pass_time(self) -> None:
        times = [*self._back_at.values(), *self._up_at.values()]
        if (first := self.world.next_time()) is not None:
            times.append(first)
        assert times, "nobody waits for anything"
        self.world.monotonic = max(self.world.monotonic, min(times))

    # What clients and misfortune do

    def create(self) -> None:
        """Ask for a server."""
        if "api" not in self.cloud.processes or len(self.cloud.servers()) >= MOST_SERVERS:
            return
        self._named += 1
        wanted = self.cloud.wanted(f"vm{self._named}")

        def told(answer: Any) -> None:
            if not isinstance(answer, errors.TenterError):
                self.promises.made.update(answer.uuids)

        self.cloud.ask(f"create {wanted.name}", lambda requests: requests.create(CALLER, wanted), told)

    def delete(self, uuid: str) -> None:
        """Ask for a server to be deleted."""
        if "api" not in self.cloud.processes:
            return
        self.promises.unsure.add(uuid)

        def told(answer: Any) -> None:
            if answer is None:
                self.promises.deleted.add(uuid)
            elif not isinstance(answer, errors.NotFound):
                self.world.surprise(f"delete of {uuid} was refused: {answer}")

        self.cloud.ask(f"delete {uuid}", lambda requests: requests.delete(CALLER, uuid), told)

    def change(self, uuid: str, what: str) -> None:
        """Ask for a server to be started, stopped, rebooted, rebuilt or renamed."""
        if "api" not in self.cloud.processes:
            return
        if what == "rename":
            self._rename(uuid)
            return

        def told(answer: Any) -> None:
            if answer is not None and not isinstance(answer, (errors.NotFound, errors.Conflict)):
                self.world.surprise(f"{what} of {uuid} was refused: {answer!r}")

        self.cloud.ask(f"{what} {uuid}", functools.partial(_change, what, uuid), told)

    def _rename(self, uuid: str) -> None:
        """Ask for a server to be renamed, unless it is being asked for: then nobody could say which name counts."""
        before = self._renames.get(uuid)
        if before is not None and not (before.done or before.process.dead):
            return
        self._named += 1
        name, names = f"vm{self._named}", self.promises.names
        if uuid in names:
            names[uuid].add(name)

        def told(answer: Any) -> None:
            if answer is None:
                names[uuid] = {name}
            elif not isinstance(answer, errors.NotFound):
                self.world.surprise(f"rename of {uuid} was refused: {answer!r}")

        def request(requests: Any) -> None:
            requests.update(CALLER, uuid, {"display_name": name})

        self._renames[uuid] = self.cloud.ask(f"rename {uuid} to {name}", request, told)

    def misfortune(self) -> None:
        """Let something happen to a process, a host or the clock."""
        what = self.chance.choice(("freeze", "down", "down", "declare", "stop", "jump", "lost"))
        name = self.chance.choice([*CONDUCTORS, *self.cloud.hosts])
        if what == "freeze":
            self.freeze(name, self.chance.choice((1, LEASE / 2, LEASE + 2, 3 * LEASE, DOWN_TIME + 2 * LEASE)))
        elif what == "down":
            self.down(name, DOWN_TIME + 2 * LEASE)
        elif what == "declare":
            self.declare_down(self.chance.choice(self.cloud.hosts), self.chance.choice((1, LEASE, 2 * LEASE)))
        elif what == "stop" and name in self.cloud.processes:
            self.cloud.stop(name, self.chance.choice((0, 1, 5)))
        elif what == "jump":
            self.jump(self.chance.choice((LEASE + 1, DOWN_TIME + 1)))
        elif what == "lost":
            self.wire.messages.clear()

    def freeze(self, name: str, seconds: float) -> None:
        """Stop a process for so long, as SIGSTOP does; it does not notice."""
        if name in self.cloud.processes:
            self.cloud.processes[name].frozen_until = self.world.monotonic + seconds
            self.world.say(f"{name} is frozen for {seconds} s")

    def down(self, name: str, seconds: float) -> None:
        """Kill a process that comes back after so long."""
        if name in self.cloud.processes:
            self.cloud.kill(name)
            self._back_at[name] = self.world.monotonic + seconds

    def declare_down(self, host: str, seconds: float) -> None:
        """Say of a host that it is down, and that it is up again after so long."""
        self.cloud.declare(host, True)
        self._up_at[host] = self.world.monotonic + seconds

    def jump(self, seconds: float) -> None:
        """Set the clock ahead."""
        self.world.wall_offset += seconds
        self.world.say(f"the clock jumps by {seconds} s")

    def act(self) -> None:
        """Do one of all these."""
        if self.chance.random() < 0.12:
            self.misfortune()
            return
        servers = self.cloud.servers()
        what = self.chance.choice(("create",) * 4 + ("delete",) * 2 + CHANGES)
        if what == "create" or not servers:
            self.create()
        elif what == "delete":
            # Often the latest, which is still being built.
            self.delete(servers[-1] if self.chance.random() < 0.5 else self.chance.choice(servers))
        else:
            self.change(servers[-1] if what == "rename" else self.chance.choice(servers), what)

    # Peace

    def run(self, crashes: int, most_steps: int = 40000) -> list[str]:
        """Walk until so many processes have crashed; return what does not hold afterwards."""
        with self.cloud:
            self.begin()
            while self.crashes < crashes and self.world.steps < most_steps:
                self.stroll(self.chance.randrange(1, 45))
                self.act()
            return self.end()

    def begin(self) -> None:
        """Start all processes."""
        if self._audits:
            for name in CONDUCTORS:
                self.cloud.conf(name).set_override("audit_interval", 15.0, "operations")
        if self._faults:
            self.cloud.faults.chances = {
                "spawn": 0.3, "destroy": 0.15, "allocate": 0.15, "deallocate": 0.05, "power_on": 0.1, "power_off": 0.1,
                "reboot": 0.1,
            }  # fmt: skip
        self.cloud.boot_all()
        self.stroll(300, odds=0)

    def stroll(self, steps: int, odds: float | None = None) -> None:
        """Take so many steps."""
        before = self.odds
        if odds is not None:
            self.odds = odds
        for _ in range(steps):
            self.step()
        self.odds = before

    def end(self) -> list[str]:
        """Bring peace; return what does not hold then, and what is left when all servers were deleted."""
        found = self.calm("the walk")
        if found:
            return found
        for uuid in self.cloud.servers():
            self.delete(uuid)
        return self.calm("deleting all") or invariants.left_over(self.cloud)

    def calm(self, after: str) -> list[str]:
        """Mend what can be mended from outside, wait until nothing is done any more; return what does not hold."""
        self.odds, self._late_odds, self.cloud.faults.chances = 0.0, 0.0, {}
        self._back_at.clear()
        self._up_at.clear()
        self.cloud.boot_all()
        for process in self.cloud.processes.values():
            process.frozen_until = 0.0
        for host in self.cloud.hosts:
            self.cloud.declare(host, False)
        whole_since = self.world.monotonic + self.world.wall_offset
        until = self.world.monotonic + DEADLINE + 2 * DOWN_TIME
        self.world.say(f"peace after {after}")
        self._stay(LEASE + 2)
        while left := self.cloud.unsettled():
            if self.world.monotonic > until:
                return [f"not settled after {after}: {what}" for what in left]
            self._stay(5)
        self._stay(12)  # the power states are compared
        return invariants.broken(self.cloud, self.promises, whole_since)

    def _stay(self, seconds: float) -> None:
        until = self.world.monotonic + seconds
        while self.world.monotonic < until:
            self.step()

    def story(self) -> str:
        """Return the schedule, as far as it is kept."""
        return "\n".join(self.world.trace)


def _change(what: str, uuid: str, requests: Any) -> None:
    if what.startswith("reboot"):
        requests.reboot(CALLER, uuid, what.endswith("hard"))
    elif what == "rebuild":
        requests.rebuild(CALLER, uuid, RebuildServer(image=IMAGE))
    else:
        getattr(requests, what)(CALLER, uuid)
