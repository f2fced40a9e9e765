"""What an operation is made of: steps, each idempotent, and the outcome of each.

A step does its work on the outside world first and then returns an outcome. The runner writes the outcome, with the
rows it changes, in one transaction that is fenced by the attempt number.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa

from tenter import errors, objects
from tenter.bus import Bus
from tenter.cells import Cells
from tenter.contracts.network import NetworkDriver
from tenter.contracts.virt import PowerState
from tenter.plugins.emitter import SILENT, Emitter
from tenter.scheduler import Scheduler
from tenter.store.engine import Database
from tenter.store.operations import Operation

CONDUCTOR, COMPUTE = "conductor", "compute"
Apply = Callable[[sa.Connection], None]


def _nothing(connection: sa.Connection) -> None:
    return None


@dataclass(frozen=True)
class Outcome:
    """What follows a step: another step (``next``), or the end (``state`` done, failed or cancelled).

    ``apply`` writes rows in the same transaction; ``then`` runs after it was committed and may be lost in a crash.
    """

    next: str | None = None
    host: str | None = None
    state: str = "done"
    error: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    apply: Apply = _nothing
    then: Callable[[], None] | None = None
    gone: bool = False
    """The row itself was removed by ``apply`` (the operation goes on in a cell)."""

    again: float | None = None
    """Run the same step again after that many seconds, as if it had not been run."""


class LeftBehind(errors.TenterError):
    """A spawn failed as ``cause`` says, and so did the removal of what it had made: the host must be asked again."""

    def __init__(self, cause: Exception) -> None:
        known = isinstance(cause, errors.TenterError)
        super().__init__(str(cause) if known else f"Unexpected {type(cause).__name__}; the log has the details.")
        self.cause = cause
        if isinstance(cause, errors.TenterError):
            self.code = cause.code


class HostSide(Protocol):
    """What steps of role ``compute`` need of the host they run on; the compute service provides it."""

    host: str

    def spawn(
        self,
        instance: objects.Instance,
        spec: objects.RequestSpec,
        secrets: Mapping[str, str],
        cancelled: Callable[[], bool],
        keep_network: bool = False,
        replaces: tuple[str, ...] | None = None,
        request_id: str | None = None,
    ) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
        """Make the guest; return the driver's handle and its VIFs as JSON. ``replaces``: see AllocateRequest.
        ``request_id`` is that of the operation, for listeners.

        Nothing is left if it raises, but the ports if ``keep_network``; if that could not be done it raises LeftBehind.
        """

    def destroy(self, instance: objects.Instance, keep_network: bool = False, everywhere: bool = False) -> None:
        """Remove the guest, its disks and its ports; nothing there is no error. Ports that another host has of the
        instance stay, unless ``everywhere``."""

    def power_on(self, instance: objects.Instance) -> None:
        """On return the guest runs."""

    def power_off(self, instance: objects.Instance) -> None:
        """On return the guest does not run."""

    def reboot(self, instance: objects.Instance, hard: bool) -> None:
        """On return the guest was restarted."""

    def power_state(self, instance: objects.Instance) -> PowerState:
        """Return what the hypervisor says; NOSTATE if it knows no such guest."""


class Guard(Protocol):
    """What a host does around steps, so that nothing of an instance that has moved on stays behind."""

    def begin(self, instance_uuid: str) -> bool:
        """Called before each step: removes what an earlier life of the instance left on this host, and returns whether
        there was anything. May raise."""

    def disown(self, instance_uuid: str) -> None:
        """Called when what a step did here no longer counts: removes the guest if it is no longer this host's. Until
        it returns no other step of the instance begins here."""


@dataclass
class StepContext:
    """What a step is given. ``db`` and ``table`` are where the operation's own row is."""

    operation: Operation
    db: Database
    table: sa.Table
    cells: Cells
    bus: Bus
    api_db: Database | None
    conf: Any
    cancelled: Callable[[], bool]
    cell_uuid: str | None = None
    scheduler: Scheduler | None = None
    host_side: HostSide | None = None
    network: NetworkDriver | None = None
    """Of a conductor, where it has one: for giving back ports without the host they were on."""

    hooks: Emitter = SILENT

    @property
    def host(self) -> HostSide:
        assert self.host_side is not None, "a step of role compute ran elsewhere"
        return self.host_side


@dataclass(frozen=True)
class Step:
    """One idempotent part of an operation. ``event`` is its name in os-instance-actions."""

    role: str
    run: Callable[[StepContext], Outcome]
    event: str


class OperationKind(abc.ABC):
    """All that is known of one kind of operation."""

    kind: ClassVar[str]
    action: ClassVar[str]
    """Its name in os-instance-actions."""

    expires: ClassVar[bool] = True
    """Whether it fails when its deadline has passed before its step could begin."""

    steps: ClassVar[Mapping[str, Step]] = {}

    without_host: ClassVar[str | None] = None
    """The conductor's step that takes over from a step of role compute whose host is away; None: it must come back
    before the deadline."""

    def abandon(self, context: StepContext, step: str) -> None:  # noqa: B027
        """Remove what runs of the step left whose process died; called before ``on_error`` when it is given up unrun
        (its deadline has passed, or it was begun too often). May raise; the operation ends all the same."""

    @abc.abstractmethod
    def on_error(self, context: StepContext, step: str, error: Exception) -> Outcome:
        """Return what follows a step that raised: another step, or the end with what is written to the instance.

        It is called once for each step that raised; what the step left behind it has cleaned up itself."""


@dataclass
class Kinds:
    """The kinds of operations by name."""

    by_name: dict[str, OperationKind] = field(default_factory=dict)

    def add(self, kind: OperationKind) -> None:
        self.by_name[kind.kind] = kind

    def __getitem__(self, name: str) -> OperationKind:
        return self.by_name[name]
