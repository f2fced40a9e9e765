"""The contract of identity drivers, version 1.0."""

from __future__ import annotations

import abc
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenter.contracts.base import Driver, Power

CONTRACT = "identity 1.0"


@dataclass(frozen=True)
class Identity:
    """Who is asking, as a valid token says. Roles hold what they imply (admin > manager > member >
    reader)."""

    user_id: str
    user_name: str
    project_id: str | None
    project_name: str | None
    roles: frozenset[str]
    domain_id: str = "default"
    expires_at: float = 0.0
    """Seconds since the epoch."""

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles


@dataclass(frozen=True)
class ValidateRequest:
    """Who holds this token?"""

    token: str = field(repr=False)


class IdentityDriver(Driver):
    """What every identity driver must do for the API to know its callers."""

    contract = CONTRACT

    @abc.abstractmethod
    def validate(self, request: ValidateRequest) -> Identity:
        """Return who holds the token. Raises Unauthorized if it is expired, revoked, forged or malformed."""


class Kind(enum.Enum):
    """Kinds of things that an identity service keeps. The value is the word of the Identity API v3."""

    DOMAIN = "domain"
    PROJECT = "project"
    USER = "user"
    ROLE = "role"


@dataclass(frozen=True)
class Entity:
    """A domain, project, user or role. ``extra`` holds what only some kinds have: ``email`` and
    ``default_project_id`` of a user. Roles and domains belong to no domain."""

    kind: Kind
    id: str
    name: str
    domain_id: str | None = None
    enabled: bool = True
    description: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EntityQuery:
    """Which entities to list. None means any. ``user_id`` asks for the projects that the user has a role
    on."""

    kind: Kind
    name: str | None = None
    domain_id: str | None = None
    enabled: bool | None = None
    user_id: str | None = None


@dataclass(frozen=True)
class Assignment:
    """The user has the role on the project."""

    user_id: str
    project_id: str
    role_id: str


@dataclass(frozen=True)
class AssignmentQuery:
    """Which assignments to list. None means any. ``effective`` adds those that a role implies."""

    user_id: str | None = None
    project_id: str | None = None
    role_id: str | None = None
    effective: bool = False


@dataclass(frozen=True)
class Scope:
    """What a token is wanted for: a project by id or by name in a domain, or (all None) nothing.

    ``default`` asks for the user's default project, or nothing if there is none.
    """

    project_id: str | None = None
    project_name: str | None = None
    domain_id: str | None = None
    default: bool = False


@dataclass(frozen=True)
class AuthRequest:
    """Credentials (a user by id, or by name in a domain, with a password; or a token; or both) and a
    scope."""

    scope: Scope
    user_id: str | None = None
    user_name: str | None = None
    user_domain: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Token:
    """A valid token and what it stands for. Times in seconds since the epoch; ``roles`` with what they
    imply."""

    secret: str = field(repr=False)
    user: Entity
    project: Entity | None
    roles: tuple[Entity, ...]
    methods: tuple[str, ...]
    issued_at: float
    expires_at: float
    audit_ids: tuple[str, ...]


@dataclass(frozen=True)
class Bootstrap:
    """The first administrator. ``password`` is None if the user was there already."""

    user: str
    password: str | None = field(repr=False)
    project: str


class SupportsIdentityApi(Power):
    """Power ``identity_api``: to be the identity service of an embedded fabric: all that Identity API v3 needs.

    Who may call what is for the API to decide; a driver only keeps and checks.
    """

    capability = "identity_api"

    @abc.abstractmethod
    def bootstrap(self, reset_password: bool = False) -> Bootstrap:
        """Make the project ``admin`` and in it the user ``admin`` with that role, where missing. A new user's
        password is random and returned this once; so is a new one with ``reset_password``."""

    @abc.abstractmethod
    def authenticate(self, request: AuthRequest) -> Token:
        """Return a new token. Raises Unauthorized, with one message for whatever of the credentials was
        wrong."""

    @abc.abstractmethod
    def describe_token(self, token: str) -> Token:
        """Return all about a valid token. Raises Unauthorized as ``validate`` does."""

    @abc.abstractmethod
    def revoke(self, token: str) -> None:
        """Make a valid token invalid. Raises Unauthorized if it is not valid."""

    @abc.abstractmethod
    def show(self, kind: Kind, entity_id: str) -> Entity:
        """Return one entity. Raises NotFound."""

    @abc.abstractmethod
    def list(self, query: EntityQuery) -> Sequence[Entity]:
        """Return the entities asked for, by name."""

    @abc.abstractmethod
    def create(self, kind: Kind, values: Mapping[str, Any]) -> Entity:
        """Make an entity of ``values`` (fields of Entity and ``extra``, and a user's ``password``).

        Raises Conflict if the name is taken, Forbidden for a kind that cannot be made, NotFound for its
        domain.
        """

    @abc.abstractmethod
    def update(self, kind: Kind, entity_id: str, values: Mapping[str, Any]) -> Entity:
        """Change an entity. Raises NotFound, Conflict, Forbidden. A new password or ``enabled=False`` makes
        the user's tokens invalid."""

    @abc.abstractmethod
    def delete(self, kind: Kind, entity_id: str) -> None:
        """Delete an entity with its assignments. Raises NotFound, Forbidden."""

    @abc.abstractmethod
    def assignments(self, query: AssignmentQuery) -> Sequence[Assignment]:
        """Return the assignments asked for."""

    @abc.abstractmethod
    def assign(self, assignment: Assignment, present: bool = True) -> None:
        """Make an assignment (making it again is no error), or take it away. Raises NotFound for an unknown
        user, project or role, and for taking away what is not there."""

    @abc.abstractmethod
    def change_password(self, user_id: str, original: str, password: str) -> None:
        """Change a password that the user knows; the user's tokens become invalid. Raises Unauthorized."""
