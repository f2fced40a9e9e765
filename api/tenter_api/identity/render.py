"""What the Identity API v3 answers with, in its own form."""

from __future__ import annotations

import datetime
import http
from collections.abc import Sequence
from typing import Any

from tenter.contracts.identity import Entity, Kind, Token

DOMAIN = {"id": "default", "name": "Default"}


def render_error(status: int, message: str, kind: str) -> dict[str, Any]:
    """Return an error's body: ``{"error": {"code": 404, "message": "…", "title": "Not Found"}}``."""
    try:
        title = http.HTTPStatus(status).phrase
    except ValueError:
        title = kind
    return {"error": {"code": status, "message": message, "title": title}}


def render_time(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC with microseconds."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def render_version(root: str) -> dict[str, Any]:
    """Return the description of v3; ``root`` is the URL of the service."""
    media = {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{root}/v3/"}],
        "media-types": [media],
    }


def render_entity(entity: Entity, root: str) -> dict[str, Any]:
    """Return a domain, project, user or role."""
    found: dict[str, Any] = {
        "id": entity.id,
        "name": entity.name,
        "description": entity.description,
        "options": {},
        "links": {"self": f"{root}/v3/{entity.kind.value}s/{entity.id}"},
        **entity.extra,
    }
    if entity.kind is not Kind.ROLE:
        found["enabled"] = entity.enabled
    if entity.kind is not Kind.DOMAIN:
        found["domain_id"] = entity.domain_id
    if entity.kind is Kind.PROJECT:
        found |= {"is_domain": False, "parent_id": entity.domain_id}
    if entity.kind is Kind.USER:
        found["password_expires_at"] = None
    else:
        found["tags"] = []
    return found


def render_list(kind: Kind, entities: Sequence[Entity], root: str, uri: str) -> dict[str, Any]:
    """Return a list; ``uri`` is the URL that was asked."""
    plural = f"{kind.value}s"
    shown = [render_entity(entity, root) for entity in entities]
    return {plural: shown, "links": {"self": uri, "previous": None, "next": None}}


def render_token(token: Token, catalog: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return what a token stands for, without the token itself; the catalog of a scoped one if it is
    given."""
    user = {"id": token.user.id, "name": token.user.name, "domain": DOMAIN, "password_expires_at": None}
    found: dict[str, Any] = {
        "methods": list(token.methods),
        "user": user,
        "audit_ids": list(token.audit_ids),
        "issued_at": render_time(token.issued_at),
        "expires_at": render_time(token.expires_at),
    }
    if token.project is not None:
        found["project"] = {"id": token.project.id, "name": token.project.name, "domain": DOMAIN}
        found["is_domain"] = False
        found["roles"] = [{"id": role.id, "name": role.name} for role in token.roles]
        if catalog is not None:
            found["catalog"] = catalog
    return {"token": found}
