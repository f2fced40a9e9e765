"""The contract of identity drivers, version 1.0."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from tenter.contracts.base import Plugin

CONTRACT = "identity 1.0"


@dataclass(frozen=True)
class Identity:
    """Who is asking, as a valid token says. Roles hold what they imply (admin > manager > member > reader)."""

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


class IdentityDriver(Plugin, abc.ABC):
    """What every identity driver must do for the API to know its callers."""

    contract = CONTRACT

    @abc.abstractmethod
    def validate(self, token: str) -> Identity:
        """Return who holds the token. Raises Unauthorized if it is expired, revoked, forged or malformed."""
