"""Links as the Compute API gives them, and paging of lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import falcon

from tenter_api.middleware import COMPUTE_PREFIX


def self_and_bookmark(req: falcon.Request, collection: str, item: str) -> list[dict[str, str]]:
    """Return the two links of an item: with the version in the path, and without."""
    base, root = req.context.base_url, req.context.root
    tail = f"/{collection}/{item}"
    return [
        {"rel": "self", "href": base + root + tail},
        {"rel": "bookmark", "href": base + root[len(COMPUTE_PREFIX) :] + tail},
    ]


def linker(req: falcon.Request, collection: str) -> tuple[str, str]:
    """Return the beginnings of the two links of a collection's items, for rendering many."""
    base, root = req.context.base_url, req.context.root
    return f"{base}{root}/{collection}/", f"{base}{root[len(COMPUTE_PREFIX) :]}/{collection}/"


def next_link(req: falcon.Request, path: str, marker: str) -> list[dict[str, str]]:
    """Return the link to the next page: the query of this request with its marker replaced."""
    query = [(key, value) for key, value in _pairs(req) if key != "marker"] + [("marker", marker)]
    return [{"rel": "next", "href": f"{req.context.base_url}{req.context.root}/{path}?{urlencode(query)}"}]


def _pairs(req: falcon.Request) -> list[tuple[str, str]]:
    return [
        (key, value)
        for key, values in req.params.items()
        for value in (values if isinstance(values, list) else [values])
    ]


def page(query: dict[str, list[str]], max_limit: int) -> tuple[int, str | None]:
    """Return the page's size (at most ``max_limit``) and the marker that a checked query asks for."""
    limits, markers = query.get("limit"), query.get("marker")
    limit = max_limit
    if limits and len(limits[-1]) < 10:
        limit = min(int(limits[-1]), max_limit)
    return limit, markers[-1] if markers else None


def more(items: Sequence[Any], limit: int) -> bool:
    """Return whether a page is full, so that a link to the next one is due."""
    return bool(items) and len(items) == limit
