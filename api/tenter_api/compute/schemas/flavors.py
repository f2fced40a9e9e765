"""Requests about flavors."""

from __future__ import annotations

from typing import Any

from tenter_api.compute.schemas.parameters import (
    BOOLEAN,
    NAME,
    NON_NEGATIVE,
    TEXT,
    amount,
    closed,
    query,
    within,
)

_FLAVOR: dict[str, Any] = {
    "name": NAME,
    "id": {
        "type": ["string", "number", "null"],
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^(?! )[a-zA-Z0-9. _-]+(?<! )$",
    },
    "ram": amount(1),
    "vcpus": amount(1),
    "disk": amount(0),
    "OS-FLV-EXT-DATA:ephemeral": amount(0),
    "swap": amount(0),
    "os-flavor-access:is_public": BOOLEAN,
}
_RXTX = {
    "rxtx_factor": {
        "type": ["number", "string"],
        "pattern": r"^[0-9]+(\.[0-9]+)?$",
        "exclusiveMinimum": 0,
        "maximum": 3.40282e38,
    }
}
_DESCRIPTION = {"description": {"type": ["string", "null"], "format": "printable", "maxLength": 65535}}


def _create(*parts: dict[str, Any]) -> dict[str, Any]:
    properties = {name: schema for part in (_FLAVOR, *parts) for name, schema in part.items()}
    return within("flavor", closed(properties, "name", "ram", "vcpus", "disk"))


CREATE = {1: _create(_RXTX), 55: _create(_RXTX, _DESCRIPTION), 102: _create(_DESCRIPTION)}
UPDATE = {55: within("flavor", closed(_DESCRIPTION, "description"))}

_SORT_KEYS = [
    *("created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public"),
    *("memory_mb", "name", "root_gb", "swap", "updated_at", "vcpu_weight", "vcpus"),
]


def _list(sort_keys: list[str], **more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "limit": NON_NEGATIVE,
        "marker": TEXT,
        "is_public": TEXT,
        "minRam": TEXT,
        "minDisk": TEXT,
        "sort_key": {"type": "string", "enum": sort_keys},
        "sort_dir": {"type": "string", "enum": ["asc", "desc"]},
        **more,
    }


_WITH_RXTX = [*_SORT_KEYS, "rxtx_factor"]
LIST_QUERY = {
    1: query(_list(_WITH_RXTX)),
    75: query(_list(_WITH_RXTX), strict=True),
    102: query(_list(_SORT_KEYS, name=TEXT), strict=True),
}

_SPECS: dict[str, Any] = {
    "type": "object",
    "patternProperties": {"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": ["string", "number"], "maxLength": 255}},
    "additionalProperties": False,
}
SPECS_CREATE = {1: within("extra_specs", _SPECS)}
SPEC_UPDATE = {1: {**_SPECS, "minProperties": 1, "maxProperties": 1}}

_TENANT = closed({"tenant": {"type": "string", "minLength": 1, "maxLength": 64}}, "tenant")
ADD_ACCESS = {1: within("addTenantAccess", _TENANT)}
REMOVE_ACCESS = {1: within("removeTenantAccess", _TENANT)}
