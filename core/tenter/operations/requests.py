"""What the API may ask for. Each call checks the state, writes an operation and rings the bell; it never waits."""

from __future__ import annotations

import secrets
import uuid as uuidlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from tenter import errors, objects
from tenter.bus import Bus
from tenter.cells import Cell, Cells
from tenter.conf.operations import deadline_of
from tenter.contracts.image import Image
from tenter.contracts.network import RequestedNetwork
from tenter.operations import delete, moments
from tenter.operations.model import COMPUTE, CONDUCTOR
from tenter.operations.placement import refuse_image
from tenter.operations.records import image_meta, instance_rows, rebuilt_spec
from tenter.plugins.emitter import SILENT, Emitter
from tenter.store import instances, operations, quota, server_groups
from tenter.store.api_schema import operations as api_operations
from tenter.store.api_schema import places
from tenter.store.cell_schema import instances as instances_table
from tenter.store.cell_schema import operations as cell_operations
from tenter.store.engine import Database, now
from tenter.store.operations import BATCH, SECRETS, Operation


class _Unset:
    """Says that a value was not given; None means "remove it"."""


UNSET = _Unset()


@dataclass(frozen=True)
class Caller:
    """Who asks, and with which request."""

    user_id: str
    project_id: str
    request_id: str
    is_admin: bool = False


@dataclass(frozen=True)
class CreateServers:
    """A checked request for one or more servers. ``networks`` is what ``NetworkDriver.check`` returned."""

    name: str
    flavor: objects.Flavor
    image: Image
    networks: tuple[RequestedNetwork, ...] = ()
    description: str | None = None
    hostname: str | None = None
    key_name: str | None = None
    public_key: str | None = None
    user_data: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    config_drive: bool = True
    zone: str | None = None
    forced_host: str | None = None
    forced_node: str | None = None
    min_count: int = 1
    max_count: int = 1
    hints: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ("default",)
    disk_config: str = "MANUAL"
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    admin_password: str | None = None
    root_device_name: str | None = None


@dataclass(frozen=True)
class RebuildServer:
    """A checked request to make a server anew; what is UNSET (or None, where None means nothing else) stays."""

    image: Image
    name: str | None = None
    metadata: Mapping[str, str] | None = None
    description: str | _Unset | None = UNSET
    admin_password: str | None = None
    disk_config: str | None = None
    user_data: str | _Unset | None = UNSET
    key: tuple[str, str] | _Unset | None = UNSET
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    hostname: str | None = None
    preserve_ephemeral: bool = False


@dataclass(frozen=True)
class Created:
    """The servers that a create will make."""

    uuids: tuple[str, ...]
    reservation_id: str


