"""Quotas: what a project or a user may have, and has.

What somebody has is a number in ``quota_usages`` that changes only in the transaction in which what it counts comes or
goes: a place (servers, vCPUs, memory; the amounts stand in its row), a server group or a key pair. So nothing leaks in
a crash, nothing is given back twice, and no cell is asked. One conditional UPDATE a resource decides; never a read
before a write. How many servers are in a group is counted instead, while the group's row is locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import exception as db_exception

from tenter import errors
from tenter.store.api_schema import keypairs, places, quota_limits, quota_usages, server_groups
from tenter.store.engine import Database
from tenter.store.prepared import Prepared

UNLIMITED = -1
DEFAULT_CLASS = "default"
INSTANCES, CORES, RAM, KEY_PAIRS = "instances", "cores", "ram", "key_pairs"
SERVER_GROUPS, SERVER_GROUP_MEMBERS = "server_groups", "server_group_members"
PLACED = (INSTANCES, CORES, RAM)
"""What a place uses: servers, vCPUs, MiB of memory."""

NO_FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
"""Of files put into guests before they start, which is not done here: nobody may have any."""

NETWORK = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
"""What old clients ask of the compute service, which does not count it."""

RESOURCES = (
    *PLACED, KEY_PAIRS, "metadata_items", SERVER_GROUPS, SERVER_GROUP_MEMBERS, *NO_FILES, *NETWORK,
)  # fmt: skip
"""All that can be limited, by the names of the Compute API."""

PROJECT, USER, CLASS = "project", "user", "class"


class Owner(NamedTuple):
    """Whose quota it is: a project's (PROJECT) or a user's (USER)."""

    kind: str
    id: str


class Difference(NamedTuple):
    """An amount that is recorded otherwise than counted."""

    owner: Owner
    resource: str
    recorded: int
    counted: int

    def __str__(self) -> str:
        whose = f"quota of {self.owner.kind} {self.owner.id}"
        return f"{whose}: {self.recorded} {self.resource} recorded, {self.counted} found"


def _row_of(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.owner_kind == sa.bindparam("p_kind"),
        table.c.owner == sa.bindparam("p_owner"),
        table.c.resource == sa.bindparam("p_resource"),
    )


_AMOUNT = sa.bindparam("p_amount", type_=sa.BigInteger)
_LIMIT = sa.bindparam("p_limit", type_=sa.BigInteger)
_USED = quota_usages.c.used
_TAKE = Prepared(
    sa.update(quota_usages)
    .where(_row_of(quota_usages), sa.or_(_LIMIT < 0, _USED + _AMOUNT <= _LIMIT))
    .values(used=_USED + _AMOUNT)
)
_GIVE_BACK = Prepared(
    sa.update(quota_usages)
    .where(_row_of(quota_usages))
    .values(used=sa.case((_USED > _AMOUNT, _USED - _AMOUNT), else_=0))
)
_CORRECT = sa.update(quota_usages).where(_row_of(quota_usages)).values(used=_AMOUNT)
_LOCK = sa.update(quota_usages).where(_row_of(quota_usages)).values(used=_USED)
_BEGIN = sa.insert(quota_usages)
_USAGES = sa.select(quota_usages.c.resource, _USED).where(
    quota_usages.c.owner_kind == sa.bindparam("p_kind"), quota_usages.c.owner == sa.bindparam("p_owner")
)
_LIMITS = sa.select(quota_limits.c.resource, quota_limits.c.hard_limit).where(
    quota_limits.c.owner_kind == sa.bindparam("p_kind"), quota_limits.c.owner == sa.bindparam("p_owner")
)
_LIMITS_OF_PROJECT = Prepared(
    sa.select(quota_limits.c.owner_kind, quota_limits.c.resource, quota_limits.c.hard_limit).where(
        sa.or_(
            sa.and_(quota_limits.c.owner_kind == PROJECT, quota_limits.c.owner == sa.bindparam("p_owner")),
            sa.and_(quota_limits.c.owner_kind == CLASS, quota_limits.c.owner == DEFAULT_CLASS),
        )
    )
)
_SET_LIMIT = sa.update(quota_limits).where(_row_of(quota_limits)).values(hard_limit=_LIMIT)


def options(conf: cfg.ConfigOpts) -> dict[str, int]:
    """Return the limits that hold where none was set."""
    limits = dict.fromkeys(RESOURCES, UNLIMITED) | dict.fromkeys(NO_FILES, 0)
    return limits | {name: conf.quota[name] for name in conf.quota}


def limits_of(connection: sa.Connection, conf: cfg.ConfigOpts, project_id: str) -> dict[str, int]:
    """Return a project's limits: its own, else those of the class "default", else the options."""
    rows = _LIMITS_OF_PROJECT.rows(connection, {"p_owner": project_id}).all()
    of: dict[str, dict[str, int]] = {PROJECT: {}, CLASS: {}}
    for row in rows:
        of[row.owner_kind][row.resource] = row.hard_limit
    return {**options(conf), **of[CLASS], **of[PROJECT]}


