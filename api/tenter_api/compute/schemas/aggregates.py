"""Requests about host aggregates."""

from __future__ import annotations

from typing import Any

from tenter_api.compute.schemas.parameters import HOST, NAME, closed, within

ZONE: dict[str, Any] = {"type": ["string", "null"], "format": "az_name", "minLength": 1, "maxLength": 255}
_SPACED_NAME = {"type": "string", "format": "printable", "pattern": r"\S", "minLength": 1, "maxLength": 255}

CREATE = {1: within("aggregate", closed({"name": NAME, "availability_zone": ZONE}, "name"))}
UPDATE = {
    1: within("aggregate", {**closed({"name": _SPACED_NAME, "availability_zone": ZONE}), "minProperties": 1}),
}

_METADATA = {
    "type": "object",
    "properties": {"availability_zone": ZONE},
    "patternProperties": {"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": ["string", "null"], "maxLength": 255}},
    "additionalProperties": False,
}
_HOST = closed({"host": HOST}, "host")
ADD_HOST = {1: within("add_host", _HOST)}
REMOVE_HOST = {1: within("remove_host", _HOST)}
SET_METADATA = {1: within("set_metadata", closed({"metadata": _METADATA}, "metadata"))}
