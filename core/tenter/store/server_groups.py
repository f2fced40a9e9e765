"""Server groups: rows of the API database, the instances in them, and the hosts that these have claimed.

A member's ``host`` is its claim on that host in the group's name. It is written only by who has locked the group's row
since, and only if the policy allows it by what the other members have claimed then. So the policies hold under any
parallelism and over cells. The claim goes with the member, and the member with the instance's place.

Locks are taken in one order: an instance's place, its group, the group's members, quotas.
"""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.contracts.scheduling import ServerGroup
from tenter.store import quota
from tenter.store.api_schema import server_group_members as members
from tenter.store.api_schema import server_groups as groups
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

AFFINITY, ANTI_AFFINITY = "affinity", "anti-affinity"
SOFT_AFFINITY, SOFT_ANTI_AFFINITY = "soft-affinity", "soft-anti-affinity"

_ONE = {quota.SERVER_GROUPS: 1}
_INSTANCE: sa.BindParameter[str] = sa.bindparam("p_instance")
_HOST: sa.BindParameter[str] = sa.bindparam("p_host")
_OTHERS = sa.and_(members.c.group_uuid == sa.bindparam("p_group"), members.c.instance_uuid != _INSTANCE)
_MINE = members.c.instance_uuid == _INSTANCE

_GROUP = sa.select(groups.c.uuid, groups.c.policy, groups.c.max_per_host).where(
    groups.c.uuid == sa.select(members.c.group_uuid).where(_MINE).scalar_subquery()
)
_LOOK = Prepared(_GROUP)
_LOCK = Prepared(_GROUP.with_for_update())
_ON_HOST = Prepared(sa.select(members.c.instance_uuid).where(_OTHERS, members.c.host == _HOST))
_ELSEWHERE = Prepared(sa.select(members.c.instance_uuid).where(_OTHERS, members.c.host != _HOST))
_BY_HOST = Prepared(
    sa.select(members.c.host, sa.func.count().label("number"))
    .where(_OTHERS, members.c.host.is_not(None))
    .group_by(members.c.host)
)
_SET_HOST = Prepared(sa.update(members).where(_MINE))
_REMOVE = Prepared(sa.delete(members).where(_MINE))
_GROUP_UUID = Prepared(sa.select(members.c.group_uuid).where(_MINE))
_CLAIMED = Prepared(sa.select(members.c.host).where(_MINE))
_INSERT = Prepared(sa.insert(members))


@dataclass(frozen=True)
class Group:
    """A server group. ``max_per_host`` is None if it was not said; ``members`` are UUIDs, the oldest first."""

    uuid: str
    project_id: str
    user_id: str
    name: str
    policy: str
    max_per_host: int | None
    created_at: float
    members: tuple[str, ...] = ()


def hinted(hints: Mapping[str, Any] | None) -> str | None:
    """Return the group that an instance with these hints was to be in, None if in none. It is in that one, unless the
    group was deleted. Raises Invalid for several."""
    wanted = (hints or {}).get("group")
    if isinstance(wanted, list):
        if len(wanted) > 1:
            raise errors.Invalid("A server can be in one server group only; the hint 'group' names several.")
        wanted = wanted[0] if wanted else None
    return wanted or None


def create_group(
    db: Database,
    project_id: str,
    user_id: str,
    name: str,
    policy: str,
    max_per_host: int | None = None,
    limit: int = quota.UNLIMITED,
) -> Group:
    """Write a group and return it. Raises QuotaExceeded if the project has ``limit`` of them."""
    group = Group(str(uuidlib.uuid4()), project_id, user_id, name, policy, max_per_host, now())
    row = {name: value for name, value in vars(group).items() if name != "members"}
    with db.write() as connection:
        quota.claim(connection, quota.Owner(quota.PROJECT, project_id), _ONE, {quota.SERVER_GROUPS: limit})
        connection.execute(sa.insert(groups).values(row))
    return group


