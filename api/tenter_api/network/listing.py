"""Lists of the Network API v2.0: filters by any attribute, ``fields``, ``sort_key``, ``limit`` and
``marker``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import falcon

from tenter import errors

_CONTROL = frozenset(
    {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir", "tags", "tags-any", "not-tags"}
)
_TRUE, _FALSE = {"true", "1", "yes", "on", "t"}, {"false", "0", "no", "off", "f"}
MAX_LIMIT = 1000


def query_of(req: falcon.Request) -> dict[str, list[str]]:
    """Return the query's keys, each with all its values."""
    return {key: value if isinstance(value, list) else [value] for key, value in req.params.items()}


def shaped(
    items: Sequence[Mapping[str, Any]], query: Mapping[str, list[str]], plural: str, url: str
) -> dict[str, Any]:
    """Return the body of a list: of ``items`` those that match, sorted, one page, with the fields asked for.

    Without ``limit`` everything is one page. A filter by an attribute that the items do not have is ignored,
    as the Network API does. Raises Invalid for a bad ``limit``, ``marker``, ``sort_key`` or ``sort_dir``.
    """
    found = [item for item in items if matches(item, query)]
    _sort(found, query)
    marker, limit = query.get("marker", [""])[0], _limit(query)
    if marker:
        position = next((i for i, item in enumerate(found) if item["id"] == marker), None)
        if position is None:
            raise errors.Invalid(f"The marker {marker!r} is not in the list.")
        found = found[position + 1 :]
    body: dict[str, Any] = {}
    if limit is not None and len(found) > limit:
        found = found[:limit]
        again = {**query, "marker": [found[-1]["id"]], "limit": [str(limit)]}
        body[f"{plural}_links"] = [{"rel": "next", "href": f"{url}?{urlencode(again, doseq=True)}"}]
    return {plural: [trimmed(item, query) for item in found], **body}


def matches(item: Mapping[str, Any], query: Mapping[str, list[str]]) -> bool:
    """Return whether an item has, for every attribute named, one of the values given."""
    return all(
        any(_equal(item[key], value) for value in values)
        for key, values in query.items()
        if key in item and key not in _CONTROL
    )


def trimmed(item: Mapping[str, Any], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the item with only the fields that the query names, if it names any."""
    wanted = {name for value in query.get("fields", ()) for name in value.split(",")}
    return {key: value for key, value in item.items() if not wanted or key in wanted}


def _equal(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() in (_TRUE if value else _FALSE)
    if isinstance(value, list):
        return any(_element_equal(element, text) for element in value)
    return text == ("" if value is None else str(value))


def _element_equal(element: Any, text: str) -> bool:
    """Compare an element of a list; one that is an object with ``key=value``, such as
    ``ip_address=10.0.0.5``."""
    if isinstance(element, Mapping):
        key, _, wanted = text.partition("=")
        return key in element and str(element[key]) == wanted
    return str(element) == text


def _limit(query: Mapping[str, list[str]]) -> int | None:
    text = query.get("limit", [""])[0]
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise errors.Invalid(f"Invalid value for 'limit': {text[:40]!r} is no number from 0 on.")
    return min(int(text[:9]), MAX_LIMIT) or None


def _sort(items: list[Mapping[str, Any]], query: Mapping[str, list[str]]) -> None:
    keys, directions = query.get("sort_key", []), query.get("sort_dir", [])
    if any(direction not in ("asc", "desc") for direction in directions):
        raise errors.Invalid("sort_dir must be 'asc' or 'desc'.")
    directions = directions + ["asc"] * (len(keys) - len(directions))
    for key, direction in reversed(list(zip(keys, directions))):
        if items and not isinstance(items[0].get(key), (str, int)):
            raise errors.Invalid(f"Lists cannot be sorted by {key[:80]!r}.")
        items.sort(key=lambda item: str(item[key]), reverse=direction == "desc")
