"""JSON Schemas of Image API v2: of what it takes, and the ones that it shows to clients."""

from __future__ import annotations

from typing import Any

PLAIN = (
    "id",
    "name",
    "owner",
    "status",
    "visibility",
    "disk_format",
    "container_format",
    "size",
    "checksum",
    "min_disk",
    "min_ram",
    "protected",
    "created_at",
    "updated_at",
)
"""Fields of an image that are shown as they are."""

READ_ONLY = frozenset(
    {
        "status",
        "size",
        "checksum",
        "created_at",
        "updated_at",
        "os_hash_algo",
        "os_hash_value",
        "virtual_size",
        "direct_url",
        "self",
        "file",
        "schema",
        "locations",
        "deleted",
        "deleted_at",
    }
)
"""What a client may not set."""

DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "ploop", "iso")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
VISIBILITIES = ("public", "private", "shared", "community")
MAX_PROPERTIES = 128
_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_AMOUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
TAG = {"type": "string", "minLength": 1, "maxLength": 255}

WRITABLE: dict[str, Any] = {
    "name": {"type": ["string", "null"], "maxLength": 255},
    "owner": {"type": "string", "minLength": 1, "maxLength": 64},
    "visibility": {"enum": list(VISIBILITIES)},
    "disk_format": {"enum": [None, *DISK_FORMATS]},
    "container_format": {"enum": [None, *CONTAINER_FORMATS]},
    "min_disk": _AMOUNT,
    "min_ram": _AMOUNT,
    "protected": {"type": "boolean"},
    "tags": {"type": "array", "items": TAG, "maxItems": 128},
    "os_hidden": {"enum": [False]},
}
PROPERTY = {"type": "string", "maxLength": 65535}
NAMES = {"type": "string", "minLength": 1, "maxLength": 255}

CREATE = {
    "type": "object",
    "properties": {**WRITABLE, "id": {"type": "string", "pattern": _UUID}},
    "additionalProperties": PROPERTY,
    "propertyNames": NAMES,
    "maxProperties": MAX_PROPERTIES + len(WRITABLE) + 1,
}
"""``POST /v2/images``: whatever is no field is a free-form property."""

UPDATED = {"type": "object", "properties": WRITABLE, "additionalProperties": PROPERTY, "propertyNames": NAMES}
"""What the operations of a ``PATCH`` amount to, by name."""

PATCH = {
    "type": "array",
    "maxItems": 2 * MAX_PROPERTIES,
    "items": {
        "type": "object",
        "properties": {
            "op": {"enum": ["add", "replace", "remove"]},
            "path": {"type": "string", "pattern": "^/[^/]+$", "maxLength": 600},
            "value": {},
        },
        "required": ["op", "path"],
        "if": {"properties": {"op": {"enum": ["add", "replace"]}}},
        "then": {"required": ["value"]},
        "additionalProperties": False,
    },
}
"""``PATCH /v2/images/{id}``: a JSON patch (RFC 6902) of whole attributes."""


def _shown(name: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(WRITABLE.get(name, {"type": ["string", "null"]}))
    if name in ("size", "virtual_size"):
        found = {"type": ["integer", "null"]}
    return found | {"readOnly": True} if name in READ_ONLY else found


_OTHERS = ("os_hash_algo", "os_hash_value", "os_hidden", "virtual_size", "tags", "self", "file", "schema")
IMAGE = {
    "name": "image",
    "properties": {name: _shown(name) for name in (*PLAIN, *_OTHERS)},
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
"""``GET /v2/schemas/image``."""
IMAGES = {
    "name": "images",
    "properties": {
        "images": {"type": "array", "items": IMAGE},
        "schema": {"type": "string"},
        "next": {"type": "string"},
        "first": {"type": "string"},
    },
    "links": [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
"""``GET /v2/schemas/images``."""
