"""Start, stop and reboot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import sqlalchemy as sa

from tenter import errors, objects
from tenter.contracts.virt import PowerState
from tenter.operations import faults, moments
from tenter.operations.model import COMPUTE, OperationKind, Outcome, Step, StepContext
from tenter.store import instances
from tenter.store.engine import now

VM_STATES = {PowerState.RUNNING: "active", PowerState.SHUTDOWN: "stopped", PowerState.CRASHED: "stopped"}


def finished(context: StepContext, instance: objects.Instance, **values: Any) -> Outcome:
    """Return the outcome of a task that ended well: the states as the hypervisor says."""
    power = context.host.power_state(instance)
    vm_state, hooks, request_id = VM_STATES.get(power, "error"), context.hooks, context.operation.request_id

    def apply(connection: sa.Connection) -> None:
        instances.finish_task(
            connection, instance.uuid, context.operation.uuid, power_state=int(power),
            vm_state=vm_state, fault=None, **values,
        )  # fmt: skip

    return Outcome(
        apply=apply, then=lambda: moments.state_changed(hooks, instance, request_id, vm_state, int(power))
    )


def failed(context: StepContext, error: Exception, vm_state: str | None = None) -> Outcome:
    """Return the outcome of a task that failed: a fault, and the states as the hypervisor says (or ``vm_state``)."""
    operation = context.operation
    values: dict[str, Any] = {"fault": faults.fault(faults.sentence(error))}
    before, hooks = moments.server_of(context), context.hooks
    if vm_state is None and context.host_side is None:
        vm_state = "error"
    elif vm_state is None:
        try:
            power = context.host.power_state(instances.get(context.db, operation.instance_uuid))
            values.update(vm_state=VM_STATES.get(power, "error"), power_state=int(power))
        except errors.TenterError:
            vm_state = "error"
    if vm_state is not None:
        values["vm_state"] = vm_state

    def apply(connection: sa.Connection) -> None:
        instances.finish_task(connection, operation.instance_uuid, operation.uuid, **values)

    def then() -> None:
        moments.state_changed(hooks, before, operation.request_id, values["vm_state"], values.get("power_state"))

    return Outcome(state="failed", error=faults.as_error(error, operation.host), apply=apply, then=then)


class PowerKind(OperationKind):
    """What start, stop and reboot share."""

    def on_error(self, context: StepContext, step: str, error: Exception) -> Outcome:
        """Record the fault; the server shows the state its guest is really in."""
        return failed(context, error)


def start(context: StepContext) -> Outcome:
    """Boot the guest."""
    instance = instances.get(context.db, context.operation.instance_uuid)
    context.host.power_on(instance)
    return finished(context, instance, launched_at=now())


def stop(context: StepContext) -> Outcome:
    """Ask the guest to stop, and force it after a while."""
    instance = instances.get(context.db, context.operation.instance_uuid)
    context.host.power_off(instance)
    return finished(context, instance)


def reboot(context: StepContext) -> Outcome:
    """Restart the guest, softly or hard."""
    instance = instances.get(context.db, context.operation.instance_uuid)
    context.host.reboot(instance, bool(context.operation.args.get("hard")))
    return finished(context, instance)


class Start(PowerKind):
    """Boot a stopped instance."""

    kind = "start"
    action = "start"
    steps: ClassVar[Mapping[str, Step]] = {"start": Step(COMPUTE, start, "compute_start")}


class Stop(PowerKind):
    """Shut an instance down."""

    kind = "stop"
    action = "stop"
    steps: ClassVar[Mapping[str, Step]] = {"stop": Step(COMPUTE, stop, "compute_stop")}


class Reboot(PowerKind):
    """Restart an instance."""

    kind = "reboot"
    action = "reboot"
    steps: ClassVar[Mapping[str, Step]] = {"reboot": Step(COMPUTE, reboot, "compute_reboot")}
