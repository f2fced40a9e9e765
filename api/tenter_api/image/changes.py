"""From what a client sends to the fields of an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import falcon
import orjson

from tenter import errors
from tenter.contracts.identity import Identity
from tenter.contracts.image import Image
from tenter_api import validation
from tenter_api.image import schemas

PATCH_TYPES = (
    "application/openstack-images-v2.1-json-patch",
    "application/openstack-images-v2.0-json-patch",
    "application/json-patch+json",
)
_FIELDS = frozenset(schemas.WRITABLE) | {"id"}
_EMPTY: Mapping[str, Any] = {"name": None, "min_disk": 0, "min_ram": 0, "tags": [], "protected": False}
"""Fields that a patch may remove, and what they are then."""


def creation(body: Any, identity: Identity) -> dict[str, Any]:
    """Return the fields of a new image. Raises Invalid, Forbidden."""
    if isinstance(body, dict):
        _refuse_read_only(body)
    validation.check_body(schemas.CREATE, body)
    values = {key: value for key, value in body.items() if key in _FIELDS and key != "os_hidden"}
    values["properties"] = {key: value for key, value in body.items() if key not in _FIELDS}
    values.setdefault("owner", identity.project_id)
    check_allowed(values, identity)
    return _tidy(values)


def read_patch(req: falcon.Request) -> list[dict[str, Any]]:
    """Return the operations of a patch. Raises Invalid, TooLarge; falcon's 415 for other content types."""
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if kind not in PATCH_TYPES:
        raise falcon.HTTPUnsupportedMediaType(description=f"The body must be of type {PATCH_TYPES[0]}.")
    limit = getattr(req.context, "max_body_bytes", 1 << 20)
    data = req.bounded_stream.read(limit + 1)
    if len(data) > limit:
        raise errors.TooLarge(f"The request's body is larger than {limit} bytes.")
    try:
        operations: list[dict[str, Any]] = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise errors.Invalid(f"The request's body is not valid JSON: {str(exc)[:200]}.") from exc
    validation.check_body(schemas.PATCH, operations)
    return operations


def patched(image: Image, operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the fields that a patch changes. Raises Invalid, Forbidden (read-only), Conflict (nothing to
    remove)."""
    fields: dict[str, Any] = {}
    properties = dict(image.properties)
    for operation in operations:
        name = operation["path"][1:].replace("~1", "/").replace("~0", "~")
        _refuse_read_only([name], schemas.READ_ONLY | {"id"})
        if operation["op"] == "remove":
            _remove(name, fields, properties)
            continue
        validation.check_body(schemas.UPDATED, {name: operation["value"]})
        if name in _FIELDS:
            fields[name] = operation["value"]
        elif operation["op"] == "replace" and name not in properties:
            raise errors.Conflict(f"Property {name} does not exist.")
        else:
            properties[name] = operation["value"]
    if len(properties) > schemas.MAX_PROPERTIES:
        raise errors.TooLarge(f"An image may have at most {schemas.MAX_PROPERTIES} properties.")
    fields.pop("os_hidden", None)
    if properties != image.properties:
        fields["properties"] = properties
    return _tidy(fields)


def check_allowed(values: Mapping[str, Any], identity: Identity) -> None:
    """Raise Forbidden for what only administrators may set."""
    if identity.is_admin:
        return
    if values.get("visibility") == "public":
        raise errors.Forbidden("Only an administrator may make an image public.")
    if values.get("owner", identity.project_id) != identity.project_id:
        raise errors.Forbidden(f"You are not permitted to create images owned by {values['owner']!r}.")


def _refuse_read_only(names: Iterable[str], read_only: frozenset[str] = schemas.READ_ONLY) -> None:
    for name in names:
        if name in read_only:
            raise errors.Forbidden(f"Attribute '{name}' is read-only.")


def _remove(name: str, fields: dict[str, Any], properties: dict[str, Any]) -> None:
    if name in _EMPTY:
        fields[name] = _EMPTY[name]
    elif name in _FIELDS:
        raise errors.Forbidden(f"Attribute '{name}' may not be removed.")
    elif name not in properties:
        raise errors.Conflict(f"Property {name} does not exist.")
    else:
        del properties[name]


def _tidy(values: dict[str, Any]) -> dict[str, Any]:
    if "tags" in values:
        values["tags"] = tuple(dict.fromkeys(values["tags"]))
    return values
