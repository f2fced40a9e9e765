"""Rows of instances and of their places."""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tenter import errors, objects
from tenter.store import claims, host_changes, operations, quota, server_groups
from tenter.store.api_schema import places
from tenter.store.cell_schema import instances
from tenter.store.cell_schema import operations as cell_operations
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

UNSCHEDULED, PLACED, LOST = "unscheduled", "placed", "failed"
DELETING = "deleting"
HAVE_GUESTS = ("active", "stopped", "paused", "suspended")
"""Values of vm_state with which an instance has a guest."""
CHANGEABLE = (
    "display_name", "description", "hostname", "access_ip_v4", "access_ip_v6", "metadata", "tags", "locked",
    "updated_at",
)  # fmt: skip
"""Columns that a user may change while the instance is being scheduled; the last shows even what was changed back."""

_UUID: sa.BindParameter[str] = sa.bindparam("p_uuid")
_ONE_PLACE = places.c.instance_uuid == _UUID
_UNPLACED = sa.and_(_ONE_PLACE, places.c.state == UNSCHEDULED)
_ONE = instances.c.uuid == _UUID
_PLACE = Prepared(sa.select(places).where(_ONE_PLACE))
_SWAP = Prepared(
    sa.update(places).where(_UNPLACED).values(state=PLACED, cell_uuid=sa.bindparam("p_cell"), record=sa.null())
)
_RECORD = Prepared(sa.select(places.c.record).where(_UNPLACED).with_for_update())
_USES = Prepared(sa.select(places.c.project_id, places.c.vcpus, places.c.memory_mb).where(_ONE_PLACE).with_for_update())
_SET_BRIEF = Prepared(sa.update(places).where(_ONE_PLACE))
_FORGET_PLACE = Prepared(sa.delete(places).where(_ONE_PLACE))
_FORGET_UNPLACED = Prepared(sa.delete(places).where(_ONE_PLACE, places.c.state != PLACED))
_WANT_DELETE = Prepared(sa.update(places).where(_ONE_PLACE, places.c.state == PLACED, places.c.delete_wanted.is_(None)))
_INSERT_PLACE = Prepared(sa.insert(places))
_GET = Prepared(sa.select(instances).where(_ONE))
_FOR_DELETE = Prepared(sa.select(instances.c.host, instances.c.locked).where(_ONE))
_SET = Prepared(sa.update(instances).where(_ONE))
_FINISH = Prepared(sa.update(instances).where(_ONE, instances.c.operation_uuid == sa.bindparam("p_operation")))
_BEGIN_DELETE = Prepared(
    sa.update(instances)
    .where(_ONE, sa.or_(instances.c.task_state.is_(None), instances.c.task_state != DELETING))
    .values(task_state=DELETING)
)
_INSERT = Prepared(sa.insert(instances))
_REMOVE = Prepared(sa.delete(instances).where(_ONE))


def place_of(db: Database, uuid: str) -> Mapping[str, Any] | None:
    """Return the place row of an instance, None if there is no such instance."""
    with db.read() as connection:
        row = _PLACE.rows(connection, {"p_uuid": uuid}).mappings().first()
    return None if row is None else dict(row)


