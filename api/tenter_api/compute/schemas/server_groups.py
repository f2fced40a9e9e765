"""Requests about server groups."""

from __future__ import annotations

from typing import Any

from tenter.store.server_groups import AFFINITY, ANTI_AFFINITY, SOFT_AFFINITY, SOFT_ANTI_AFFINITY
from tenter_api.compute.schemas.parameters import NAME, NON_NEGATIVE, TEXT, amount, closed, query, within

HARD = (ANTI_AFFINITY, AFFINITY)
"""Policies that were there before 2.15."""

_ALL = (*HARD, SOFT_ANTI_AFFINITY, SOFT_AFFINITY)


def _policies(known: tuple[str, ...]) -> dict[str, Any]:
    # One for each group: it has always been so, though it is a list.
    one = {"type": "string", "enum": list(known)}
    return {"type": "array", "items": one, "minItems": 1, "maxItems": 1}


def _create(**properties: dict[str, Any]) -> dict[str, Any]:
    required = [name for name in properties if name != "rules"]
    return within("server_group", closed({"name": NAME, **properties}, "name", *required))


CREATE = {
    1: _create(policies=_policies(HARD)),
    15: _create(policies=_policies(_ALL)),
    64: _create(
        policy={"type": "string", "enum": list(_ALL)},
        rules=closed({"max_server_per_host": amount(1)}),
    ),
}
_PAGE = {"all_projects": TEXT, "limit": NON_NEGATIVE, "offset": NON_NEGATIVE}
LIST_QUERY = {1: query(_PAGE), 75: query(_PAGE, strict=True)}
