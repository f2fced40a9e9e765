"""The driver: credentials to tokens, tokens to identities."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.contracts.base import Capability, Description, PluginSetup
from tenter.contracts.identity import (
    Assignment,
    AssignmentQuery,
    AuthRequest,
    Bootstrap,
    Entity,
    EntityQuery,
    Identity,
    IdentityDriver,
    Kind,
    Scope,
    SupportsIdentityApi,
    Token,
    ValidateRequest,
)
from tenter_plugins.identity.local import passwords
from tenter_plugins.identity.local.directory import DEFAULT_DOMAIN, Directory, entity, roles_of
from tenter_plugins.identity.local.options import OPTS, SECTION
from tenter_plugins.identity.local.schema import (
    ASSIGNMENTS,
    METADATA,
    PROJECTS,
    REVOCATIONS,
    ROLES,
    USERS,
    Store,
)
from tenter_plugins.identity.local.tokens import Claims, Sealer, TokenCache, new_audit_id, refused
from tenter_plugins.sqlite import Database

LOG = logging.getLogger(__name__)
ADMIN = "admin"


class LocalIdentity(IdentityDriver, SupportsIdentityApi):
    """Users, projects and roles of one domain in a file.

    A token that was validated once is known in memory until something in the file changes; then it is looked
    at again. So whatever is disabled, removed or revoked counts at once in the process that did it, and in
    others on the same file after ``refresh_interval``.
    """

    contract = "identity 1.0"
    section = SECTION
    options = OPTS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        setup.state_dir.chmod(0o700)
        options = setup.conf[self.section]
        self._lifetime = options.token_lifetime
        self._sealer = Sealer(setup.state_dir / "token.key")
        self._cache = TokenCache(options.token_cache_size)
        self._store = Store(Database(setup.state_dir / "identity.sqlite", METADATA), options.refresh_interval)
        self._directory = Directory(self._store)

    def close(self) -> None:
        self._store.close()

    def describe(self) -> Description:
        return Description("local", {SupportsIdentityApi.capability: Capability(True)})

    def validate(self, request: ValidateRequest) -> Identity:
        token = request.token
        generation = self._store.generation()
        identity = self._cache.get(token, generation)
        if identity is None:
            claims = self._sealer.open(token)
            with self._store.reading() as conn:
                identity = _identity(_describe(conn, token, claims))
            self._cache.put(token, generation, identity)
        if identity.expires_at <= time.time():
            self._cache.forget(token)
            raise refused()
        return identity

    def describe_token(self, token: str) -> Token:
        claims = self._valid(token)
        with self._store.reading() as conn:
            return _describe(conn, token, claims)

    def revoke(self, token: str) -> None:
        claims = self._valid(token)
        with self._store.changing() as conn:
            conn.execute(sa.delete(REVOCATIONS).where(REVOCATIONS.c.expires_at < time.time()))
            row = {"audit_id": claims.audit_ids[0], "expires_at": claims.expires_at}
            conn.execute(sa.insert(REVOCATIONS).prefix_with("OR IGNORE").values(row))

    def authenticate(self, request: AuthRequest) -> Token:
        parent = self._valid(request.token) if request.token is not None else None
        row = self._check_password(request) if request.password is not None else None
        if parent is None and row is None:
            raise wrong_credentials()
        user_id = row["id"] if row is not None else parent.user_id if parent is not None else ""
        if parent is not None and parent.user_id != user_id:
            raise wrong_credentials()
        generation = self._store.generation()
        with self._store.reading() as conn:
            user = conn.execute(sa.select(USERS).where(USERS.c.id == user_id)).mappings().first()
            if user is None or not user["enabled"] or (row is not None and user["epoch"] != row["epoch"]):
                raise wrong_credentials()
            project_id = _scoped(conn, user, request.scope)
            claims = self._new_claims(user, project_id, parent, row is not None)
            token = _describe(conn, self._sealer.seal(claims), claims)
        self._cache.put(token.secret, generation, _identity(token))
        return token

    def _new_claims(
        self, user: sa.RowMapping, project_id: str | None, parent: Claims | None, by_password: bool
    ) -> Claims:
        """Return a new token's claims. A token got for a token lives no longer than that one."""
        now = time.time()
        methods = {"password"} if by_password else set()
        expires, audit_ids = now + self._lifetime, [new_audit_id()]
        if parent is not None:
            methods |= {"token", *parent.methods}
            expires = min(expires, parent.expires_at)
            audit_ids.append(parent.audit_ids[-1])
        return Claims(
            user["id"], user["epoch"], project_id, tuple(sorted(methods)), now, expires, tuple(audit_ids)
        )

    def _valid(self, token: str) -> Claims:
        self.validate(ValidateRequest(token))
        return self._sealer.open(token)

    def _check_password(self, request: AuthRequest) -> sa.RowMapping:
        """Return the user's row. Whatever is wrong, it takes as long and says the same."""
        named = (
            USERS.c.id == request.user_id if request.user_id else USERS.c.name == (request.user_name or "")
        )
        with self._store.reading() as conn:
            row = conn.execute(sa.select(USERS).where(named)).mappings().first()
        kept = row["password_hash"] if row is not None else None
        good = passwords.verify(request.password or "", kept)
        here = request.user_id is not None or request.user_domain in (
            None,
            DEFAULT_DOMAIN.id,
            DEFAULT_DOMAIN.name,
        )
        if row is None or not good or not here or not row["enabled"]:
            LOG.info("Authentication failed for user %s", request.user_id or request.user_name)
            raise wrong_credentials()
        return row

    def bootstrap(self, reset_password: bool = False) -> Bootstrap:
        with self._store.reading() as conn:
            there = conn.execute(sa.select(USERS.c.id).where(USERS.c.name == ADMIN)).first() is not None
        password = secrets.token_urlsafe(18) if reset_password or not there else None
        kept = passwords.hash_password(password) if password else None
        with self._store.changing() as conn:
            project_id = _ensure(conn, PROJECTS, enabled=True, description="The administrators' project")
            before = conn.execute(sa.select(USERS.c.id).where(USERS.c.name == ADMIN)).scalar()
            if before is not None and not reset_password:
                return Bootstrap(ADMIN, None, ADMIN)
            user_id = _ensure(conn, USERS, enabled=True, description="", epoch=0)
            secret = {"password_hash": kept, "epoch": USERS.c.epoch + 1, "enabled": True}
            conn.execute(sa.update(USERS).where(USERS.c.id == user_id).values(secret))
            role_id = conn.execute(sa.select(ROLES.c.id).where(ROLES.c.name == ADMIN)).scalar_one()
            row = {"user_id": user_id, "project_id": project_id, "role_id": role_id}
            conn.execute(sa.insert(ASSIGNMENTS).prefix_with("OR IGNORE").values(row))
        return Bootstrap(ADMIN, password, ADMIN)

    def change_password(self, user_id: str, original: str, password: str) -> None:
        before = self._check_password(AuthRequest(Scope(), user_id=user_id, password=original))
        kept = passwords.hash_password(password)
        with self._store.changing() as conn:
            same = (USERS.c.id == user_id) & (USERS.c.epoch == before["epoch"])
            values = {"password_hash": kept, "epoch": USERS.c.epoch + 1}
            if not conn.execute(sa.update(USERS).where(same).values(values)).rowcount:
                raise wrong_credentials()

    def show(self, kind: Kind, entity_id: str) -> Entity:
        return self._directory.show(kind, entity_id)

    def list(self, query: EntityQuery) -> Sequence[Entity]:
        return self._directory.list(query)

    def create(self, kind: Kind, values: Mapping[str, Any]) -> Entity:
        return self._directory.create(kind, values)

    def update(self, kind: Kind, entity_id: str, values: Mapping[str, Any]) -> Entity:
        return self._directory.update(kind, entity_id, values)

    def delete(self, kind: Kind, entity_id: str) -> None:
        self._directory.delete(kind, entity_id)

    def assignments(self, query: AssignmentQuery) -> Sequence[Assignment]:
        return self._directory.assignments(query)

    def assign(self, assignment: Assignment, present: bool = True) -> None:
        self._directory.assign(assignment, present)