def places_of(db: Database, uuids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Return whose the instances are (``project_id``) and where (``state``, ``cell_uuid``), by their UUIDs; those that
    there are not, or that are to be deleted, are not there."""
    query = sa.select(places.c.instance_uuid, places.c.project_id, places.c.state, places.c.cell_uuid)
    with db.read() as connection:
        rows = connection.execute(
            query.where(places.c.instance_uuid.in_(list(uuids)), places.c.delete_wanted.is_(None))
        ).mappings()
        return {row["instance_uuid"]: dict(row) for row in rows}


def hosts_of(db: Database, uuids: Iterable[str]) -> dict[str, str]:
    """Return the names of the hosts of a cell's instances, by their UUIDs; those that are on none are not there."""
    query = sa.select(instances.c.uuid, instances.c.host)
    with db.read() as connection:
        rows = connection.execute(query.where(instances.c.uuid.in_(list(uuids)), instances.c.host.is_not(None))).all()
    return {row.uuid: row.host for row in rows}


def usual_uuid(value: object) -> str | None:
    """Return a UUID as it is stored (small letters, with dashes), None if the value is none."""
    try:
        return str(uuidlib.UUID(value)) if isinstance(value, str) and len(value) in (32, 36) else None
    except ValueError:
        return None


def swap_place(connection: sa.Connection, uuid: str, cell_uuid: str) -> bool:
    """Move an unscheduled instance's place to a cell; return whether it was still unscheduled."""
    return _SWAP.change(connection, {"p_uuid": uuid, "p_cell": cell_uuid}) == 1


def find_place(connection: sa.Connection, uuid: str, cell_uuid: str) -> bool:
    """Give an instance that a cell has, and that was thought to be nowhere, its place there; return whether it was."""
    nowhere = sa.update(places).where(places.c.instance_uuid == uuid, places.c.state != PLACED)
    return connection.execute(nowhere.values(state=PLACED, cell_uuid=cell_uuid, record=sa.null())).rowcount == 1


def is_wanted(db: Database, uuid: str, host: str) -> bool:
    """Return whether an instance of the cell is on a host, or is to be there, and is not being deleted."""
    query = sa.select(instances.c.task_state).where(instances.c.uuid == uuid, instances.c.host == host)
    with db.read() as connection:
        row = connection.execute(query).first()
    return row is not None and row.task_state != DELETING


def is_gone_from(db: Database, uuid: str, host: str) -> bool:
    """Return whether the cell no longer has the instance, or not on ``host``."""
    query = sa.select(instances.c.uuid).where(instances.c.uuid == uuid, instances.c.host == host)
    with db.read() as connection:
        return connection.execute(query).first() is None


def unscheduled_record(connection: sa.Connection, uuid: str) -> dict[str, Any] | None:
    """Return what is known of an instance whose place is unscheduled, None if it is not; nobody changes it until the
    transaction ends."""
    record: dict[str, Any] | None = _RECORD.rows(connection, {"p_uuid": uuid}).scalar()
    return record


def lose_place(connection: sa.Connection, uuid: str, **values: Any) -> None:
    """Write ``values`` into the record of an unscheduled instance, which from then on has failed to find a place."""
    record = unscheduled_record(connection, uuid)
    if record is not None:
        change = sa.update(places).where(places.c.instance_uuid == uuid, places.c.state == UNSCHEDULED)
        connection.execute(change.values(state=LOST, record={**record, "updated_at": now(), **values}))


def exists(db: Database, uuid: str) -> bool:
    """Return whether a cell has the instance."""
    with db.read() as connection:
        return connection.execute(sa.select(instances.c.uuid).where(instances.c.uuid == uuid)).first() is not None


def brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an instance's place keeps for when its cell does not answer."""
    kept = {"flavor": row["flavor"], "image_ref": row["image_ref"], "zone": row["pinned_zone"]}
    return {**kept, "locked": True} if row["locked"] else kept


def set_brief(connection: sa.Connection, uuid: str, row: Mapping[str, Any]) -> None:
    """Write what an instance's place keeps for when its cell does not answer."""
    _SET_BRIEF.change(connection, {"p_uuid": uuid, "brief": brief(row)})


def fill_place(connection: sa.Connection, uuid: str, row: Mapping[str, Any]) -> None:
    """Write what the place of an earlier release's instance lacks; what it uses of the quotas is to be recounted."""
    uses = {"vcpus": row["flavor"]["vcpus"], "memory_mb": row["flavor"]["memory_mb"]}
    _SET_BRIEF.change(connection, {"p_uuid": uuid, "brief": brief(row), **uses})


def take_places(connection: sa.Connection, rows: Sequence[Mapping[str, Any]], limits: Mapping[str, int]) -> None:
    """Write the places of new instances of one project, and claim what they use of its quotas.

    Raises QuotaExceeded; then nothing may be committed.
    """
    new = [
        {
            "instance_uuid": row["uuid"],
            "project_id": row["project_id"],
            "user_id": row["user_id"],
            "state": UNSCHEDULED,
            "cell_uuid": None,
            "created_at": row["created_at"],
            "vcpus": row["flavor"]["vcpus"],
            "memory_mb": row["flavor"]["memory_mb"],
            "record": row,
            "brief": brief(row),
        }
        for row in rows
    ]
    wanted = {
        quota.INSTANCES: len(new),
        quota.CORES: sum(place["vcpus"] for place in new),
        quota.RAM: sum(place["memory_mb"] for place in new),
    }
    quota.claim(connection, quota.Owner(quota.PROJECT, rows[0]["project_id"]), wanted, limits)
    _INSERT_PLACE.change_all(connection, new)


def restore_place(connection: sa.Connection, row: Mapping[str, Any], cell_uuid: str) -> None:
    """Give an instance that is in a cell the place that it lost, with its share of the quotas, even beyond limits, and
    make it a member of its group again."""
    group = server_groups.hinted(row["hints"])
    if group is not None:
        server_groups.restore_member(connection, group, row["uuid"], row["host"])
    uses = {quota.INSTANCES: 1, quota.CORES: row["flavor"]["vcpus"], quota.RAM: row["flavor"]["memory_mb"]}
    owner = quota.Owner(quota.PROJECT, row["project_id"])
    quota.claim(connection, owner, uses, dict.fromkeys(uses, quota.UNLIMITED))
    place = {
        "instance_uuid": row["uuid"], "project_id": row["project_id"], "user_id": row["user_id"], "state": PLACED,
        "cell_uuid": cell_uuid, "created_at": row["created_at"], "vcpus": uses[quota.CORES],
        "memory_mb": uses[quota.RAM], "record": None, "brief": brief(row),
    }  # fmt: skip
    _INSERT_PLACE.change(connection, place)


def forget_place(connection: sa.Connection, uuid: str, unplaced: bool = False) -> bool:
    """Remove an instance's place, after which nobody knows it any more, take it out of its server group, and give back
    its share of the quotas.

    With ``unplaced`` only if it is in no cell. Returns whether a place was removed.
    """
    uses = _USES.rows(connection, {"p_uuid": uuid}).first()
    query = _FORGET_UNPLACED if unplaced else _FORGET_PLACE
    if uses is None or query.change(connection, {"p_uuid": uuid}) != 1:
        return False
    server_groups.remove_member(connection, uuid)
    amounts = {quota.INSTANCES: 1, quota.CORES: uses.vcpus, quota.RAM: uses.memory_mb}
    quota.give_back(connection, quota.Owner(quota.PROJECT, uses.project_id), amounts)
    return True


def row_of(connection: sa.Connection, uuid: str) -> Mapping[str, Any] | None:
    """Return the row of an instance of a cell, None if the cell does not have it."""
    row = _GET.rows(connection, {"p_uuid": uuid}).mappings().first()
    return None if row is None else dict(row)


def get(db: Database, uuid: str) -> objects.Instance:
    """Return an instance of a cell. Raises NotFound."""
    with db.read() as connection:
        row = row_of(connection, uuid)
    if row is None:
        raise errors.NotFound(f"Instance {uuid} could not be found.")
    return objects.Instance.from_mapping(row)


def on_host(db: Database, host: str) -> Sequence[Mapping[str, Any]]:
    """Return uuid, owner, name, host and states of every instance on a host."""
    c = instances.c
    columns = (c.uuid, c.project_id, c.user_id, c.display_name, c.host, c.vm_state, c.task_state, c.power_state)
    with db.read() as connection:
        rows = connection.execute(sa.select(*columns).where(instances.c.host == host)).mappings().all()
    return [dict(row) for row in rows]


def set_values(connection: sa.Connection, uuid: str, **values: Any) -> None:
    """Write columns of an instance, whatever its state."""
    values.setdefault("updated_at", now())
    if "task_state" in values:
        host_changes.of_task(connection, uuid, values["task_state"])
    if "image" in values:
        host_changes.of_instance(connection, uuid)
    _SET.change(connection, {"p_uuid": uuid, **values})


def finish_task(connection: sa.Connection, uuid: str, operation_uuid: str, **values: Any) -> None:
    """Write columns and take the operation's hold off the instance, if that operation still holds it."""
    done = {"task_state": None, "operation_uuid": None, "updated_at": now(), **values}
    host_changes.of_task_end(connection, uuid, operation_uuid)
    _FINISH.change(connection, {"p_uuid": uuid, "p_operation": operation_uuid, **done})


def begin_task(
    connection: sa.Connection, uuid: str, operation_uuid: str, task_state: str, vm_states: Iterable[str]
) -> bool:
    """Give the instance to an operation, if no other has it and it is in one of ``vm_states``; return whether so."""
    change = (
        sa.update(instances)
        .where(instances.c.uuid == uuid, instances.c.task_state.is_(None), instances.c.vm_state.in_(list(vm_states)))
        .values(task_state=task_state, operation_uuid=operation_uuid, updated_at=now())
    )
    begun = connection.execute(change).rowcount == 1
    if begun and task_state in host_changes.IO_TASKS:
        host_changes.of_instance(connection, uuid)
    return begun


def to_delete(connection: sa.Connection, uuid: str) -> tuple[str | None, bool] | None:
    """Return the host of an instance and whether it is locked, None if the cell does not have it."""
    row = _FOR_DELETE.rows(connection, {"p_uuid": uuid}).first()
    return None if row is None else (row.host, bool(row.locked))


def begin_delete(connection: sa.Connection, uuid: str, operation_uuid: str) -> bool:
    """Give the instance to a delete, whatever else goes on with it; False if it is going already or gone."""
    values = {"p_uuid": uuid, "operation_uuid": operation_uuid, "updated_at": now()}
    begun = _BEGIN_DELETE.change(connection, values) == 1
    if begun:
        host_changes.of_instance(connection, uuid)  # whatever it was busy with
    return begun


def want_delete(connection: sa.Connection, uuid: str) -> bool:
    """Record that an instance is to be deleted whose cell does not answer; False if that is recorded already, or the
    instance is gone."""
    return _WANT_DELETE.change(connection, {"p_uuid": uuid, "delete_wanted": now()}) == 1


def insert_placed(
    connection: sa.Connection,
    row: Mapping[str, Any],
    operation: operations.Operation,
    wanted: claims.Wanted,
) -> None:
    """Put an instance, its claims and its build into a cell. Raises ClaimLost; then nothing may be committed."""
    claims.take(connection, row["uuid"], wanted)
    _INSERT.change(connection, row)
    operations.insert(connection, cell_operations, operation)


def remove(connection: sa.Connection, uuid: str) -> None:
    """Remove an instance and give back what it claimed."""
    host_changes.of_unclaimed(connection, uuid)
    claims.give_back(connection, uuid)
    _REMOVE.change(connection, {"p_uuid": uuid})
