"""Domains (there is one), projects, users, roles and assignments: queries and changes of single rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tenter import errors
from tenter.contracts.identity import Assignment, AssignmentQuery, Entity, EntityQuery, Kind
from tenter_plugins.identity.local.passwords import hash_password
from tenter_plugins.identity.local.schema import ASSIGNMENTS, PROJECTS, ROLES, USERS, Store

DEFAULT_DOMAIN = Entity(Kind.DOMAIN, "default", "Default", description="The only domain")
RANKS = ("admin", "manager", "member", "reader")
"""The roles that the fabric knows; each implies those after it."""

TABLES = {Kind.PROJECT: PROJECTS, Kind.USER: USERS, Kind.ROLE: ROLES}
_EXTRA = {Kind.USER: ("email", "default_project_id")}


def implied(names: Iterable[str]) -> frozenset[str]:
    """Return the role names with all that they imply."""
    given = frozenset(names)
    first = min((RANKS.index(name) for name in given if name in RANKS), default=len(RANKS))
    return given | frozenset(RANKS[first:])


def entity(kind: Kind, row: sa.RowMapping) -> Entity:
    """Return a row as an entity; secrets stay behind."""
    domain = None if kind is Kind.ROLE else DEFAULT_DOMAIN.id
    extra = {key: row[key] for key in _EXTRA.get(kind, ()) if row[key] is not None}
    return Entity(
        kind, row["id"], row["name"], domain, bool(row.get("enabled", True)), row["description"], extra
    )


def find(conn: sa.Connection, kind: Kind, entity_id: str) -> sa.RowMapping:
    """Return the row with this id. Raises NotFound."""
    table = TABLES[kind]
    row = conn.execute(sa.select(table).where(table.c.id == entity_id)).mappings().first()
    if row is None:
        raise errors.NotFound(f"Could not find {kind.value}: {entity_id}.")
    return row


def roles_of(conn: sa.Connection, user_id: str, project_id: str) -> tuple[Entity, ...]:
    """Return the roles that the user has on the project, with what they imply, by name; empty if none."""
    given = (
        (ASSIGNMENTS.c.role_id == ROLES.c.id)
        & (ASSIGNMENTS.c.user_id == user_id)
        & (ASSIGNMENTS.c.project_id == project_id)
    )
    has = sa.exists().where(given).label("has")
    rows = conn.execute(sa.select(ROLES, has).order_by(ROLES.c.name)).mappings().all()
    names = implied(row["name"] for row in rows if row["has"])
    return tuple(entity(Kind.ROLE, row) for row in rows if row["name"] in names)


def add_missing_roles(conn: sa.Connection) -> None:
    """Make the roles that the fabric knows, where they are missing."""
    there = set(conn.execute(sa.select(ROLES.c.name)).scalars())
    for name in RANKS:
        if name not in there:
            conn.execute(sa.insert(ROLES).values(id=uuid.uuid4().hex, name=name, description=""))


class Directory:
    """What is kept of projects, users and roles."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.changing() as conn:
            add_missing_roles(conn)

    def show(self, kind: Kind, entity_id: str) -> Entity:
        if kind is Kind.DOMAIN:
            _only_domain(entity_id)
            return DEFAULT_DOMAIN
        with self._store.reading() as conn:
            return entity(kind, find(conn, kind, entity_id))

    def list(self, query: EntityQuery) -> Sequence[Entity]:
        if query.kind is Kind.DOMAIN:
            named = query.name in (None, DEFAULT_DOMAIN.name)
            return [DEFAULT_DOMAIN] if named and query.enabled is not False else []
        if query.domain_id not in (None, DEFAULT_DOMAIN.id):
            return []
        table = TABLES[query.kind]
        statement = sa.select(table).order_by(table.c.name)
        if query.name is not None:
            statement = statement.where(table.c.name == query.name)
        if query.enabled is not None and query.kind is not Kind.ROLE:
            statement = statement.where(table.c.enabled == query.enabled)
        if query.user_id is not None and query.kind is Kind.PROJECT:
            mine = sa.select(ASSIGNMENTS.c.project_id).where(ASSIGNMENTS.c.user_id == query.user_id)
            statement = statement.where(table.c.id.in_(mine))
        with self._store.reading() as conn:
            return [entity(query.kind, row) for row in conn.execute(statement).mappings()]

    def create(self, kind: Kind, values: Mapping[str, Any]) -> Entity:
        _not_domain(kind)
        columns = _columns(kind, values)
        columns = {"id": uuid.uuid4().hex, "description": "", **columns}
        if kind is not Kind.ROLE:
            columns.setdefault("enabled", True)
        if kind is Kind.USER:
            columns["epoch"] = 0
        try:
            with self._store.changing() as conn:
                conn.execute(sa.insert(TABLES[kind]).values(columns))
                return entity(kind, find(conn, kind, columns["id"]))
        except exc.IntegrityError as error:
            raise _taken(kind, values) from error

    def update(self, kind: Kind, entity_id: str, values: Mapping[str, Any]) -> Entity:
        _not_domain(kind)
        columns = _columns(kind, values)
        table = TABLES[kind]
        if kind is Kind.USER and ("password_hash" in columns or columns.get("enabled") is False):
            columns["epoch"] = USERS.c.epoch + 1
        try:
            with self._store.changing() as conn:
                row = find(conn, kind, entity_id)
                if (
                    kind is Kind.ROLE
                    and row["name"] in RANKS
                    and columns.get("name", row["name"]) != row["name"]
                ):
                    raise errors.Forbidden(
                        f"The role {row['name']!r} cannot be renamed: the fabric relies on it."
                    )
                if columns:
                    conn.execute(sa.update(table).where(table.c.id == entity_id).values(columns))
                return entity(kind, find(conn, kind, entity_id))
        except exc.IntegrityError as error:
            raise _taken(kind, values) from error

    def delete(self, kind: Kind, entity_id: str) -> None:
        _not_domain(kind)
        table = TABLES[kind]
        with self._store.changing() as conn:
            row = find(conn, kind, entity_id)
            if kind is Kind.ROLE and row["name"] in RANKS:
                raise errors.Forbidden(
                    f"The role {row['name']!r} cannot be deleted: the fabric relies on it."
                )
            conn.execute(sa.delete(table).where(table.c.id == entity_id))

    def assignments(self, query: AssignmentQuery) -> Sequence[Assignment]:
        columns = ASSIGNMENTS.c
        statement = sa.select(columns.user_id, columns.project_id, columns.role_id, ROLES.c.name)
        statement = statement.join(ROLES, ROLES.c.id == columns.role_id).order_by(*columns)
        if query.user_id is not None:
            statement = statement.where(columns.user_id == query.user_id)
        if query.project_id is not None:
            statement = statement.where(columns.project_id == query.project_id)
        if query.role_id is not None and not query.effective:
            statement = statement.where(columns.role_id == query.role_id)
        with self._store.reading() as conn:
            rows = conn.execute(statement).all()
            ids = {row.name: row.id for row in conn.execute(sa.select(ROLES.c.id, ROLES.c.name))}
        found: dict[Assignment, None] = {}
        for user, project, role, name in rows:
            roles = [ids[each] for each in sorted(implied([name]))] if query.effective else [role]
            found.update((Assignment(user, project, each), None) for each in roles)
        return [each for each in found if query.role_id in (None, each.role_id)]

    def assign(self, assignment: Assignment, present: bool = True) -> None:
        values = {
            "user_id": assignment.user_id,
            "project_id": assignment.project_id,
            "role_id": assignment.role_id,
        }
        with self._store.changing() as conn:
            find(conn, Kind.USER, assignment.user_id)
            find(conn, Kind.PROJECT, assignment.project_id)
            find(conn, Kind.ROLE, assignment.role_id)
            if present:
                conn.execute(sa.insert(ASSIGNMENTS).prefix_with("OR IGNORE").values(values))
            elif not conn.execute(sa.delete(ASSIGNMENTS).filter_by(**values)).rowcount:
                raise errors.NotFound(
                    "Could not find role assignment: the user does not have this role there."
                )


def _columns(kind: Kind, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be written; hashes a password, which takes its time, so do it outside of
    transactions."""
    columns = dict(values)
    _only_domain(columns.pop("domain_id", DEFAULT_DOMAIN.id))
    if columns.get("description", "") is None:
        columns["description"] = ""
    if "password" in columns:
        password = columns.pop("password")
        columns["password_hash"] = None if password is None else hash_password(password)
    known = {column.name for column in TABLES[kind].c} - {"epoch"}
    if unknown := sorted(set(columns) - known):
        raise errors.Invalid(f"A {kind.value} has no {', '.join(unknown)}.")
    return columns


def _only_domain(domain_id: str) -> None:
    if domain_id != DEFAULT_DOMAIN.id:
        raise errors.NotFound(f"Could not find domain: {domain_id}. There is only the domain 'default'.")


def _not_domain(kind: Kind) -> None:
    if kind is Kind.DOMAIN:
        raise errors.Forbidden("There is only the domain 'default', and it cannot be changed.")


def _taken(kind: Kind, values: Mapping[str, Any]) -> errors.Conflict:
    return errors.Conflict(f"There is already a {kind.value} named {values.get('name')!r}.")
