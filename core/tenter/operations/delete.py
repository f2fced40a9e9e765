"""Delete: the guest, its disks and ports first, then the place, then the rows.

It never fails. Where the host is away, or cannot remove what it has, ``abandon`` takes the place of the first step:
the instance goes at once, and the host's compute removes what is left when it can. Where the whole cell does not
answer, the delete is a row of the API database until ``carry`` has brought it into the cell.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import time
import uuid as uuidlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from tenter import errors
from tenter.cells import Cell
from tenter.operations import faults, moments, ports
from tenter.operations.model import COMPUTE, CONDUCTOR, OperationKind, Outcome, Step, StepContext
from tenter.store import cell_schema, hosts, instances, leftovers, operations, presence
from tenter.store.engine import now
from tenter.store.operations import Operation

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What came of entering a delete into a cell: ``operation`` as it is there, if it is the one that does it."""

    found: bool = True
    locked: bool = False
    operation: Operation | None = None


def enter(
    connection: sa.Connection, operation: Operation, conf: cfg.ConfigOpts, locked_too: bool = True
) -> Entry:
    """Begin a delete in the cell of its instance, whatever else goes on with that; one that is going stays as it is."""
    found = instances.to_delete(connection, operation.instance_uuid)
    if found is None:
        return Entry(found=False)
    host, locked = found
    if locked and not locked_too:
        return Entry(locked=True)
    step, role = ("destroy", COMPUTE) if host else ("finish", CONDUCTOR)
    if host and hosts.is_down(connection, host, presence.COMPUTE, conf.compute.service_down_time):
        step, role = "abandon", CONDUCTOR
    # It is younger than all that goes on in the cell, so that it waits for what it cancels.
    began = dataclasses.replace(
        operation, step=step, role=role, host=host, seq=time.time_ns(), state=operations.QUEUED, owner=None,
        lease_until=None, attempt=0, step_attempt=0, data={},
    )  # fmt: skip
    if not instances.begin_delete(connection, operation.instance_uuid, operation.uuid):
        return Entry()
    operations.cancel_others(connection, cell_schema.operations, operation.instance_uuid)
    operations.append(connection, cell_schema.operations, began)
    return Entry(operation=began)


def anew(row: Mapping[str, Any], instance_uuid: str, step: str, host: str | None = None) -> Operation:
    """Return a delete in place of one that was lost, in the name of whose the server is; ``row`` is the instance's, or
    its place's."""
    return Operation(
        uuid=str(uuidlib.uuid4()), kind=Delete.kind, instance_uuid=instance_uuid, project_id=row["project_id"],
        user_id=row["user_id"], request_id=f"req-{uuidlib.uuid4()}", step=step, role=Delete.steps[step].role,
        host=host, deadline=now(),
    )  # fmt: skip


def carry(context: StepContext) -> Outcome:
    """Bring a delete that was accepted while its cell did not answer into that cell; until it answers, try again."""
    operation, uuid = context.operation, context.operation.instance_uuid
    place = instances.place_of(context.db, uuid)
    if place is None:
        return Outcome()

    def change(cell: Cell) -> tuple[Entry, bool]:
        with cell.db.write() as connection:
            entry = enter(connection, operation, context.conf)
            return entry, operations.exists(connection, cell_schema.operations, operation.uuid)

    try:
        entry, is_there = context.cells.change(place["cell_uuid"], change)
    except errors.Unavailable:
        return _later(context)
    if not entry.found and not is_there:
        # Either another delete has removed it since the place was read, or the cell's records are not the right ones.
        LOG.warning("The cell of server %s, which is to be deleted, does not have it; it is asked again", uuid)
        return _later(context)
    if not is_there:
        return Outcome()
    began = entry.operation

    def ring() -> None:
        if began is not None:
            context.bus.ring(
                began.role, began.host if began.role == COMPUTE else None, operation.uuid, place["cell_uuid"]
            )

    return Outcome(
        gone=True, apply=lambda connection: operations.delete(connection, context.table, operation.uuid), then=ring
    )