class Requests:
    """The write side of the API. Every method raises NotFound for a server that the caller may not know of."""

    def __init__(
        self, conf: cfg.ConfigOpts, api_db: Database, cells: Cells, bus: Bus, hooks: Emitter = SILENT
    ) -> None:
        self._conf, self._api_db, self._cells, self._bus, self._hooks = conf, api_db, cells, bus, hooks

    def create(self, caller: Caller, request: CreateServers) -> Created:
        """Record the servers and their builds; they appear in BUILD at once.

        There are ``max_count`` of them, or as many as the quotas allow. Raises QuotaExceeded if they do not allow
        ``min_count``, or their server group not so many; Invalid if the project has no such group.
        """
        while True:
            try:
                return self._create(caller, request)
            except errors.QuotaExceeded as exc:
                if not exc.details:  # it is the group that is full, for which fewer servers are not made
                    raise
                # The figures may be old already: claiming again decides.
                allowed = _allowed(exc, request.flavor)
                if allowed < request.min_count:
                    raise _too_many(exc, request) from exc
                request = replace(request, max_count=min(allowed, request.max_count))

    def _create(self, caller: Caller, request: CreateServers) -> Created:
        reservation_id = "r-" + secrets.token_hex(4)
        rows = instance_rows(caller.project_id, caller.user_id, request, reservation_id)
        args: dict[str, Any] = {BATCH: len(rows)} if len(rows) > 1 else {}
        if request.admin_password:
            args[SECRETS] = {"admin_password": request.admin_password}
        group = server_groups.hinted(request.hints)
        builds = [self._operation(caller, "build", row["uuid"], "schedule", CONDUCTOR, None, args) for row in rows]
        with self._api_db.write() as connection:
            limits = quota.limits_of(connection, self._conf, caller.project_id)
            # Before the quotas, as everywhere.
            of = None if group is None else server_groups.lock_group(connection, group, caller.project_id)
            instances.take_places(connection, rows, limits)
            if of is not None:
                uuids = [row["uuid"] for row in rows]
                server_groups.add_members(connection, of, uuids, limits[quota.SERVER_GROUP_MEMBERS])
            operations.insert(connection, api_operations, *builds)
        moments.create_requested(self._hooks, rows, caller.request_id)
        for build in builds:
            self._bus.ring(CONDUCTOR, None, build.uuid)
        return Created(tuple(row["uuid"] for row in rows), reservation_id)

    def delete(self, caller: Caller, uuid: str) -> None:
        """Delete a server, whatever goes on with it. A delete of one that is going already is no error.

        If its cell does not answer in time, the delete is kept in the API database until the cell has it. Raises
        Conflict if the server is locked and the caller no administrator.
        """
        place = self._place(caller, uuid)
        if place["delete_wanted"] is not None:
            return
        if place["state"] != instances.PLACED:
            self._refuse_locked(caller, uuid, place["record"])
            if self._delete_unplaced(uuid):
                moments.delete_requested(self._hooks, place, place["record"], caller.request_id)
                moments.deleted(self._hooks, place["record"], caller.request_id)
                return
            place = self._place(caller, uuid)
        operation = self._operation(caller, "delete", uuid, "carry", CONDUCTOR, None)
        seen: list[Mapping[str, Any] | None] = []

        def change(cell: Cell) -> delete.Entry:
            with cell.db.write() as connection:
                if self._hooks.active:
                    seen.append(instances.row_of(connection, uuid))
                return delete.enter(connection, operation, self._conf, caller.is_admin)

        try:
            entry = self._cells.change(place["cell_uuid"], change)
        except errors.Unavailable:
            self._refuse_locked(caller, uuid, place["brief"])
            self._want_delete(operation, place)
            return
        if not entry.found:
            raise _not_found(uuid)
        if entry.locked:
            raise _locked(uuid)
        if entry.operation is not None:
            moments.delete_requested(self._hooks, place, seen[-1] if seen else None, caller.request_id)
            role, host = entry.operation.role, entry.operation.host
            self._bus.ring(role, host if role == COMPUTE else None, operation.uuid, place["cell_uuid"])

    def _want_delete(self, operation: Operation, place: Mapping[str, Any]) -> None:
        with self._api_db.write() as connection:
            if not instances.want_delete(connection, operation.instance_uuid):
                return
            operations.insert(connection, api_operations, operation)
        moments.delete_requested(self._hooks, place, None, operation.request_id)
        self._bus.ring(CONDUCTOR, None, operation.uuid)

    def _refuse_locked(self, caller: Caller, uuid: str, known: Mapping[str, Any] | None) -> None:
        if known and known.get("locked") and not caller.is_admin:
            raise _locked(uuid)

    def _delete_unplaced(self, uuid: str) -> bool:
        with self._api_db.write() as connection:
            if not instances.forget_place(connection, uuid, unplaced=True):
                return False
            # A build that a conductor holds now loses the place and removes itself.
            operations.cancel_unowned(connection, api_operations, uuid)
        return True

    def start(self, caller: Caller, uuid: str) -> None:
        """Boot a stopped server. Raises Conflict in any other state."""
        self._power(caller, uuid, "start", "powering-on", ("stopped",))

    def stop(self, caller: Caller, uuid: str) -> None:
        """Shut a server down. Raises Conflict unless it is active (or in error with a guest)."""
        self._power(caller, uuid, "stop", "powering-off", ("active", "error"))

    def reboot(self, caller: Caller, uuid: str, hard: bool) -> None:
        """Restart a server. Raises Conflict: a soft reboot needs an active server."""
        allowed = ("active", "stopped", "error") if hard else ("active",)
        task = "rebooting_hard" if hard else "rebooting"
        self._power(caller, uuid, "reboot", task, allowed, {"hard": hard})

    def rebuild(self, caller: Caller, uuid: str, request: RebuildServer) -> None:
        """Make a server anew from an image. Raises Conflict unless it is active, stopped or in error."""
        cell = self._placed(caller, uuid, "rebuild")
        with self._cells.using(cell) as db, db.write() as connection:
            # Locked: nothing of what the rebuild goes by may change until the server is its own.
            query = sa.select(instances_table).where(instances_table.c.uuid == uuid).with_for_update()
            row = connection.execute(query).mappings().first()
            if row is None:
                raise _not_found(uuid)
            if row["image_ref"] != request.image.id and row["node_uuid"] is not None:
                refuse_image(connection, dict(row), request.image.properties)
            args, values = _rebuilt(row, request)
            allowed = ("active", "stopped", "error")
            operation = self._begin(connection, caller, uuid, "rebuild", "rebuilding", allowed, args)
            instances.set_values(connection, uuid, **values)
        self._bus.ring(COMPUTE, operation.host, operation.uuid, cell.uuid)
        with self._api_db.write() as connection:
            instances.set_brief(connection, uuid, {**row, **values})

    def update(self, caller: Caller, uuid: str, changes: Mapping[str, Any]) -> None:
        """Write columns that describe a server (name, description, hostname, access addresses, metadata, tags)."""
        for _ in range(3):
            place = self._place(caller, uuid)
            if place["state"] == instances.PLACED:
                cell = self._cells.get(place["cell_uuid"])
                with self._cells.using(cell) as db, db.write() as connection:
                    instances.set_values(connection, uuid, **changes)
                return
            with self._api_db.write() as connection:
                mine = sa.and_(places.c.instance_uuid == uuid, places.c.state != instances.PLACED)
                # Locked: a place that is taken meanwhile would be taken without the changes.
                record = connection.execute(sa.select(places.c.record).where(mine).with_for_update()).scalar()
                if record is not None:
                    record = {**record, **changes, "updated_at": now()}
                    connection.execute(sa.update(places).where(mine).values(record=record))
                    return
        raise errors.Conflict(f"Instance {uuid} is being scheduled; ask again.")

    def console_output(self, caller: Caller, uuid: str, lines: int | None) -> str:
        """Return the end of the serial console's log: the last ``lines`` lines, or all that is kept.

        Raises Conflict while there is no guest, CapabilityMissing if the driver keeps no log.
        """
        cell = self._placed(caller, uuid, "get console output of")
        with self._cells.using(cell) as db:
            instance = instances.get(db, uuid)
        if instance.host is None or instance.launched_at is None:
            raise errors.Conflict(f"Instance {uuid} is not ready.")
        try:
            return str(self._bus.call(instance.host, "console_output", instance=instance, lines=lines))
        except errors.GuestNotFound as exc:  # it is being rebuilt, or somebody removed it behind our back
            raise errors.Conflict(f"Instance {uuid} has no guest now.") from exc

    def _power(
        self,
        caller: Caller,
        uuid: str,
        kind: str,
        task_state: str,
        vm_states: tuple[str, ...],
        args: Mapping[str, Any] | None = None,
    ) -> None:
        cell = self._placed(caller, uuid, kind)
        with self._cells.using(cell) as db, db.write() as connection:
            operation = self._begin(connection, caller, uuid, kind, task_state, vm_states, args or {})
        self._bus.ring(COMPUTE, operation.host, operation.uuid, cell.uuid)

    def _begin(
        self,
        connection: sa.Connection,
        caller: Caller,
        uuid: str,
        kind: str,
        task_state: str,
        vm_states: tuple[str, ...],
        args: Mapping[str, Any],
    ) -> Operation:
        table = instances_table
        row = connection.execute(
            sa.select(table.c.host, table.c.vm_state, table.c.task_state).where(table.c.uuid == uuid)
        ).first()
        if row is None:
            raise _not_found(uuid)
        operation = self._operation(caller, kind, uuid, kind, COMPUTE, row.host, args)
        if row.host is None or not instances.begin_task(connection, uuid, operation.uuid, task_state, vm_states):
            what, state = ("task_state", row.task_state) if row.task_state else ("vm_state", row.vm_state)
            raise errors.Conflict(f"Cannot '{kind}' instance {uuid} while it is in {what} {state}")
        operations.insert(connection, cell_operations, operation)
        return operation

    def _operation(
        self,
        caller: Caller,
        kind: str,
        uuid: str,
        step: str,
        role: str,
        host: str | None,
        args: Mapping[str, Any] | None = None,
    ) -> Operation:
        return Operation(
            uuid=str(uuidlib.uuid4()), kind=kind, instance_uuid=uuid, project_id=caller.project_id,
            user_id=caller.user_id, request_id=caller.request_id, step=step, role=role, host=host,
            deadline=now() + deadline_of(self._conf, kind), args=args or {},
        )  # fmt: skip

    def _place(self, caller: Caller, uuid: str) -> Mapping[str, Any]:
        place = instances.place_of(self._api_db, uuid)
        if place is None or not (caller.is_admin or place["project_id"] == caller.project_id):
            raise _not_found(uuid)
        return place

    def _placed(self, caller: Caller, uuid: str, what: str) -> Cell:
        place = self._place(caller, uuid)
        if place["delete_wanted"] is not None:
            raise errors.Conflict(f"Cannot '{what}' instance {uuid} while it is in task_state {instances.DELETING}")
        if place["state"] == instances.PLACED:
            return self._cells.get(place["cell_uuid"])
        state = "vm_state error" if place["state"] == instances.LOST else "task_state scheduling"
        raise errors.Conflict(f"Cannot '{what}' instance {uuid} while it is in {state}")


