"""The query of an image list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import falcon

from tenter import errors
from tenter.contracts.image import ImageQuery
from tenter_api.image import schemas

DEFAULT_LIMIT = 25
MAX_LIMIT = 1000
_MANY = {
    "id": "ids",
    "name": "names",
    "status": "statuses",
    "disk_format": "disk_formats",
    "container_format": "container_formats",
}
_CONTROL = frozenset(
    {"limit", "marker", "sort", "sort_key", "sort_dir", "tag", "size_min", "size_max", "owner"}
)
_CONTROL |= {"visibility", "protected", "member_status", "os_hidden", "checksum", "os_hash_value"}


def parse(req: falcon.Request, project_id: str | None) -> ImageQuery:
    """Return what a request for a list asks. Raises Invalid, naming the parameter."""
    given = {key: values if isinstance(values, list) else [values] for key, values in req.params.items()}
    many = {field: _one_of(given[name][-1]) for name, field in _MANY.items() if name in given}
    visibility = _last(given, "visibility")
    if visibility not in (None, "all", *schemas.VISIBILITIES):
        raise errors.Invalid(f"Invalid visibility value: {visibility}.")
    known = _CONTROL | frozenset(_MANY)
    return ImageQuery(
        project_id=project_id,
        **many,
        tags=tuple(given.get("tag", ())),
        visibility=None if visibility == "all" else visibility,
        owner=_last(given, "owner"),
        protected=_boolean(given, "protected"),
        checksum=_last(given, "checksum"),
        size_min=_number(given, "size_min"),
        size_max=_number(given, "size_max"),
        properties={key: values[-1] for key, values in given.items() if key not in known},
        sort=_sort(given),
        marker=_last(given, "marker"),
        limit=min(_number(given, "limit", DEFAULT_LIMIT) or 0, MAX_LIMIT),
    )


def _last(given: Mapping[str, Sequence[str]], name: str) -> str | None:
    return given[name][-1] if name in given else None


def _one_of(value: str) -> tuple[str, ...]:
    """Return the values of ``in:a,b`` (the Image API's way to say any of them), or the one value."""
    if not value.startswith("in:"):
        return (value,)
    return tuple(part.strip().strip('"') for part in value[3:].split(",") if part.strip())


def _number(given: Mapping[str, Sequence[str]], name: str, default: int | None = None) -> int | None:
    value = _last(given, name)
    if value is None:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise errors.Invalid(f"The query parameter {name} must be a whole number, zero or more.")
    return int(value)


def _boolean(given: Mapping[str, Sequence[str]], name: str) -> bool | None:
    value = _last(given, name)
    if value is None:
        return None
    if value.lower() not in ("true", "false"):
        raise errors.Invalid(f"The query parameter {name} must be true or false.")
    return value.lower() == "true"


def _sort(given: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    if "sort" in given:
        pairs = [part.partition(":") for part in given["sort"][-1].split(",")]
        return tuple((name.strip(), way.strip() or "desc") for name, _, way in pairs)
    keys = given.get("sort_key", ["created_at"])
    ways = given.get("sort_dir", ["desc"])
    if len(ways) not in (1, len(keys)):
        raise errors.Invalid("There must be one sort_dir, or as many as there are sort_keys.")
    return tuple(zip(keys, ways if len(ways) == len(keys) else [ways[0]] * len(keys)))
