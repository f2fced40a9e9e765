"""Parts that many schemas share."""

from __future__ import annotations

from typing import Any

MAX_INT = 0x7FFFFFFF
NAME: dict[str, Any] = {"type": "string", "format": "name", "minLength": 1, "maxLength": 255}
TEXT: dict[str, Any] = {"type": "string"}
NON_NEGATIVE: dict[str, Any] = {
    "type": ["integer", "string"],
    "pattern": "^[0-9]*$",
    "minimum": 0,
    "minLength": 1,
}
BOOLEAN: dict[str, Any] = {
    "type": ["boolean", "string"],
    "enum": [True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
             False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no"],
}  # fmt: skip
HOST: dict[str, Any] = {"type": "string", "pattern": "^[a-zA-Z0-9-._]*$", "minLength": 1, "maxLength": 255}


def amount(least: int) -> dict[str, Any]:
    """Return the schema of a number of something, also written as a string, from ``least`` up."""
    return {"type": ["integer", "string"], "pattern": "^[0-9]+$", "minimum": least, "maximum": MAX_INT}


def closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """Return the schema of an object that has no keys but these."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def within(name: str, inner: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object whose one key ``name`` holds ``inner``."""
    return closed({name: inner}, name)


def query(parameters: dict[str, Any], strict: bool = False) -> dict[str, Any]:
    """Return the schema of a query whose parameters may come several times; ``strict`` allows no others."""
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": schema} for name, schema in parameters.items()},
        "additionalProperties": not strict,
    }


def single(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a query schema whose parameters may come only once."""
    properties = {name: {**part, "maxItems": 1} for name, part in schema["properties"].items()}
    return {**schema, "properties": properties}


def is_true(value: object) -> bool:
    """Return what a value that BOOLEAN allows means."""
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1", "on", "yes"))
