"""Requests about key pairs."""

from __future__ import annotations

from typing import Any

from tenter_api.compute.schemas.parameters import NAME, NON_NEGATIVE, TEXT, closed, query, within

_PLAIN_NAME = {**NAME, "pattern": r"^[_\- a-zA-Z0-9]+$"}
_NAME_292 = {**NAME, "pattern": r"^[_\-\@\. a-zA-Z0-9]+$"}
_KEY = {"public_key": {"type": "string", "maxLength": 16384}}
_TYPE = {"type": {"type": "string", "enum": ["ssh", "x509"]}}
_USER = {"user_id": {"type": "string", "maxLength": 64}}


def _create(
    name: dict[str, Any], *parts: dict[str, Any], required: tuple[str, ...] = ("name",)
) -> dict[str, Any]:
    properties: dict[str, Any] = {"name": name, **_KEY}
    for part in parts:
        properties.update(part)
    return within("keypair", closed(properties, *required))


CREATE = {
    1: _create(_PLAIN_NAME),
    2: _create(_PLAIN_NAME, _TYPE),
    10: _create(_PLAIN_NAME, _TYPE, _USER),
    92: _create(_NAME_292, _TYPE, _USER, required=("name", "public_key")),
}
_OWNER = {"user_id": TEXT}
_PAGE = {**_OWNER, "limit": NON_NEGATIVE, "marker": TEXT}
LIST_QUERY = {1: query({}), 10: query(_OWNER), 35: query(_PAGE), 75: query(_PAGE, strict=True)}
ITEM_QUERY = {1: query({}), 10: query(_OWNER), 75: query(_OWNER, strict=True)}