def wrong_credentials() -> errors.Unauthorized:
    """Return the error for any credentials that are not right; it does not say what was wrong."""
    return errors.Unauthorized("The request you have made requires authentication.")


def _ensure(conn: sa.Connection, table: sa.Table, **values: object) -> str:
    """Return the id of the row named ``admin``, made of ``values`` if it is missing."""
    found = conn.execute(sa.select(table.c.id).where(table.c.name == ADMIN)).scalar()
    if found is None:
        found = uuid.uuid4().hex
        conn.execute(sa.insert(table).values(id=found, name=ADMIN, **values))
    return str(found)


def _describe(conn: sa.Connection, token: str, claims: Claims) -> Token:
    """Return a token as it stands now. Raises Unauthorized if it no longer counts."""
    revoked = sa.exists().where(REVOCATIONS.c.audit_id == claims.audit_ids[0]).label("revoked")
    user = conn.execute(sa.select(USERS, revoked).where(USERS.c.id == claims.user_id)).mappings().first()
    if user is None or user["revoked"] or not user["enabled"] or user["epoch"] != claims.epoch:
        raise refused()
    project: sa.RowMapping | None = None
    roles: tuple[Entity, ...] = ()
    if claims.project_id is not None:
        of_token = sa.select(PROJECTS).where(PROJECTS.c.id == claims.project_id)
        project = conn.execute(of_token).mappings().first()
        roles = roles_of(conn, claims.user_id, claims.project_id)
        if project is None or not project["enabled"] or not roles:
            raise refused()
    return Token(
        secret=token,
        user=entity(Kind.USER, user),
        project=entity(Kind.PROJECT, project) if project is not None else None,
        roles=roles,
        methods=claims.methods,
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        audit_ids=claims.audit_ids,
    )


def _identity(token: Token) -> Identity:
    return Identity(
        user_id=token.user.id,
        user_name=token.user.name,
        project_id=token.project.id if token.project else None,
        project_name=token.project.name if token.project else None,
        roles=frozenset(role.name for role in token.roles),
        domain_id=DEFAULT_DOMAIN.id,
        expires_at=token.expires_at,
    )


def _scoped(conn: sa.Connection, user: sa.RowMapping, scope: Scope) -> str | None:
    """Return the id of the project asked for, or None if none was. Raises Unauthorized if the user may
    not."""
    if scope.default:
        usual = dataclasses.replace(scope, project_id=user["default_project_id"], default=False)
        try:
            return _scoped(conn, user, usual)
        except errors.Unauthorized:
            return None
    if scope.project_id is None and scope.project_name is None:
        return None
    named = PROJECTS.c.id == scope.project_id if scope.project_id else PROJECTS.c.name == scope.project_name
    here = scope.project_id is not None or scope.domain_id in (None, DEFAULT_DOMAIN.id, DEFAULT_DOMAIN.name)
    project = conn.execute(sa.select(PROJECTS).where(named)).mappings().first()
    if project is None or not here or not project["enabled"] or not roles_of(conn, user["id"], project["id"]):
        raise wrong_credentials()
    return str(project["id"])