def claim(connection: sa.Connection, owner: Owner, wanted: Mapping[str, int], limits: Mapping[str, int]) -> None:
    """Add ``wanted`` to what the owner has.

    Raises QuotaExceeded, whose details ``used`` and ``limits`` are figures by resource; then nothing may be committed.
    """
    # In one order for all: otherwise two claims could wait for each other.
    for resource in sorted(wanted):
        amount = wanted[resource]
        if amount and not _take(connection, owner, resource, amount, limits[resource]):
            before = sorted(name for name in wanted if name < resource)
            raise _exceeded(_usages(connection, owner), before, wanted, limits)


def _take(connection: sa.Connection, owner: Owner, resource: str, amount: int, limit: int) -> bool:
    key = {"p_kind": owner.kind, "p_owner": owner.id, "p_resource": resource}
    values = {**key, "p_amount": amount, "p_limit": limit}
    if _TAKE.change(connection, values) == 1:
        return True
    if 0 <= limit < amount:
        return False
    row = {"owner_kind": owner.kind, "owner": owner.id, "resource": resource, "used": 0}
    # It was not there, or it is full, or somebody else has begun it just now.
    _insert_if_new(connection, _BEGIN, row)
    return _TAKE.change(connection, values) == 1


def _insert_if_new(connection: sa.Connection, insert: sa.Insert, row: Mapping[str, Any]) -> bool:
    try:
        with connection.begin_nested():
            connection.execute(insert, [dict(row)])
    except db_exception.DBDuplicateEntry:
        return False
    return True


def _exceeded(
    used: Mapping[str, int], taken: Iterable[str], wanted: Mapping[str, int], limits: Mapping[str, int]
) -> errors.QuotaExceeded:
    held = {name: used.get(name, 0) - (wanted[name] if name in taken else 0) for name in wanted}
    over = [name for name in sorted(wanted) if 0 <= limits[name] < held[name] + wanted[name]] or sorted(wanted)
    return exceeded(over, wanted, held, limits)


def exceeded(
    over: Iterable[str], wanted: Mapping[str, int], used: Mapping[str, int], limits: Mapping[str, int]
) -> errors.QuotaExceeded:
    """Return the error that says of what there would be too much, in the words of the Compute API."""
    names = list(over)
    figures = [", ".join(str(of[name]) for name in names) for of in (wanted, used, limits)]
    resources = ", ".join(names)
    return errors.QuotaExceeded(
        f"Quota exceeded for {resources}: Requested {figures[0]}, but already used {figures[1]} of {figures[2]} "
        f"{resources}",
        used=dict(used),
        limits={name: limits[name] for name in wanted},
    )


def give_back(connection: sa.Connection, owner: Owner, amounts: Mapping[str, int]) -> None:
    """Take ``amounts`` off what the owner has, which never falls below nothing."""
    for resource in sorted(amounts):
        if amounts[resource]:
            key = {"p_kind": owner.kind, "p_owner": owner.id, "p_resource": resource}
            _GIVE_BACK.change(connection, {**key, "p_amount": amounts[resource]})


def _usages(connection: sa.Connection, owner: Owner) -> dict[str, int]:
    rows = connection.execute(_USAGES, {"p_kind": owner.kind, "p_owner": owner.id})
    return {row.resource: row.used for row in rows}


class Quotas:
    """Limits and usage as administrators and users see them."""

    def __init__(self, db: Database, conf: cfg.ConfigOpts) -> None:
        """``db`` is the API database; ``conf`` has the section ``quota``."""
        self._db, self._conf = db, conf

    def limits(self, project_id: str) -> dict[str, int]:
        """Return a project's limits by resource."""
        with self._db.read() as connection:
            return limits_of(connection, self._conf, project_id)

    def class_limits(self, name: str = DEFAULT_CLASS) -> dict[str, int]:
        """Return the limits of a quota class; only those of "default" hold for anybody."""
        with self._db.read() as connection:
            rows = connection.execute(_LIMITS, {"p_kind": CLASS, "p_owner": name}).all()
        return options(self._conf) | {row.resource: row.hard_limit for row in rows}

    def usage(self, project_id: str, user_id: str | None = None) -> dict[str, int]:
        """Return what a project has, by resource; with ``user_id`` what that user has of it, and their key pairs."""
        with self._db.read() as connection:
            if user_id is None:
                return dict.fromkeys(RESOURCES, 0) | _usages(connection, Owner(PROJECT, project_id))
            mine = sa.and_(places.c.project_id == project_id, places.c.user_id == user_id)
            row = connection.execute(sa.select(*_sums()).where(mine)).one()
            held = dict(zip(PLACED, map(int, row), strict=True)) | _usages(connection, Owner(USER, user_id))
            of = server_groups.c
            groups = sa.select(sa.func.count()).where(of.project_id == project_id, of.user_id == user_id)
            held[SERVER_GROUPS] = int(connection.execute(groups).scalar_one())
            return dict.fromkeys(RESOURCES, 0) | held

    def set_limits(self, project_id: str, limits: Mapping[str, int], force: bool = False) -> None:
        """Write limits of a project; unless ``force``, raises Invalid for one below what is used, and writes none."""
        owner = Owner(PROJECT, project_id)
        with self._db.write() as connection:
            used = _usages(connection, owner)
            for resource, limit in limits.items():
                least = used.get(resource, 0)
                if not force and 0 <= limit < least:
                    raise errors.Invalid(
                        f"Quota limit {limit} for {resource} must be greater than or equal to already used and "
                        f"reserved {least}."
                    )
            _write_limits(connection, owner, limits)

    def set_class_limits(self, name: str, limits: Mapping[str, int]) -> None:
        """Write limits of a quota class."""
        with self._db.write() as connection:
            _write_limits(connection, Owner(CLASS, name), limits)

    def forget_limits(self, project_id: str) -> None:
        """Remove a project's own limits; none is no error."""
        mine = sa.and_(quota_limits.c.owner_kind == PROJECT, quota_limits.c.owner == project_id)
        with self._db.write() as connection:
            connection.execute(sa.delete(quota_limits).where(mine))


