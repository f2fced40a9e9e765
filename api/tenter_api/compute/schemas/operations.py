"""Requests about operations; our own, so they are strict at every microversion."""

from __future__ import annotations

from tenter.cells.operations import STATES
from tenter_api.compute.schemas.parameters import BOOLEAN, HOST, NON_NEGATIVE, query, single

_UUID = {"type": "string", "format": "uuid"}
_MARKER = {"type": "string", "pattern": "^[0-9]{1,19}\\.[0-9a-f-]{36}$"}
LIST_QUERY = {
    1: single(
        query(
            {
                "state": {"type": "string", "enum": sorted(STATES)},
                "kind": {"type": "string", "pattern": "^[a-z_]{1,32}$"},
                "server": _UUID,
                "host": HOST,
                "all_tenants": BOOLEAN,
                "limit": {**NON_NEGATIVE, "pattern": "^[0-9]{1,9}$", "minimum": 1},
                "marker": _MARKER,
            },
            strict=True,
        )
    )
}
SHOW_QUERY = {1: query({}, strict=True)}