def destroy(context: StepContext) -> Outcome:
    """Remove all that the host has of the instance."""
    instance = instances.get(context.db, context.operation.instance_uuid)
    context.host.destroy(instance, everywhere=True)
    return Outcome(next="finish", host=context.operation.host, data=_no_failures(context.operation))


def abandon(context: StepContext) -> Outcome:
    """Remove the instance although its host is away, or fails; what it has left is kept in mind until it is removed."""
    uuid, trouble = context.operation.instance_uuid, context.operation.data.get("trouble")
    # On a host that lives the guest may still send: its addresses are not given to others before it is removed.
    vifs = [] if trouble else _give_back_ports(context)
    before = moments.server_of(context)
    _forget_place(context)

    def apply(connection: sa.Connection) -> None:
        leftovers.leave(connection, uuid, "deleted", vifs, trouble)
        instances.remove(connection, uuid)

    return Outcome(apply=apply, then=lambda: moments.deleted(context.hooks, before, context.operation.request_id))


def finish(context: StepContext) -> Outcome:
    """Remove the place, which makes the server unknown to everybody, and with the operation's end its rows."""
    uuid = context.operation.instance_uuid
    if not context.operation.host:
        # No host removed the ports: there is none, but one that was lost may have made some since.
        _give_back_ports(context)
    before = moments.server_of(context)
    _forget_place(context)
    return Outcome(
        apply=lambda connection: instances.remove(connection, uuid),
        then=lambda: moments.deleted(context.hooks, before, context.operation.request_id),
    )


def _give_back_ports(context: StepContext) -> list[dict[str, Any]]:
    """Give back all ports of the instance and return them. Raises what the driver raises, but only some times: then
    they are the host's to give back, or the audit's."""
    try:
        return ports.take_back(context)
    except Exception as exc:
        if _failures(context.operation) < context.conf.operations.delete_retries:
            raise
        LOG.warning("The ports of %s cannot be given back now: %s", context.operation.instance_uuid, exc)
        return []


def _forget_place(context: StepContext) -> None:
    assert context.api_db is not None
    with context.api_db.write() as connection:
        instances.forget_place(connection, context.operation.instance_uuid)


def _failures(operation: Operation) -> int:
    return int(operation.data.get("failures", 0))


def _no_failures(operation: Operation) -> dict[str, Any] | None:
    return {"failures": 0} if _failures(operation) else None


def _later(context: StepContext, first: float | None = None) -> Outcome:
    """Return the outcome of a step that could not be done: again after a pause that grows from ``first`` (seconds)."""
    failures = _failures(context.operation)
    if first is None:
        # Many may wait for one cell: they do not all come back at once.
        first = context.conf.cells.retry_interval * random.uniform(0.8, 1.0)
    pause = min(first * 2 ** min(failures, 10), operations.LONGEST_PAUSE)
    return Outcome(again=pause, data={"failures": failures + 1})


class Delete(OperationKind):
    """Remove an instance."""

    kind = "delete"
    action = "delete"
    expires = False
    without_host = "abandon"
    steps = {
        "carry": Step(CONDUCTOR, carry, "conductor_carry_delete"),
        "destroy": Step(COMPUTE, destroy, "compute_terminate"),
        "abandon": Step(CONDUCTOR, abandon, "conductor_abandon"),
        "finish": Step(CONDUCTOR, finish, "conductor_finish_delete"),
    }

    def on_error(self, context: StepContext, step: str, error: Exception) -> Outcome:
        """Try again after a while. A host that goes on failing is treated as if it were away."""
        operation, options = context.operation, context.conf.operations
        hopeless = (
            _failures(operation) >= options.delete_retries or operation.step_attempt > options.max_takeovers
        )
        if step != "destroy" or not hopeless:
            return _later(context, None if step == "carry" else 1.0)
        LOG.warning(
            "Host %s cannot remove server %s, which goes without it; its compute goes on trying: %s",
            operation.host, operation.instance_uuid, error,
        )  # fmt: skip
        data = {"failures": 0, "trouble": faults.sentence(error)}
        return Outcome(next="abandon", host=operation.host, data=data)
