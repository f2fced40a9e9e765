"""From the query string of a list of servers to a ``ServerQuery``."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import falcon
from oslo_utils import strutils

from tenter import errors
from tenter.cells import query as conditions
from tenter.cells.query import Condition, ServerQuery, Sort
from tenter_api.compute import links
from tenter_api.compute.server_schemas import IGNORED_SORT_KEYS, INTERNAL_FILTERS
from tenter_api.compute.server_status import states_with
from tenter_api.compute.server_views import PARTIAL_SINCE
from tenter_api.validation import is_uuid, parse_time

Values = Mapping[str, list[str]]

_PAGING = frozenset({"sort_key", "sort_dir", "limit", "marker"})

_FOR_ALL = {"reservation_id": 1, "name": 1, "status": 1, "image": 1, "flavor": 1, "ip": 1, "changes-since": 1,
            "all_tenants": 1, "ip6": 5, "tags": 26, "tags-any": 26, "not-tags": 26, "not-tags-any": 26,
            "changes-before": 66, "locked": 73, "availability_zone": 83, "config_drive": 83, "key_name": 83,
            "created_at": 83, "launched_at": 83, "terminated_at": 83, "power_state": 83, "task_state": 83,
            "vm_state": 83, "progress": 83, "user_id": 83, "hostname": 90}  # fmt: skip
"""Filters that those who are no administrators may use, and since when; others are ignored."""

_EQUAL = {"image": "image_ref", "image_ref": "image_ref", "host": "host", "uuid": "uuid",
          "user_id": "user_id", "vm_state": "vm_state", "task_state": "task_state"}  # fmt: skip
_TEXT = {"name": "display_name", "display_name": "display_name", "description": "description",
         "display_description": "description", "hostname": "hostname", "key_name": "key_name", "node": "node",
         "reservation_id": "reservation_id", "availability_zone": "availability_zone",
         "root_device_name": "root_device_name", "access_ip_v4": "access_ip_v4",
         "access_ip_v6": "access_ip_v6", "auto_disk_config": "disk_config"}  # fmt: skip
_NUMBERS = ("power_state", "progress", "launch_index")
_TIMES = ("created_at", "launched_at", "terminated_at")
_NO_COLUMN = ("kernel_id", "ramdisk_id", "locked_by", "instance_type_id")

_SORT_COLUMNS = {
    "display_description": "description",
    "auto_disk_config": "disk_config",
    "locked_by": "locked",
}
_ADMIN_SORT_KEYS = ("host", "node")


def parse(req: falcon.Request, columns: tuple[str, ...], max_limit: int) -> ServerQuery:
    """Return what ``req.context.query`` (checked already) asks for. Raises Invalid, Forbidden."""
    values: Values = req.context.query
    identity = req.context.identity
    if any("\0" in value for items in values.values() for value in items):
        raise errors.Invalid("A query parameter may not hold a NUL character.")
    allowed = _allowed(values, req.context.version.minor, identity.is_admin)
    limit, marker = links.page(dict(values), max_limit)
    if marker is not None and not is_uuid(marker):
        raise errors.Invalid(f"marker [{marker[:64]}] not found")
    project_id, found = _whose(allowed, identity)
    found += _states(allowed, req.context.version.minor, identity.is_admin)
    found += _changes(allowed)
    for name, items in allowed.items():
        condition = _condition(name, items[-1])
        if condition is not None:
            found.append(condition)
    sort = _sort(values, identity.is_admin)
    return ServerQuery(columns, limit, project_id, tuple(found), marker, sort, _partial(req, values, allowed))


def _partial(req: falcon.Request, values: Values, allowed: Values) -> bool:
    """Return whether servers in cells that do not answer belong into this list: from 2.69, and only if nothing is asked
    for that they cannot be judged by (https://docs.openstack.org/api-guide/compute/down_cells.html)."""
    plain = {"all_tenants", "project_id", "tenant_id"}
    if not any(strutils.bool_from_string(value) for value in allowed.get("deleted", ())):
        plain.add("deleted")
    return req.context.version.minor >= PARTIAL_SINCE and not _PAGING & values.keys() and allowed.keys() <= plain


def _allowed(values: Values, minor: int, admin: bool) -> dict[str, list[str]]:
    allowed = {
        name: items
        for name, items in values.items()
        if name not in _PAGING and items and (admin or _FOR_ALL.get(name, 1000) <= minor or name == "deleted")
    }
    for name in values:
        if name.startswith("_") or (admin and name in INTERNAL_FILTERS):
            raise errors.Invalid(f"Invalid filter field: {name[:64]}.")
    if not admin:
        allowed.pop("deleted", None)
    return allowed


def _whose(allowed: Values, identity: Any) -> tuple[str | None, list[Condition]]:
    """Return the project whose servers are listed (None: all), and more conditions on it."""
    if not _truth(allowed, "all_tenants"):
        return identity.project_id, []
    if not identity.is_admin:
        raise errors.Forbidden(
            "Policy doesn't allow this to be done: only administrators list all projects' servers."
        )
    projects = allowed.get("project_id") or allowed.get("tenant_id")
    return (projects[-1] if projects else None), []


def _truth(allowed: Values, name: str) -> bool:
    """Return a flag: given without a value it is on. Raises Invalid."""
    if name not in allowed:
        return False
    value = allowed[name][-1]
    try:
        return not value or strutils.bool_from_string(value, strict=True)
    except ValueError:
        raise errors.Invalid(f"Invalid value {value[:64]!r} of {name}: it must be true or false.") from None


def _states(allowed: Values, minor: int, admin: bool) -> list[Condition]:
    found: list[Condition] = []
    if "status" in allowed:
        states = states_with(allowed["status"])
        if not states and minor >= 38:
            raise errors.Invalid("Invalid status value")
        if {state.vm_state for state in states} == {"deleted"} and not admin:
            raise errors.Forbidden("Only administrators may list deleted instances")
        found.append(conditions.InStates(states))
    gone = any(strutils.bool_from_string(allowed.get(name, [""])[-1]) for name in ("deleted", "soft_deleted"))
    if gone:
        # What is deleted is not kept.
        found.append(conditions.Nothing())
    return found


def _changes(allowed: Values) -> list[Condition]:
    since, before = (_time(allowed, name) for name in ("changes-since", "changes-before"))
    if since is None and before is None:
        return []
    if since is not None and before is not None and before < since:
        raise errors.Invalid("The value of changes-since must be less than or equal to changes-before.")
    return [conditions.Between("updated_at", since, before)]


def _time(allowed: Values, name: str) -> float | None:
    if name not in allowed:
        return None
    # A plus in a query string is a space, and many clients do not escape it.
    seconds = parse_time(
        allowed[name][-1].replace(" ", "+") if "T" in allowed[name][-1] else allowed[name][-1]
    )
    if seconds is None:
        raise errors.Invalid(f"Invalid filter field: {name}.")
    return seconds


def _condition(name: str, value: str) -> Condition | None:
    """Return the condition that one filter makes; None if it makes none of its own."""
    if name in _EQUAL:
        return conditions.Equals(_EQUAL[name], [value])
    if name in _TEXT:
        return conditions.Matches(_TEXT[name], value)
    if name in _NUMBERS:
        return conditions.Matches(name, value)
    if name in _TIMES:
        return conditions.Matches(name, value, _shown_time)
    make = _SPECIAL.get(name)
    return make(value) if make is not None else None


def _shown_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _locked(value: str) -> Condition:
    try:
        return conditions.Equals("locked", [strutils.bool_from_string(value, strict=True)])
    except ValueError:
        raise errors.Invalid(f"Invalid value {value[:64]!r} of locked: it must be true or false.") from None


_SPECIAL: Mapping[str, Callable[[str], Condition]] = {
    "flavor": conditions.HasFlavor,
    "ip": lambda value: conditions.HasAddress(value, 4),
    "ip6": lambda value: conditions.HasAddress(value, 6),
    "locked": _locked,
    "config_drive": lambda value: conditions.Equals("config_drive", [strutils.bool_from_string(value)]),
    "tags": lambda value: conditions.HasTags(value.split(",")),
    "tags-any": lambda value: conditions.HasTags(value.split(","), any_of=True),
    "not-tags": lambda value: conditions.HasTags(value.split(","), inverted=True),
    "not-tags-any": lambda value: conditions.HasTags(value.split(","), any_of=True, inverted=True),
}


def _sort(values: Values, admin: bool) -> tuple[Sort, ...]:
    keys = values.get("sort_key") or ["created_at"]
    directions = values.get("sort_dir") or ["desc"]
    found: dict[str, Sort] = {}
    for number, key in enumerate(keys):
        # Fewer directions than keys: the first one holds for the rest.
        direction = directions[number] if number < len(directions) else directions[0]
        if direction not in ("asc", "desc"):
            raise errors.Invalid(f"Unknown sort direction {direction[:64]!r}; it must be 'asc' or 'desc'.")
        if key in _ADMIN_SORT_KEYS and not admin:
            raise errors.Forbidden(f"Only administrators can sort servers by {key}")
        if key in IGNORED_SORT_KEYS or key in _NO_COLUMN:
            continue
        column = _SORT_COLUMNS.get(key, key)
        found.setdefault(column, Sort(column, direction == "desc"))
    return tuple(found.values()) or conditions.DEFAULT_SORT
