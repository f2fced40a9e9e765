"""Hooks: the moments of the fabric's life that any number of listeners may hear of.

A listener hears; it never decides. It is called in a thread of its own, after what it is told has been committed
(``before_…``: before it is begun), in the order in which its own process told it; other processes tell theirs. What it
raises, and how long it takes, changes nothing for anybody else. What happened is told at least once as long as the
process lives: a step that is run again may tell it again, a process that dies may not have told its last.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from tenter.contracts.base import Plugin

CONTRACT = "hooks 1.0"


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event has."""

    event_type: ClassVar[str]
    """Its name in notifications."""

    at: float
    """When it happened, in seconds since the epoch, by the clock of ``host``."""

    host: str
    """Name of the host whose process tells it."""


@dataclass(frozen=True, kw_only=True)
class ServerEvent(Event):
    """What happened to one server."""

    instance_uuid: str
    project_id: str
    """The project that the server belongs to, as ``user_id`` its owner: not who asked."""

    user_id: str
    name: str | None
    """None where the cell that knows it does not answer."""

    server_host: str | None
    """The host that it is on, or is to be on; None while it has none, or where its cell does not answer."""

    request_id: str | None = None
    """The API request that led to it, where that is known."""


@dataclass(frozen=True, kw_only=True)
class CreateRequested(ServerEvent):
    """A server that is to be made."""

    event_type = "server.create_requested"
    flavor: str
    vcpus: int
    memory_mib: int
    image_id: str | None


@dataclass(frozen=True, kw_only=True)
class BeforeScheduling(ServerEvent):
    """A server that a host is about to be chosen for."""

    event_type = "server.before_scheduling"
    excluded_hosts: tuple[str, ...] = ()
    """Hosts that failed to build it before; empty at the first choice."""


@dataclass(frozen=True, kw_only=True)
class Claimed(ServerEvent):
    """A server that has a place."""

    event_type = "server.claimed"
    node: str | None
    availability_zone: str | None
    resources: Mapping[str, int]
    """Amounts by resource class."""


@dataclass(frozen=True)
class Port:
    """A port of a server."""

    port_id: str
    network_id: str
    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NetworkAllocated(ServerEvent):
    """A server that has its ports."""

    event_type = "server.network_allocated"
    ports: tuple[Port, ...]


@dataclass(frozen=True, kw_only=True)
class Spawned(ServerEvent):
    """A server whose guest runs."""

    event_type = "server.spawned"
    flavor: str
    vcpus: int
    memory_mib: int
    image_id: str | None


@dataclass(frozen=True, kw_only=True)
class BuildFailed(ServerEvent):
    """A server that could not be built."""

    event_type = "server.build_failed"
    reason: str
    final: bool
    """Whether the server is now in ERROR; else another host is tried."""


@dataclass(frozen=True, kw_only=True)
class StateChanged(ServerEvent):
    """A server whose state is another one. ``task`` is the task that was at work, None if it happened by itself."""

    event_type = "server.state_changed"
    old_vm_state: str
    new_vm_state: str
    old_power_state: int
    new_power_state: int
    task: str | None


@dataclass(frozen=True, kw_only=True)
class OperationEnded(Event):
    """An operation that came to its end, asked for by ``caller_user_id`` of ``caller_project_id``."""

    event_type = "operation.ended"
    operation_uuid: str
    operation: str
    """Its kind: ``build``, ``delete``, ``reboot``, …"""

    instance_uuid: str
    outcome: str
    """``done``, ``failed`` or ``cancelled``."""

    reason: str | None
    caller_project_id: str
    caller_user_id: str
    request_id: str


@dataclass(frozen=True, kw_only=True)
class DeleteRequested(ServerEvent):
    """A server that is to go."""

    event_type = "server.delete_requested"


@dataclass(frozen=True, kw_only=True)
class Deleted(ServerEvent):
    """A server that is gone."""

    event_type = "server.deleted"


@dataclass(frozen=True, kw_only=True)
class MigrationEvent(ServerEvent):
    """What happened to one migration of a server."""

    migration_uuid: str
    source_host: str
    dest_host: str