def _write_limits(connection: sa.Connection, owner: Owner, limits: Mapping[str, int]) -> None:
    for resource in sorted(limits):
        key = {"p_kind": owner.kind, "p_owner": owner.id, "p_resource": resource}
        values = {**key, "p_limit": limits[resource]}
        if connection.execute(_SET_LIMIT, values).rowcount == 0:
            row = {"owner_kind": owner.kind, "owner": owner.id, "resource": resource, "hard_limit": limits[resource]}
            if not _insert_if_new(connection, sa.insert(quota_limits), row):
                connection.execute(_SET_LIMIT, values)


def _sums() -> list[sa.Label[int]]:
    return [
        sa.func.count().label(INSTANCES),
        sa.func.coalesce(sa.func.sum(places.c.vcpus), 0).label(CORES),
        sa.func.coalesce(sa.func.sum(places.c.memory_mb), 0).label(RAM),
    ]


def _counted() -> list[sa.Select[Any]]:
    """Return selects of owner_kind, owner, resource, recorded (0) and counted from what there is."""
    nothing = sa.literal(0, sa.BigInteger)
    found = [
        sa.select(
            sa.literal(PROJECT, sa.String), places.c.project_id, sa.literal(amount.name, sa.String), nothing, amount
        ).group_by(places.c.project_id)
        for amount in _sums()
    ]
    pairs = sa.select(
        sa.literal(USER, sa.String), keypairs.c.user_id, sa.literal(KEY_PAIRS, sa.String), nothing, sa.func.count()
    )
    of = server_groups.c.project_id
    groups = sa.select(
        sa.literal(PROJECT, sa.String), of, sa.literal(SERVER_GROUPS, sa.String), nothing, sa.func.count()
    )
    return [*found, pairs.group_by(keypairs.c.user_id), groups.group_by(of)]


def recount(db: Database) -> list[Difference]:
    """Return where the recorded amounts differ from what there is, by owner and resource.

    It is one statement, which sees one state: nothing that comes or goes meanwhile is taken for a difference.
    """
    with db.read() as connection:
        return _differences(connection)


def _differences(connection: sa.Connection, owner: Owner | None = None) -> list[Difference]:
    u = quota_usages.c
    recorded = sa.select(u.owner_kind, u.owner, u.resource, u.used.label("recorded"), sa.literal(0).label("counted"))
    rows = sa.union_all(recorded, *_counted()).subquery()
    sums = sa.func.sum(rows.c.recorded), sa.func.sum(rows.c.counted)
    key = rows.c.owner_kind, rows.c.owner, rows.c.resource
    query = sa.select(*key, *sums).group_by(*key).having(sums[0] != sums[1]).order_by(*key)
    if owner is not None:
        query = query.where(rows.c.owner_kind == owner.kind, rows.c.owner == owner.id)
    return [
        Difference(Owner(kind, of), resource, int(was), int(found))
        for kind, of, resource, was, found in connection.execute(query)
    ]


def correct(db: Database, difference: Difference) -> bool:
    """Write what there is where ``recount`` found a difference; return whether there was one still."""
    owner, resource = difference.owner, difference.resource
    key = {"p_kind": owner.kind, "p_owner": owner.id, "p_resource": resource}
    with db.write() as connection:
        if connection.execute(_LOCK, key).rowcount == 0:
            row = {"owner_kind": owner.kind, "owner": owner.id, "resource": resource, "used": 0}
            _insert_if_new(connection, _BEGIN, row)
            connection.execute(_LOCK, key)
        # From here on whoever adds or removes something of this kind waits; it is counted anew.
        found = [now for now in _differences(connection, owner) if now.resource == resource]
        for now in found:
            connection.execute(_CORRECT, {**key, "p_amount": now.counted})
    return bool(found)