def _rebuilt(row: Mapping[Any, Any], request: RebuildServer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of a rebuild of the server in ``row``, and what it changes there."""
    spec = rebuilt_spec(row["spec"], request)
    values: dict[str, Any] = {
        "image_ref": request.image.id,
        "image": image_meta(request.image).to_mapping(),
        "spec": spec,
        "key_name": spec["request"]["tenter_object.data"]["key_name"],
    }
    given = {
        "display_name": request.name, "metadata": request.metadata, "disk_config": request.disk_config,
        "access_ip_v4": request.access_ip_v4, "access_ip_v6": request.access_ip_v6, "hostname": request.hostname,
    }  # fmt: skip
    values.update({name: value for name, value in given.items() if value is not None})
    if not isinstance(request.description, _Unset):
        values["description"] = request.description
    args: dict[str, Any] = {"stopped": row["vm_state"] == "stopped"}
    if request.admin_password:
        args[SECRETS] = {"admin_password": request.admin_password}
    return args, values


def _not_found(uuid: str) -> errors.NotFound:
    return errors.NotFound(f"Instance {uuid} could not be found.")


def _locked(uuid: str) -> errors.Conflict:
    return errors.Conflict(f"Instance {uuid} is locked")


def _uses(flavor: objects.Flavor, count: int) -> dict[str, int]:
    return {quota.INSTANCES: count, quota.CORES: count * flavor.vcpus, quota.RAM: count * flavor.memory_mb}


def _allowed(exc: errors.QuotaExceeded, flavor: objects.Flavor) -> int:
    """Return how many servers of a flavor the quotas left room for when a claim failed; it may be less than 0."""
    used, limits = exc.details["used"], exc.details["limits"]
    each = _uses(flavor, 1)
    return min((limits[name] - used[name]) // each[name] for name in each if each[name] and limits[name] >= 0)


def _too_many(exc: errors.QuotaExceeded, request: CreateServers) -> errors.QuotaExceeded:
    used, limits = exc.details["used"], exc.details["limits"]
    least = _uses(request.flavor, request.min_count)
    over = [name for name in least if 0 <= limits[name] < used[name] + least[name]]
    return quota.exceeded(over, least, used, limits)
