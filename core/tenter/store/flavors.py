"""Flavors: rows of the API database, and which of them a project may see."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors
from tenter.objects import Flavor
from tenter.store.api_schema import flavor_projects, flavors
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

_SEEDS = (
    # id, name, vCPUs, MiB, GiB
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
    ("5", "m1.xlarge", 8, 16384, 160),
    ("42", "m1.nano", 1, 128, 1),
)
_NULLABLE = {"description": "", "updated_at": 0.0}


def seed_flavors(db: Database) -> None:
    """Write the classic flavors m1.tiny … m1.xlarge and m1.nano, if there are no flavors at all."""
    at = now()
    with db.write() as connection:
        if connection.execute(sa.select(flavors.c.id).limit(1)).first() is None:
            rows = [
                {"flavorid": key, "name": name, "vcpus": vcpus, "memory_mb": memory, "root_gb": disk,
                 "extra_specs": {}, "created_at": at}
                for key, name, vcpus, memory, disk in _SEEDS
            ]  # fmt: skip
            connection.execute(sa.insert(flavors), rows)


def _visible_to(parameter: str) -> sa.ColumnElement[bool]:
    """Return the condition for what the project that is given as ``parameter`` may use."""
    granted = sa.exists().where(
        flavor_projects.c.flavor_id == flavors.c.id,
        flavor_projects.c.project_id == sa.bindparam(parameter),
    )
    return sa.or_(flavors.c.is_public, granted)


_BY_ID = sa.select(flavors).where(flavors.c.flavorid == sa.bindparam("flavorid"))
_ONE = Prepared(_BY_ID)
_ONE_VISIBLE = Prepared(_BY_ID.where(_visible_to("project_id")))


def flavor_row(db: Database, flavorid: str, project_id: str | None = None) -> sa.RowMapping:
    """Return the row of the flavor with that public id; with ``project_id`` only if it may use it.

    Raises NotFound.
    """
    query = _ONE if project_id is None else _ONE_VISIBLE
    with db.read() as connection:
        row = query.rows(connection, {"flavorid": flavorid, "project_id": project_id}).mappings().first()
    if row is None:
        raise _unknown(flavorid)
    return row


def get_flavor(db: Database, flavorid: str, project_id: str | None = None) -> Flavor:
    """Return the flavor with that public id; with ``project_id`` only if it may use it. Raises NotFound."""
    row = flavor_row(db, flavorid, project_id)
    projects: Sequence[str] = ()
    if not row["is_public"]:
        with db.read() as connection:
            projects = _projects(connection, row["id"])
    return Flavor(**row, projects=list(projects))


def list_flavors(
    db: Database,
    *,
    project_id: str | None = None,
    is_public: bool | None = None,
    min_ram: int | None = None,
    min_disk: int | None = None,
    name: str | None = None,
    sort_key: str = "flavorid",
    descending: bool = False,
    limit: int | None = None,
    marker: str | None = None,
) -> Sequence[sa.RowMapping]:
    """Return rows of the flavors table, one page after ``marker`` (a flavor's public id).

    With ``project_id`` only what it may use. ``is_public`` True or False selects such flavors (True with
    ``project_id``: also the private ones granted to it); None selects all. ``min_ram`` in MiB, ``min_disk``
    in GiB. Raises Invalid for a marker that does not exist.
    """
    filters: dict[str, Any] = {"minimum_ram": min_ram, "minimum_disk": min_disk, "named": name, "seen_by": project_id}
    if is_public is not None and not (is_public and project_id is not None):
        filters["public"] = is_public
    values = {key: value for key, value in filters.items() if value is not None}
    with db.read() as connection:
        if marker is not None:
            one = {"flavorid": marker, "project_id": project_id}
            row = (_ONE if project_id is None else _ONE_VISIBLE).rows(connection, one).mappings().first()
            if row is None:
                raise errors.Invalid(f"Marker {marker!r} could not be found.")
            values |= {"after_key": row[sort_key], "after_id": row["id"]}
            if row[sort_key] is None:
                values["after_key"] = _NULLABLE[sort_key]
        query = _page_query(frozenset(values), sort_key, descending)
        return connection.execute(query.limit(limit), values).mappings().all()


@functools.lru_cache(maxsize=256)
def _page_query(given: frozenset[str], sort_key: str, descending: bool) -> sa.Select[Any]:
    """Return the query of a list for one combination of filters; composing it costs more than running it."""
    key: sa.ColumnElement[Any] = flavors.c[sort_key]
    if sort_key in _NULLABLE:
        key = sa.func.coalesce(key, _NULLABLE[sort_key])
    position = sa.tuple_(key, flavors.c.id)
    after = sa.tuple_(
        sa.bindparam("after_key", type_=flavors.c[sort_key].type), sa.bindparam("after_id", type_=sa.Integer)
    )
    conditions: dict[str, sa.ColumnElement[bool]] = {
        "seen_by": _visible_to("seen_by"),
        "public": flavors.c.is_public == sa.bindparam("public"),
        "minimum_ram": flavors.c.memory_mb >= sa.bindparam("minimum_ram"),
        "minimum_disk": flavors.c.root_gb >= sa.bindparam("minimum_disk"),
        "named": flavors.c.name == sa.bindparam("named"),
        "after_id": position < after if descending else position > after,
    }
    query = sa.select(flavors).where(sa.true(), *(conditions[name] for name in conditions if name in given))
    return query.order_by(*(column.desc() if descending else column.asc() for column in (key, flavors.c.id)))


def create_flavor(
    db: Database,
    *,
    name: str,
    vcpus: int,
    memory_mb: int,
    root_gb: int,
    flavorid: str | None = None,
    ephemeral_gb: int = 0,
    swap: int = 0,
    rxtx_factor: float = 1.0,
    is_public: bool = True,
    description: str | None = None,
) -> Flavor:
    """Write a flavor and return it. Memory, swap in MiB, disks in GiB. Raises Conflict (id or name taken)."""
    values = {
        "flavorid": flavorid or str(uuid.uuid4()),
        "name": name,
        "vcpus": vcpus,
        "memory_mb": memory_mb,
        "root_gb": root_gb,
        "ephemeral_gb": ephemeral_gb,
        "swap": swap,
        "rxtx_factor": rxtx_factor,
        "is_public": is_public,
        "disabled": False,
        "description": description,
        "extra_specs": {},
        "created_at": now(),
        "updated_at": None,
    }
    try:
        with db.write() as connection:
            key = connection.execute(sa.insert(flavors).values(**values)).inserted_primary_key
    except db_exception.DBDuplicateEntry as exc:
        taken = f"name {name}" if "name" in exc.columns else f"ID {values['flavorid']}"
        raise errors.Conflict(f"Flavor with {taken} already exists.") from exc
    return Flavor(id=key[0] if key else None, projects=[], **values)


def update_flavor(db: Database, flavorid: str, description: str | None) -> sa.RowMapping:
    """Change the only thing that may change and return the flavor's row. Raises NotFound."""
    with db.write() as connection:
        update = sa.update(flavors).where(flavors.c.flavorid == flavorid)
        if not connection.execute(update.values(description=description, updated_at=now())).rowcount:
            raise _unknown(flavorid)
    return flavor_row(db, flavorid)


def delete_flavor(db: Database, flavorid: str) -> None:
    """Delete a flavor; instances keep their copy of it. Raises NotFound."""
    with db.write() as connection:
        key = _key(connection, flavorid)
        connection.execute(sa.delete(flavor_projects).where(flavor_projects.c.flavor_id == key))
        connection.execute(sa.delete(flavors).where(flavors.c.id == key))


def set_extra_specs(db: Database, flavorid: str, specs: Mapping[str, str]) -> None:
    """Add the specs, or give them new values. Raises NotFound."""
    with db.write() as connection:
        _write_specs(connection, flavorid, {**_specs(connection, flavorid), **specs})


def delete_extra_spec(db: Database, flavorid: str, key: str) -> None:
    """Delete one extra spec. Raises NotFound for an unknown flavor or key."""
    with db.write() as connection:
        specs = _specs(connection, flavorid)
        if specs.pop(key, None) is None:
            raise unknown_spec(flavorid, key)
        _write_specs(connection, flavorid, specs)


def unknown_spec(flavorid: str, key: str) -> errors.NotFound:
    """Return the error for an extra spec that a flavor does not have."""
    return errors.NotFound(f"Flavor {flavorid} has no extra specs with key {key}.")


def flavor_access(db: Database, flavorid: str) -> Sequence[str]:
    """Return the projects that may use a private flavor. Raises NotFound, also for a public one."""
    with db.read() as connection:
        return _projects(connection, _private(connection, flavorid, errors.NotFound))


def grant_flavor(db: Database, flavorid: str, project_id: str) -> Sequence[str]:
    """Let a project use a private flavor and return all that may.

    Raises NotFound, Conflict if the flavor is public or the project may use it already.
    """
    try:
        with db.write() as connection:
            key = _private(connection, flavorid, errors.Conflict)
            connection.execute(sa.insert(flavor_projects).values(flavor_id=key, project_id=project_id))
            return _projects(connection, key)
    except db_exception.DBDuplicateEntry as exc:
        raise errors.Conflict(f"Flavor access already exists for flavor {flavorid} and project {project_id}.") from exc


def revoke_flavor(db: Database, flavorid: str, project_id: str) -> Sequence[str]:
    """Take a private flavor away from a project and return those that may still use it.

    Raises NotFound for an unknown flavor or grant, Conflict if the flavor is public.
    """
    with db.write() as connection:
        key = _private(connection, flavorid, errors.Conflict)
        grant = sa.delete(flavor_projects).where(
            flavor_projects.c.flavor_id == key, flavor_projects.c.project_id == project_id
        )
        if not connection.execute(grant).rowcount:
            raise errors.NotFound(f"Flavor access not found for flavor {flavorid} and project {project_id}.")
        return _projects(connection, key)


def _unknown(flavorid: str) -> errors.NotFound:
    return errors.NotFound(f"Flavor {flavorid} could not be found.")


def _key(connection: sa.Connection, flavorid: str) -> int:
    key = connection.execute(sa.select(flavors.c.id).where(flavors.c.flavorid == flavorid)).scalar()
    if key is None:
        raise _unknown(flavorid)
    return key


def _private(connection: sa.Connection, flavorid: str, if_public: type[errors.TenterError]) -> int:
    row = connection.execute(sa.select(flavors.c.id, flavors.c.is_public).where(flavors.c.flavorid == flavorid)).first()
    if row is None:
        raise _unknown(flavorid)
    if row.is_public:
        raise if_public(f"Flavor {flavorid} is public; there is no list of projects that may use it.")
    return row.id


def _projects(connection: sa.Connection, key: int) -> Sequence[str]:
    query = sa.select(flavor_projects.c.project_id).where(flavor_projects.c.flavor_id == key)
    return connection.execute(query.order_by(flavor_projects.c.project_id)).scalars().all()


def _specs(connection: sa.Connection, flavorid: str) -> dict[str, str]:
    row = connection.execute(
        sa.select(flavors.c.extra_specs).where(flavors.c.flavorid == flavorid).with_for_update()
    ).first()
    if row is None:
        raise _unknown(flavorid)
    return row.extra_specs


def _write_specs(connection: sa.Connection, flavorid: str, specs: Mapping[str, str]) -> None:
    update = sa.update(flavors).where(flavors.c.flavorid == flavorid)
    connection.execute(update.values(extra_specs=dict(specs), updated_at=now()))
