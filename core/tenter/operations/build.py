"""Build: from a request that belongs to no cell to a running guest.

``schedule`` runs on a row in the API database. It puts instance, claims and the build itself into a cell, there at step
``confirm`` and held by the same conductor; then it swaps the place from "unscheduled" to that cell. Whoever loses that
swap to a delete removes what it put there. What the user changed meanwhile goes into the cell first: from the swap on
only that is looked at. ``spawn`` runs on the host; where it fails, ``reschedule`` tries the next.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors, objects
from tenter.cells import Cell
from tenter.contracts.virt import PowerState
from tenter.operations import faults, moments, ports
from tenter.operations.model import COMPUTE, CONDUCTOR, Apply, LeftBehind, OperationKind, Outcome, Step, StepContext
from tenter.operations.placement import amounts
from tenter.operations.placing import Attempt, Placing, TryAgain, leave_group
from tenter.scheduler import Candidate
from tenter.scheduler.decision import all_failed
from tenter.store import cell_schema, claims, hosts, instances, leftovers, operations, server_groups
from tenter.store.api_schema import operations as api_operations
from tenter.store.engine import Database, now
from tenter.store.operations import SECRETS, Operation

LOG = logging.getLogger(__name__)
OVERTAKEN = "No valid host was found. Others of its server group took the host while it was being scheduled."


def schedule(context: StepContext) -> Outcome:
    """Choose a host, claim it, and put the instance into its cell."""
    operation, api_db = context.operation, context.db
    uuid = operation.instance_uuid
    place = instances.place_of(api_db, uuid)
    if place is None or place["state"] != instances.UNSCHEDULED:
        return Outcome(gone=True, apply=_forget(operation))
    row = place["record"]
    if operation.attempt > 1 or now() - operation.created_at > context.conf.operations.lease:
        earlier = _made_earlier(context)
        if earlier is not None:
            return earlier
    moments.before_scheduling(context.hooks, row, operation.request_id)
    try:
        placing = Placing(context, row)
        for attempt in placing.attempts():
            outcome = _claim(context, row, placing, attempt)
            if outcome is not None:
                return outcome
    except TryAgain:
        return Outcome(again=context.conf.cells.retry_interval)
    raise AssertionError("the attempts end with an error")


def _claim(context: StepContext, row: Mapping[str, Any], placing: Placing, attempt: Attempt) -> Outcome | None:
    """Put the instance into the cell of a host, and return what follows; None if the host is to be had no longer."""
    operation, cell = context.operation, attempt.candidate.cell
    in_cell = _held_in_cell(operation, attempt.candidate)
    placed = {**row, **attempt.position, "task_state": "scheduling", "operation_uuid": operation.uuid}
    try:
        with context.cells.using(cell) as db, db.write() as connection:
            instances.insert_placed(connection, placed, in_cell, attempt.wanted)
    except claims.ClaimLost as exc:
        placing.lost(attempt, exc)
        return None
    except errors.Unavailable as exc:
        LOG.warning("Cell %s is passed over: %s", cell.name, exc)
        return None
    except db_exception.DBDuplicateEntry:
        return _is_there(context, cell)
    return _take_place(context, in_cell, attempt, row, placing.kept(attempt))


def _made_earlier(context: StepContext) -> Outcome | None:
    """Return what follows if a cell has the instance already, None if none has. One that is away does not count: should
    it have it, it withdraws when it is back and finds that the place went elsewhere. It is waited for if it said so."""
    asked = context.cells.ask(lambda cell: instances.exists(cell.db, context.operation.instance_uuid))
    for cell_uuid, exists in asked.found.items():
        if exists:
            return _is_there(context, context.cells.get(cell_uuid))
    seen_in = context.operation.data.get("seen_in", "")
    return _ask_again(context, seen_in) if seen_in in asked.away else None


def _ask_again(context: StepContext, cell_uuid: str) -> Outcome:
    return Outcome(again=context.conf.cells.retry_interval, data={"seen_in": cell_uuid})


def _is_there(context: StepContext, cell: Cell) -> Outcome:
    """End a build whose instance a cell has already, or try again if that goes away now.

    If an earlier run of this step came that far, the build in the cell goes on by itself. If nothing is being done to
    the instance there, the API database is an old copy, which has forgotten where it is.
    """
    operation = context.operation
    try:
        with context.cells.using(cell) as db, db.read() as connection:
            busy = operations.is_open(connection, cell_schema.operations, operation.instance_uuid)
    except errors.Unavailable:
        return _ask_again(context, cell.uuid)

    def apply(connection: sa.Connection) -> None:
        if not busy:
            instances.swap_place(connection, operation.instance_uuid, cell.uuid)
        _forget(operation)(connection)

    return Outcome(gone=True, apply=apply)


def _held_in_cell(operation: Operation, candidate: Candidate) -> Operation:
    return dataclasses.replace(
        operation, step="confirm", attempt=1, step_attempt=1, data={"hosts": {}}, host=candidate.view.host
    )


def _forget(operation: Operation) -> Apply:
    def apply(connection: sa.Connection) -> None:
        operations.delete(connection, api_operations, operation.uuid)

    return apply


def _take_place(
    context: StepContext, in_cell: Operation, attempt: Attempt, row: Mapping[str, Any], keep: Apply
) -> Outcome:
    newer: list[dict[str, Any] | None] = []
    candidate, table = attempt.candidate, cell_schema.operations
    cell, host = candidate.cell, candidate.view.host

    def apply(connection: sa.Connection) -> None:
        newer.append(_swap(connection, row, cell.uuid, host))
        keep(connection)
        # Even if the place is not taken yet: the build is in the cell now, whose step ``confirm`` goes on to take it.
        _forget(in_cell)(connection)

    def then() -> None:
        try:
            placed = _catch_up(context.db, cell.db, in_cell, row, cell.uuid, newer[-1])
            if placed is not None:
                moments.claimed(
                    context.hooks, placed, in_cell.request_id, attempt.position, attempt.amounts
                )  # fmt: skip
            with cell.db.write() as connection:
                if placed is None:
                    operations.fenced(connection, table, in_cell)
                    _withdraw(connection, in_cell)
                else:
                    operations.fenced(connection, table, in_cell, **_to_spawn(host))
                    instances.set_values(connection, in_cell.instance_uuid, task_state="spawning")
        except operations.Cancelled:
            # A delete came since the place was taken, and waits for this build to end.
            operations.finish_cancelled(cell.db, table, in_cell)
            context.bus.ring(COMPUTE, host)
        except errors.StaleAttempt:
            # The lease ran out meanwhile; whoever took the build over has confirmed or withdrawn it.
            return
        else:
            if placed is not None:
                context.bus.ring(COMPUTE, host, in_cell.uuid, cell.uuid)

    return Outcome(gone=True, apply=apply, then=then)


def _swap(connection: sa.Connection, row: Mapping[str, Any], cell_uuid: str, host: str) -> dict[str, Any] | None:
    """Take the place for a cell that has the instance as in ``row``, on a host, unless the user has changed it since.

    Returns what is newer in the record (if it is nothing, the place is taken), None if the place is lost: to a delete,
    or because others of its group have the host by now. That is so only if two conductors have scheduled it.
    """
    record = instances.unscheduled_record(connection, row["uuid"])
    if record is None:
        return None
    newer = {name: record[name] for name in instances.CHANGEABLE if record[name] != row[name]}
    if newer:
        return newer
    if server_groups.hinted(row["hints"]) and not server_groups.claim(connection, row["uuid"], host):
        leave_group(connection, row["uuid"])
        instances.lose_place(
            connection, row["uuid"], vm_state="error", task_state=None, fault=faults.fault(OVERTAKEN)
        )  # fmt: skip
        return None
    return newer if instances.swap_place(connection, row["uuid"], cell_uuid) else None


def _catch_up(
    api_db: Database, cell_db: Database, operation: Operation, row: Mapping[str, Any], cell_uuid: str,
    newer: Mapping[str, Any] | None,
) -> Mapping[str, Any] | None:  # fmt: skip
    """Go on from what ``_swap`` returned until the place is taken; return the row that the cell has then, None if the
    place is lost. Raises StaleAttempt: only who holds the build writes, so that what one has read of the row stays."""
    while newer:
        with cell_db.write() as connection:
            operations.fenced(connection, cell_schema.operations, operation)
            instances.set_values(connection, operation.instance_uuid, **newer)
        row = {**row, **newer}
        with api_db.write() as connection:
            newer = _swap(connection, row, cell_uuid, str(operation.host))
    return None if newer is None else row


def _to_spawn(host: str) -> dict[str, Any]:
    return {
        "step": "spawn", "role": COMPUTE, "host": host, "state": operations.QUEUED,
        "owner": None, "lease_until": None, "step_attempt": 0,
    }  # fmt: skip


def _withdraw(connection: sa.Connection, operation: Operation) -> None:
    instances.remove(connection, operation.instance_uuid)
    operations.delete(connection, cell_schema.operations, operation.uuid)


def confirm(context: StepContext) -> Outcome:
    """Finish what a conductor that died left between the cell and the place."""
    operation = context.operation
    assert context.api_db is not None and context.cell_uuid is not None
    uuid, cell_uuid = operation.instance_uuid, context.cell_uuid
    row = instances.get(context.db, uuid).to_mapping()
    with context.api_db.write() as connection:
        newer = _swap(connection, row, cell_uuid, str(operation.host))
    placed = _catch_up(context.api_db, context.db, operation, row, cell_uuid, newer)
    if placed is None:
        if not _in_cell(context):
            return Outcome(gone=True, apply=lambda connection: _withdraw(connection, operation))
        placed = row  # it was taken by who died then, or is slow
    return Outcome(
        next="spawn", host=operation.host,
        apply=lambda connection: instances.set_values(connection, uuid, task_state="spawning"),
        then=lambda: moments.claimed(context.hooks, placed, operation.request_id, placed, amounts(row["flavor"])),
    )  # fmt: skip


def _in_cell(context: StepContext) -> bool:
    assert context.api_db is not None
    place = instances.place_of(context.api_db, context.operation.instance_uuid)
    return place is not None and place["cell_uuid"] == context.cell_uuid


def spawn(context: StepContext) -> Outcome:
    """Make the guest on this host."""
    operation = context.operation
    instance = instances.get(context.db, operation.instance_uuid)
    if instance.operation_uuid != operation.uuid:
        raise operations.Cancelled("The instance is no longer this build's.")
    spec = objects.RequestSpec.obj_from_primitive(instance.spec["request"])
    secrets = operation.args.get(SECRETS, {})
    earlier = tuple(operation.data.get("hosts", {}))
    handle, vifs = context.host.spawn(
        instance, spec, secrets, context.cancelled, replaces=earlier, request_id=operation.request_id
    )

    def apply(connection: sa.Connection) -> None:
        instances.finish_task(
            connection, instance.uuid, operation.uuid, vm_state="active", power_state=int(PowerState.RUNNING),
            handle=dict(handle), network_info=vifs, launched_at=now(), fault=None,
        )  # fmt: skip
        hosts.build_succeeded(connection, instance.node_uuid)

    running = int(PowerState.RUNNING)
    return Outcome(
        apply=apply, then=lambda: moments.spawned(context.hooks, instance, operation.request_id, running)
    )


def lost(context: StepContext) -> Outcome:
    """Take the build off a host that is away; what it may have made stays claimed there until it is back."""
    operation = context.operation
    host = str(operation.host)
    reason = "The host gave no sign of life any more."
    failed = {**operation.data.get("hosts", {}), host: reason}
    before = moments.server_of(context)
    return Outcome(
        next="reschedule", data={"hosts": failed}, apply=_leave(context),
        then=lambda: moments.build_failed(context.hooks, before, operation, reason, False),
    )  # fmt: skip


def _leave(context: StepContext) -> Apply:
    # By now another attempt may have ports on another host.
    uuid, vifs = context.operation.instance_uuid, ports.give_back(context, context.operation.host)
    return lambda connection: leftovers.leave(connection, uuid, "built elsewhere", vifs)


def _give_back_late_ports(context: StepContext) -> None:
    """Give back what hosts have allocated after they were cleaned; where something is left they do that themselves."""
    operation = context.operation
    tried: Mapping[str, str] = operation.data.get("hosts", {})
    for host in tried.keys() - leftovers.hosts_of(context.db, operation.instance_uuid):
        ports.give_back(context, host)


def reschedule(context: StepContext) -> Outcome:
    """Move the claims to the next host of this cell, never one that failed before for this build."""
    operation = context.operation
    failed: Mapping[str, str] = operation.data["hosts"]
    row = instances.get(context.db, operation.instance_uuid).to_mapping()
    if len(failed) < context.conf.operations.max_attempts:
        moments.before_scheduling(context.hooks, row, operation.request_id, failed)
        try:
            placing = Placing(context, row, frozenset(failed))
            for attempt in placing.attempts():
                if _move_claims(context, placing, attempt):
                    placing.keep(attempt)
                    moments.claimed(context.hooks, row, operation.request_id, attempt.position, attempt.amounts)
                    return Outcome(next="spawn", host=attempt.candidate.view.host)
        except TryAgain:
            return Outcome(again=context.conf.cells.retry_interval)
        except errors.NoValidHost as exc:
            LOG.info("Instance %s finds no other host: %s", operation.instance_uuid, exc)
    raise all_failed(failed, operation.instance_uuid)


def _move_claims(context: StepContext, placing: Placing, attempt: Attempt) -> bool:
    """Claim another host instead of the one that the instance is on; return False if that was lost."""
    uuid = context.operation.instance_uuid
    try:
        with context.db.write() as connection:
            operations.fenced(connection, context.table, context.operation)
            claims.give_back(connection, uuid)
            claims.take(connection, uuid, attempt.wanted)
            instances.set_values(connection, uuid, task_state="spawning", **attempt.position)
    except claims.ClaimLost as exc:
        placing.lost(attempt, exc)
        return False
    return True


class Build(OperationKind):
    """Make an instance."""

    kind = "build"
    action = "create"
    without_host = "lost"
    steps = {
        "schedule": Step(CONDUCTOR, schedule, "conductor_schedule"),
        "confirm": Step(CONDUCTOR, confirm, "conductor_confirm"),
        "spawn": Step(COMPUTE, spawn, "compute_build_and_run"),
        "lost": Step(CONDUCTOR, lost, "conductor_host_lost"),
        "reschedule": Step(CONDUCTOR, reschedule, "conductor_reschedule"),
    }

    def on_error(self, context: StepContext, step: str, error: Exception) -> Outcome:
        """Try another host where that may help; else ERROR, with a fault that says why."""
        if step == "schedule":
            return self._unplaced(context, error)
        if step == "confirm" and (unconfirmed := self._unconfirmed(context, error)) is not None:
            return unconfirmed
        operation, host = context.operation, context.operation.host
        left, cause = (True, error.cause) if isinstance(error, LeftBehind) else (False, error)
        leave: Apply | None = None
        if step == "lost" or (step == "spawn" and (left or context.host_side is None)):
            leave = _leave(context)
        if step == "reschedule":
            _give_back_late_ports(context)
        if step == "spawn" and host and context.host_side is not None and not isinstance(cause, faults.WILL_NOT_MEND):
            return self._failed_on(context, host, error, leave)

        before, reason = moments.server_of(context), faults.sentence(error)

        def apply(connection: sa.Connection) -> None:
            if leave is not None:
                leave(connection)
            claims.give_back(connection, operation.instance_uuid)
            instances.finish_task(
                connection, operation.instance_uuid, operation.uuid, vm_state="error",
                fault=faults.fault_of(error), host=None, node=None, node_uuid=None, network_info=[],
            )  # fmt: skip

        def then() -> None:
            if context.api_db is not None:
                with context.api_db.write() as connection:
                    leave_group(connection, operation.instance_uuid)
            moments.build_failed(context.hooks, before, operation, reason, True)

        return Outcome(state="failed", error=faults.as_error(error, host or "conductor"), apply=apply, then=then)

    def abandon(self, context: StepContext, step: str) -> None:
        """Remove the guest and the ports that a process which died while spawning may have left on this host."""
        if step == "spawn":
            context.host.destroy(instances.get(context.db, context.operation.instance_uuid))

    def _failed_on(self, context: StepContext, host: str, error: Exception, leave: Apply | None) -> Outcome:
        operation = context.operation
        reason = faults.sentence(error)
        failed = {**operation.data.get("hosts", {}), host: reason}
        before = moments.server_of(context)

        def apply(connection: sa.Connection) -> None:
            hosts.build_failed(connection, operation.instance_uuid)
            if leave is not None:
                leave(connection)

        return Outcome(
            next="reschedule", data={"hosts": failed}, apply=apply,
            then=lambda: moments.build_failed(context.hooks, before, operation, reason, False),
        )  # fmt: skip

    def _unplaced(self, context: StepContext, error: Exception) -> Outcome:
        operation, reason = context.operation, faults.sentence(error)
        before = moments.server_of(context)

        def apply(connection: sa.Connection) -> None:
            leave_group(connection, operation.instance_uuid)
            instances.lose_place(
                connection, operation.instance_uuid, vm_state="error", task_state=None, fault=faults.fault_of(error)
            )

        return Outcome(
            state="failed",
            error=faults.as_error(error, "scheduler"),
            apply=apply,
            then=lambda: moments.build_failed(context.hooks, before, operation, reason, True),
        )

    def _unconfirmed(self, context: StepContext, error: Exception) -> Outcome | None:
        """Give the place up and the cell's rows with it; None if the place is this cell's."""
        operation = context.operation
        lost = self._unplaced(context, error)
        assert context.api_db is not None
        with context.api_db.write() as connection:
            lost.apply(connection)
        # Not before: the conductor that scheduled may be slow and take the place until then, but not afterwards.
        if _in_cell(context):
            return None
        return Outcome(gone=True, apply=lambda connection: _withdraw(connection, operation), then=lost.then)