def list_groups(db: Database, project_id: str | None, limit: int | None = None, offset: int = 0) -> Sequence[Group]:
    """Return ``limit`` groups of a project (None: of all), the oldest first, from the one at ``offset`` (from 0) on."""
    query = sa.select(groups).order_by(groups.c.created_at, groups.c.uuid).limit(limit).offset(offset)
    with db.read() as connection:
        return _read(connection, query if project_id is None else query.where(groups.c.project_id == project_id))


def get_group(db: Database, uuid: str, project_id: str | None = None) -> Group:
    """Return a group; with ``project_id`` only if it is of that project. Raises NotFound."""
    with db.read() as connection:
        found = _read(connection, _one(uuid, project_id))
    if not found:
        raise errors.NotFound(_unknown(uuid))
    return found[0]


def delete_group(db: Database, uuid: str, project_id: str | None = None) -> None:
    """Delete a group; with ``project_id`` only if it is of that project. Its servers stay. Raises NotFound."""
    with db.write() as connection:
        row = connection.execute(_one(uuid, project_id).with_for_update()).first()
        if row is None:
            raise errors.NotFound(_unknown(uuid))
        connection.execute(sa.delete(groups).where(groups.c.uuid == row.uuid))
        quota.give_back(connection, quota.Owner(quota.PROJECT, row.project_id), _ONE)


def _one(uuid: str, project_id: str | None) -> sa.Select[Any]:
    query = sa.select(groups).where(groups.c.uuid == uuid)
    return query if project_id is None else query.where(groups.c.project_id == project_id)


def _unknown(uuid: str) -> str:
    return f"Instance group {uuid} could not be found."


def _read(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Group]:
    rows = connection.execute(query).mappings().all()
    order = members.c.created_at, members.c.instance_uuid
    theirs = members.c.group_uuid.in_([row["uuid"] for row in rows])
    of: dict[str, list[str]] = {row["uuid"]: [] for row in rows}
    columns = sa.select(members.c.group_uuid, members.c.instance_uuid)
    for group_uuid, instance_uuid in connection.execute(columns.where(theirs).order_by(*order)) if rows else ():
        of[group_uuid].append(instance_uuid)
    return [Group(**row, members=tuple(of[row["uuid"]])) for row in rows]


def lock_group(connection: sa.Connection, uuid: str, project_id: str) -> str:
    """Return the UUID of a project's group, which nobody deletes and whose members stay as they are until the
    transaction ends. Raises Invalid if the project has no such group."""
    row = connection.execute(_one(uuid, project_id).with_only_columns(groups.c.uuid).with_for_update()).first()
    if row is None:
        raise errors.Invalid(_unknown(uuid))
    return str(row.uuid)


def add_members(
    connection: sa.Connection, group_uuid: str, instance_uuids: Iterable[str], limit: int = quota.UNLIMITED
) -> None:
    """Write new members of a group that is locked. Raises QuotaExceeded if there would be more than ``limit``; then
    nothing may be committed."""
    at = now()
    new = [{"instance_uuid": uuid, "group_uuid": group_uuid, "host": None, "created_at": at} for uuid in instance_uuids]
    if limit >= 0:
        count = sa.select(sa.func.count()).select_from(members).where(members.c.group_uuid == group_uuid)
        if int(connection.execute(count).scalar_one()) + len(new) > limit:
            raise errors.QuotaExceeded("Quota exceeded, too many servers in group")
    _INSERT.change_all(connection, new)


def restore_member(connection: sa.Connection, group_uuid: str, instance_uuid: str, host: str | None) -> None:
    """Make an instance a member of a group again, on the host that it is on. A group that is gone is no error, nor is
    a member that is there."""
    locked = sa.select(groups.c.uuid).where(groups.c.uuid == group_uuid).with_for_update()
    row = connection.execute(locked).first()
    if row is None or group_uuid_of(connection, instance_uuid) is not None:
        return
    new = {"instance_uuid": instance_uuid, "group_uuid": row.uuid, "host": host, "created_at": now()}
    _INSERT.change(connection, new)


def remove_member(connection: sa.Connection, instance_uuid: str) -> None:
    """Take an instance out of its group, with its claim; none is no error."""
    if _LOCK.rows(connection, {"p_instance": instance_uuid}).first() is not None:
        _REMOVE.change(connection, {"p_instance": instance_uuid})


