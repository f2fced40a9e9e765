"""Databases, drivers and bells of one process, with a moment before and after each effect."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.bus.base import Bus, Listener
from tenter.store.engine import Database
from tests.helpers.simulation.world import Crash, Process

VIRT = {
    "spawn": errors.GuestFailed, "destroy": errors.HypervisorUnavailable, "power_on": errors.GuestFailed,
    "power_off": errors.GuestFailed, "reboot": errors.GuestFailed,
}  # fmt: skip
NETWORK = {"allocate": errors.NetworkFailed, "deallocate": errors.NetworkFailed}
READ_ONLY = ("guests", "state", "vifs")


class GatedDatabase(Database):
    """A database as one process uses it."""

    def __init__(self, real: Database, name: str, process: Process) -> None:
        self._real, self._name, self._process, self._world = real, name, process, process.world
        self.url, self.sqlite, self.engine = real.url, real.sqlite, real.engine

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """See Database. A moment without an effect comes before it."""
        self._world.moment(f"read {self._name}", crashable=False)
        with self._real.read() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """See Database."""
        world, activity = self._world, self._world.current
        world.moment(f"begin {self._name}")
        if activity is None:
            with self._real.write() as connection:
                yield connection
            return
        with self._real.write() as connection:
            activity.depth += 1
            try:
                yield connection
            finally:
                activity.depth -= 1
            if activity.doomed:
                activity.process.dead = True
                raise Crash
        world.moment(f"commit {self._name}")

    def close(self) -> None:
        """Others use it."""


class Faults:
    """How probable it is that a driver call fails, half of the times after it has done its work."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.chances: dict[str, float] = {}

    def fires(self, method: str) -> bool:
        """Return whether a call of the method fails now."""
        chance = self.chances.get(method, 0.0)
        return chance > 0 and self._world.chance.random() < chance


def gate_virt(driver: Any, process: Process, faults: Faults) -> None:
    """Put moments (and faults) around the calls of a virt driver of a process."""
    for method, error in VIRT.items():
        setattr(driver, method, functools.partial(_call, process, faults, method, error, getattr(driver, method)))
    for method in READ_ONLY[:2]:
        setattr(driver, method, functools.partial(_look, process, method, getattr(driver, method)))


class GatedNetwork:
    """The cloud's network driver as one process uses it; ``faulty`` only where a host does."""

    def __init__(self, real: Any, process: Process, faults: Faults | None) -> None:
        self._real = real
        none = Faults(process.world)
        for method, error in NETWORK.items():
            call = functools.partial(_call, process, faults or none, method, error, getattr(real, method))
            setattr(self, method, call)
        self.vifs = functools.partial(_look, process, "vifs", real.vifs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def close(self) -> None:
        """Others use it."""


def _call(
    process: Process, faults: Faults, method: str, error: type[errors.TenterError], real: Callable[..., Any], *args: Any
) -> Any:
    world = process.world
    world.moment(f"before {method}")
    fires = faults.fires(method)
    if fires and world.chance.random() < 0.5:
        raise error(f"{method} was told to fail at once.")
    result = real(*args)
    world.moment(f"after {method}")
    if fires:
        raise error(f"{method} was told to fail in the end.")
    return result


def _look(process: Process, method: str, real: Callable[..., Any], *args: Any) -> Any:
    process.world.moment(method, crashable=False)
    return real(*args)


@dataclass
class Message:
    """A bell that was rung and not heard yet."""

    to: Process
    listener: Listener
    uuid: str | None
    cell: str | None

    def deliver(self) -> None:
        """Let it be heard."""
        self.to.world.spawn(self.to, "bell", functools.partial(self.listener, self.uuid, self.cell))


class Wire:
    """What is between the processes: who listens, and what is on its way."""

    def __init__(self) -> None:
        self.listeners: list[tuple[Process, str, str | None, Listener]] = []
        self.messages: list[Message] = []

    def ring(self, role: str, host: str | None, uuid: str | None, cell: str | None) -> None:
        """Send a message to everybody who listens."""
        self.listeners = [entry for entry in self.listeners if not entry[0].dead]
        for process, of_role, of_host, listener in self.listeners:
            if (role, host) == (of_role, of_host):
                self.messages.append(Message(process, listener, uuid, cell))


class WireBus(Bus):
    """One process's end of the wire."""

    def __init__(self, wire: Wire, process: Process) -> None:
        self._wire, self._process = wire, process

    def ring(self, role: str, host: str | None = None, uuid: str | None = None, cell: str | None = None) -> None:
        if not self._process.dead:
            self._wire.ring(role, host, uuid, cell)

    def listen(self, role: str, host: str | None, listener: Listener) -> None:
        self._wire.listeners.append((self._process, role, host, listener))

    def serve(self, host: str, endpoint: object) -> None:
        """Nobody calls."""

    def call(self, host: str, method: str, **kwargs: Any) -> Any:
        raise errors.Unavailable(f"Host {host} does not answer.")
