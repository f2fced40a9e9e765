"""Delete: the guest, its disks and ports first, then the place, then the rows.

Where the host is away, ``abandon`` takes the place of the first: the instance goes at once, and the host's compute
removes what is left when it is back.
"""

from __future__ import annotations

import sqlalchemy as sa

from tenter.operations import faults, ports
from tenter.operations.model import COMPUTE, CONDUCTOR, OperationKind, Outcome, Step, StepContext
from tenter.store import instances, leftovers


def destroy(context: StepContext) -> Outcome:
    """Remove all that the host has of the instance."""
    instance = instances.get(context.db, context.operation.instance_uuid)
    context.host.destroy(instance)
    return Outcome(next="finish", host=context.operation.host)


def abandon(context: StepContext) -> Outcome:
    """Remove the instance although its host is away; what it left there is kept in mind until the host is back."""
    uuid = context.operation.instance_uuid
    vifs = ports.give_back(context)
    _forget_place(context)

    def apply(connection: sa.Connection) -> None:
        leftovers.leave(connection, uuid, "deleted", vifs)
        instances.remove(connection, uuid)

    return Outcome(apply=apply)


def finish(context: StepContext) -> Outcome:
    """Remove the place, which makes the server unknown to everybody, and with the operation's end its rows."""
    uuid = context.operation.instance_uuid
    if not context.operation.host:
        # No host removed the ports: there is none, but one that was lost may have made some since.
        ports.give_back(context)
    _forget_place(context)
    return Outcome(apply=lambda connection: instances.remove(connection, uuid))


def _forget_place(context: StepContext) -> None:
    assert context.api_db is not None
    with context.api_db.write() as connection:
        instances.forget_place(connection, context.operation.instance_uuid)


class Delete(OperationKind):
    """Remove an instance."""

    kind = "delete"
    action = "delete"
    expires = False
    without_host = "abandon"
    steps = {
        "destroy": Step(COMPUTE, destroy, "compute_terminate"),
        "abandon": Step(CONDUCTOR, abandon, "conductor_abandon"),
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