@dataclass(frozen=True, kw_only=True)
class MigrationNegotiated(MigrationEvent):
    """A migration that both hosts agreed on."""

    event_type = "migration.negotiated"
    features: tuple[str, ...]
    """Names of the features that both hosts will use."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """Why each of the others is off, by name."""


@dataclass(frozen=True, kw_only=True)
class MigrationSwitchedOver(MigrationEvent):
    """A migration whose guest runs on the destination."""

    event_type = "migration.switched_over"
    downtime_ms: float | None


@dataclass(frozen=True, kw_only=True)
class MigrationEnded(MigrationEvent):
    """A migration that came to its end."""

    event_type = "migration.ended"
    outcome: str
    """``done``, ``failed`` or ``cancelled``."""

    reason: str | None


@dataclass(frozen=True, kw_only=True)
class ServiceEvent(Event):
    """What happened to a service: ``binary`` is ``tenter-compute`` or ``tenter-conductor``."""

    binary: str
    service_host: str


@dataclass(frozen=True, kw_only=True)
class ServiceUp(ServiceEvent):
    """A service that takes work."""

    event_type = "service.up"


@dataclass(frozen=True, kw_only=True)
class ServiceDown(ServiceEvent):
    """A service that takes no more work."""

    event_type = "service.down"
    reason: str
    """``stopped`` in good order, ``silent`` for too long, or ``declared`` down by an administrator."""


class HookSpecs:
    """Every hook there is: when it fires, and what holds then.

    Each is told at least once unless the process that tells it dies or stops first; a step that is run again may tell
    it again.
    """

    def create_requested(self, event: CreateRequested) -> None:
        """In the API, when a request for a server was accepted. The server is recorded and its quota taken; it has no
        host yet. A request for many servers fires once for each."""

    def before_scheduling(self, event: BeforeScheduling) -> None:
        """In a conductor, before a host is chosen, at the first choice and at each after a host that failed. Nothing
        waits for the listener: when it is called the choice may have been made already."""

    def claimed(self, event: Claimed) -> None:
        """In a conductor, when a host was chosen. Its resources are reserved for the server; no host works on it
        yet."""

    def network_allocated(self, event: NetworkAllocated) -> None:
        """On a host, when the ports of a server that is being built or rebuilt exist there and are plugged. The guest
        may not run yet, and never will if its build fails; then the ports go again."""

    def spawned(self, event: Spawned) -> None:
        """On a host, when the guest of a new server runs and the server shows as ACTIVE."""

    def build_failed(self, event: BuildFailed) -> None:
        """When a host failed to build a server, or none could be chosen. If ``final``, the server shows as ERROR and
        holds no resources; else what the host made is removed, or on record as to be removed, and another is tried."""

    def state_changed(self, event: StateChanged) -> None:
        """When the recorded ``vm_state`` or ``power_state`` of a server became another one: at the end of a task, or
        because the guest did so by itself. Removal is no change of state: see ``deleted``."""

    def operation_ended(self, event: OperationEnded) -> None:
        """When an operation ended and its outcome is on record. One that a delete cancelled before it was begun has no
        outcome and may not be told."""

    def delete_requested(self, event: DeleteRequested) -> None:
        """In the API, when the delete of a server was accepted. It is on record and will be done, however long it
        takes; the server may still run."""

    def deleted(self, event: Deleted) -> None:
        """When a server is gone from the API and from all records, and its resources and quota are given back. A host
        that was away may still have to remove what it has of it."""

    def migration_negotiated(self, event: MigrationNegotiated) -> None:
        """When both hosts agreed how a server is to be live-migrated, before anything is copied. Specified now; it
        fires once live migration exists."""

    def migration_switched_over(self, event: MigrationSwitchedOver) -> None:
        """When the guest runs on the destination and no longer on the source. Specified now; it fires once live
        migration exists."""

    def migration_ended(self, event: MigrationEnded) -> None:
        """When a live migration ended, whatever its outcome, and the records say where the server is. Specified now;
        it fires once live migration exists."""

    def service_up(self, event: ServiceUp) -> None:
        """When a service takes work: told by itself when it has started, and by a conductor when a compute that it
        held to be down gives signs of life again."""

    def service_down(self, event: ServiceDown) -> None:
        """When a service takes no more work: told by itself when it stops in good order, and by each conductor when a
        compute's signs of life stay away or it is declared down."""


def _hooks() -> dict[str, type[Event]]:
    found = {}
    for name, member in vars(HookSpecs).items():
        if not name.startswith("_"):
            found[name] = typing.get_type_hints(member)["event"]
    return found


HOOKS: Mapping[str, type[Event]] = _hooks()
"""The class of the events of each hook, by the hook's name."""


class HookListener(Plugin):
    """Base of all listeners.

    Each public method that a listener adds must be a hook: it has the name of a method of :class:`HookSpecs` and takes
    one argument, ``event``. What it returns is not looked at. All of them are called in one thread, one after the
    other; they should take milliseconds, and hand over what takes longer. ``close`` is called in that thread too.
    """

    contract = CONTRACT
