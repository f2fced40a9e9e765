"""Delete: the guest, its disks and ports first, then the place, then the rows."""

from __future__ import annotations

import sqlalchemy as sa

from tenter.operations import faults
from tenter.operations.model import COMPUTE, CONDUCTOR, OperationKind, Outcome, Step, StepContext
from tenter.store import instances


def destroy(context: StepContext) -> Outcome:
    """Remove all that the host has of the instance."""
    instance = instances.get(context.db, context.operation.instance_uuid)
    context.host.destroy(instance)
    return Outcome(next="finish")


def finish(context: StepContext) -> Outcome:
    """Remove the place, which makes the server unknown to everybody, and with the operation's end its rows."""
    uuid = context.operation.instance_uuid
    assert context.api_db is not None
    with context.api_db.write() as connection:
        instances.forget_place(connection, uuid)
    return Outcome(apply=lambda connection: instances.remove(connection, uuid))


class Delete(OperationKind):
    """Remove an instance."""

    kind = "delete"
    action = "delete"
    expires = False
    steps = {
        "destroy": Step(COMPUTE, destroy, "compute_terminate"),
        "finish": Step(CONDUCTOR, finish, "conductor_finish_delete"),
    }

    def on_error(self, context: StepContext, step: str, error: Exception) -> Outcome:
        """ERROR with a fault; the instance keeps what it claimed, and may be deleted again."""
        operation = context.operation

        def apply(connection: sa.Connection) -> None:
            instances.finish_task(
                connection, operation.instance_uuid, operation.uuid, vm_state="error",
                fault=faults.fault(faults.sentence(error)),
            )  # fmt: skip

        return Outcome(state="failed", error=faults.as_error(error, operation.host), apply=apply)
