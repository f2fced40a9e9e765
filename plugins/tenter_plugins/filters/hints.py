"""Scheduler hints: whatever a user wrote."""

from __future__ import annotations

from tenter.contracts.scheduling import PlacementRequest

MALFORMED = "hint.malformed"
"""The code of a refusal of all hosts, for the hint that the figure ``hint`` names has a value that says nothing."""


def hint(request: PlacementRequest, name: str) -> object:
    """Return the value of a hint, None if there is none. A list of one is its element, as for Nova."""
    value = request.hints.get(name)
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def words(request: PlacementRequest, name: str) -> list[str] | None:
    """Return the texts that a hint lists, empty if there is no hint; None if it is malformed."""
    value = hint(request, name) or []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None
