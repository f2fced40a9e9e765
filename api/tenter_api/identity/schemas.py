"""JSON Schemas of the bodies of Identity API v3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenter.contracts.identity import Kind

_ID = {"type": "string", "minLength": 1, "maxLength": 64}
_ID_OR_NULL = {**_ID, "type": ["string", "null"]}
_TEXT_OR_NULL = {"type": ["string", "null"], "maxLength": 65535}
_PASSWORD = {"type": "string", "minLength": 1, "maxLength": 4096}
_NONE = {"type": "object", "maxProperties": 0}


def _name(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": r"\S"}


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    found = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": list(required)}


_DOMAIN = _object(id=_ID, name=_name(255)) | {"minProperties": 1}
_PROJECT = _object(id=_ID, name=_name(64), domain=_DOMAIN) | {"minProperties": 1}
_USER = _object(("password",), id=_ID, name=_name(255), domain=_DOMAIN, password=_PASSWORD)
_USER["anyOf"] = [{"required": ["id"]}, {"required": ["name"]}]
_SCOPE = {
    "type": ["object", "string"],
    "properties": {
        "project": _PROJECT,
        "domain": _DOMAIN,
        "system": {"type": "object"},
        "unscoped": {"type": "object"},
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "pattern": "^unscoped$",
}
_METHODS = {
    "type": "array",
    "items": {"enum": ["password", "token"]},
    "minItems": 1,
    "uniqueItems": True,
}
_IDENTITY = _object(
    ("methods",),
    methods=_METHODS,
    password=_object(("user",), user=_USER),
    token=_object(("id",), id={"type": "string"}),
)
AUTH = _object(("auth",), auth=_object(("identity",), identity=_IDENTITY, scope=_SCOPE))
"""``POST /v3/auth/tokens``."""

PASSWORD = _object(
    ("user",),
    user=_object(("password", "original_password"), password=_PASSWORD, original_password=_PASSWORD),
)
"""``POST /v3/users/{id}/password``."""

_COMMON = {"description": _TEXT_OR_NULL, "options": _NONE}
_FIELDS: Mapping[Kind, Mapping[str, Any]] = {
    Kind.PROJECT: {
        "name": _name(64),
        "enabled": {"type": "boolean"},
        "domain_id": _ID_OR_NULL,
        "parent_id": {"enum": [None, "default"]},
        "is_domain": {"enum": [False]},
        "tags": {"type": "array", "maxItems": 0},
        **_COMMON,
    },
    Kind.USER: {
        "name": _name(255),
        "enabled": {"type": "boolean"},
        "domain_id": _ID_OR_NULL,
        "email": {"type": ["string", "null"], "maxLength": 255},
        "default_project_id": _ID_OR_NULL,
        "password": {**_PASSWORD, "type": ["string", "null"]},
        **_COMMON,
    },
    Kind.ROLE: {"name": _name(255), "domain_id": {"type": "null"}, **_COMMON},
    Kind.DOMAIN: {"name": _name(64), "enabled": {"type": "boolean"}, **_COMMON},
}
IGNORED = frozenset({"options", "parent_id", "is_domain", "tags"})
"""Keys that clients send and that can have but one value here."""

CREATE = {
    kind: _object((kind.value,), **{kind.value: _object(("name",), **fields)})
    for kind, fields in _FIELDS.items()
}
UPDATE = {
    kind: _object((kind.value,), **{kind.value: _object((), **fields)}) for kind, fields in _FIELDS.items()
}