def group_uuid_of(connection: sa.Connection, instance_uuid: str) -> str | None:
    """Return the UUID of the group that an instance is in, None if it is in none."""
    found: str | None = _GROUP_UUID.rows(connection, {"p_instance": instance_uuid}).scalar()
    return found


def group_of(connection: sa.Connection, instance_uuid: str) -> ServerGroup | None:
    """Return the group that an instance is in, with its other members counted by the hosts that they have claimed;
    None if it is in none."""
    group = _LOOK.rows(connection, {"p_instance": instance_uuid}).first()
    if group is None:
        return None
    rows = _BY_HOST.rows(connection, {"p_group": group.uuid, "p_instance": instance_uuid})
    return ServerGroup(group.uuid, group.policy, group.max_per_host or 1, {row.host: row.number for row in rows})


def as_seen_by_new(db: Database, uuid: str, project_id: str | None) -> ServerGroup:
    """Return a group as an instance would see it that is to be its next member. Raises NotFound."""
    group = get_group(db, uuid, project_id)
    with db.read() as connection:
        rows = _BY_HOST.rows(connection, {"p_group": uuid, "p_instance": ""})
        return ServerGroup(uuid, group.policy, group.max_per_host or 1, {row.host: row.number for row in rows})


def claim(connection: sa.Connection, instance_uuid: str, host: str) -> bool:
    """Claim a host for an instance in its group's name, in place of the host that it had; what it has already it gets
    again. True also for an instance that is in no group.

    False: the group's policy does not allow it now (``holders`` says who has what), and nothing is changed.
    """
    group = _LOCK.rows(connection, {"p_instance": instance_uuid}).first()
    if group is None:
        return True
    if _in_the_way(connection, group, instance_uuid, host):
        return False
    _SET_HOST.change(connection, {"p_instance": instance_uuid, "host": host})
    return True


def release(connection: sa.Connection, instance_uuid: str) -> None:
    """Give back the host that an instance has claimed in its group's name; none is no error."""
    force(connection, instance_uuid, None)


def locked_claim(connection: sa.Connection, instance_uuid: str) -> tuple[bool, str | None]:
    """Return whether an instance is in a group, and the host that it has claimed; nobody else in the group claims or
    gives back any until the transaction ends."""
    if _LOCK.rows(connection, {"p_instance": instance_uuid}).first() is None:
        return False, None
    return True, _CLAIMED.rows(connection, {"p_instance": instance_uuid}).scalar()


def force(connection: sa.Connection, instance_uuid: str, host: str | None) -> None:
    """Record on which host an instance is, whether or not its group's policy allows it: it is there."""
    if _LOCK.rows(connection, {"p_instance": instance_uuid}).first() is not None:
        _SET_HOST.change(connection, {"p_instance": instance_uuid, "host": host})


def rename_host(db: Database, earlier: str, host: str) -> None:
    """Let the claims on a host be claims on what that is called now."""
    at = members.c.host == earlier
    theirs = groups.c.uuid.in_(sa.select(members.c.group_uuid).where(at))
    with db.write() as connection:
        connection.execute(sa.select(groups.c.uuid).where(theirs).order_by(groups.c.uuid).with_for_update())
        connection.execute(sa.update(members).where(at).values(host=host))


def holders(connection: sa.Connection, instance_uuid: str, host: str) -> tuple[str, ...]:
    """Return the UUIDs of the members of an instance's group for which it could not claim a host now."""
    group = _LOOK.rows(connection, {"p_instance": instance_uuid}).first()
    return () if group is None else _in_the_way(connection, group, instance_uuid, host)


def _in_the_way(connection: sa.Connection, group: Any, instance_uuid: str, host: str) -> tuple[str, ...]:
    query = {ANTI_AFFINITY: _ON_HOST, AFFINITY: _ELSEWHERE}.get(group.policy)
    if query is None:
        return ()
    values = {"p_group": group.uuid, "p_instance": instance_uuid, "p_host": host}
    found = tuple(query.rows(connection, values).scalars())
    allowed = (group.max_per_host or 1) - 1 if group.policy == ANTI_AFFINITY else 0
    return found if len(found) > allowed else ()
