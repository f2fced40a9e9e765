"""Rebuild: the same server, addresses and host, made anew from an image."""

from __future__ import annotations

from tenter import objects
from tenter.operations import power
from tenter.operations.model import COMPUTE, OperationKind, Outcome, Step, StepContext
from tenter.store import instances
from tenter.store.engine import now
from tenter.store.operations import SECRETS


def rebuild(context: StepContext) -> Outcome:
    """Remove the guest but not its ports, and make it again as its row now says."""
    operation = context.operation
    instance = instances.get(context.db, operation.instance_uuid)
    spec = objects.RequestSpec.obj_from_primitive(instance.spec["request"])
    context.host.destroy(instance, keep_network=True)
    secrets = operation.args.get(SECRETS, {})
    handle, vifs = context.host.spawn(
        instance, spec, secrets, context.cancelled, keep_network=True, request_id=operation.request_id
    )
    if operation.args.get("stopped"):
        context.host.power_off(instance)
    return power.finished(context, instance, handle=dict(handle), network_info=vifs, launched_at=now())


class Rebuild(OperationKind):
    """Make an instance anew."""

    kind = "rebuild"
    action = "rebuild"
    steps = {"rebuild": Step(COMPUTE, rebuild, "compute_rebuild")}

    def on_error(self, context: StepContext, step: str, error: Exception) -> Outcome:
        """ERROR: the old disk is gone. Another rebuild, or a delete, goes on from there."""
        return power.failed(context, error, vm_state="error")


