"""Requests about quotas."""

from __future__ import annotations

from typing import Any

from tenter.store.quota import NETWORK, NO_FILES, RESOURCES
from tenter_api.compute.schemas.parameters import BOOLEAN, MAX_INT, TEXT, closed, query, within

_LIMIT: dict[str, Any] = {
    "type": ["integer", "string"],
    "pattern": "^-?[0-9]+$",
    "minimum": -1,
    "maximum": MAX_INT,
}


def _limits(without: tuple[str, ...], **more: dict[str, Any]) -> dict[str, Any]:
    return closed({**{name: _LIMIT for name in RESOURCES if name not in without}, **more})


UPDATE = {
    1: within("quota_set", _limits((), force=BOOLEAN)),
    36: within("quota_set", _limits(NETWORK, force=BOOLEAN)),
    57: within("quota_set", _limits(NETWORK + NO_FILES, force=BOOLEAN)),
}
CLASS_UPDATE = {
    1: within("quota_class_set", _limits(())),
    50: within("quota_class_set", _limits(NETWORK)),
    57: within("quota_class_set", _limits(NETWORK + NO_FILES)),
}
_USER = {"user_id": TEXT}
QUERY = {1: query(_USER), 75: query(_USER, strict=True)}
DEFAULTS_QUERY = {1: query({})}
