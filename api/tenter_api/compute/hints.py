"""Scheduler hints of a request for servers: what is malformed, or names what is not there, is refused at once."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from tenter import errors
from tenter.operations.placement import OTHER_HOSTS, named_by
from tenter.operations.requests import Caller
from tenter.store import instances
from tenter.store.engine import Database

MAX_NAMED = 128
"""The most servers that one hint may name."""

MAX_DEPTH = 32
"""How deep a hint, and the query that one holds, may be nested."""

OPERATORS = ("=", "<", ">", "in", "<=", ">=", "not", "or", "and")
_SHOWN = 80


def checked_hints(api_db: Database, caller: Caller, hints: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the hints. Raises Invalid, whose sentence names the hint that is malformed."""
    for hint, value in hints.items():
        if _is_deeper(value, MAX_DEPTH):
            raise _malformed(hint[:_SHOWN], f"it is nested deeper than {MAX_DEPTH} lists or objects")
    if "query" in hints:
        check_query_hint(hints["query"])
    _check_address(hints.get("build_near_host_ip"), hints.get("cidr"))
    for hint in OTHER_HOSTS:
        _check_servers(api_db, caller, hint, named_by(hints, hint))
    return hints


def _is_deeper(value: object, depth: int) -> bool:
    """Return whether a value of JSON has more than ``depth`` lists or objects within each other."""
    if not isinstance(value, (list, dict)):
        return False
    return depth == 0 or any(
        _is_deeper(each, depth - 1) for each in (value.values() if isinstance(value, dict) else value)
    )


def check_query_hint(query: object) -> None:
    """Raise Invalid unless this is a JSON query as text: a list of an operator and its terms, which may be such lists.
    An empty one asks for nothing."""
    if not isinstance(query, str):
        raise _malformed("query", "it must be the text of a JSON list, which begins with an operator")
    try:
        parsed = json.loads(query) if query.strip() else []
    except (ValueError, RecursionError):
        raise _malformed("query", f"{query[:_SHOWN]!r} is not JSON") from None
    if parsed is not None:
        _check_call(parsed, 1)


def _check_call(call: object, depth: int) -> None:
    if not isinstance(call, list):
        raise _malformed("query", "it must be a list, which begins with an operator")
    if depth > MAX_DEPTH:
        raise _malformed("query", f"it is nested deeper than {MAX_DEPTH} lists")
    if call and call[0] not in OPERATORS:
        raise _malformed("query", f"{json.dumps(call[0])[:_SHOWN]} is no operator; there are {', '.join(OPERATORS)}")
    for term in call[1:]:
        if isinstance(term, list):
            _check_call(term, depth + 1)
        elif isinstance(term, dict):
            raise _malformed("query", "an object stands where a value, a variable or a list is wanted")


def _check_address(address: object, length: object) -> None:
    if address is None and length is None:
        return
    hint = "cidr" if length is not None else "build_near_host_ip"
    try:
        known = ipaddress.ip_address("::" if address is None else str(address))
    except ValueError:
        raise _malformed("build_near_host_ip", f"{str(address)[:_SHOWN]!r} is no IP address") from None
    prefix = "24" if length is None else str(length).removeprefix("/")
    if not (prefix.isascii() and prefix.isdigit()) or len(prefix) > 3 or int(prefix) > known.max_prefixlen:
        raise _malformed(hint, f"{str(length)[:_SHOWN]!r} is no length of a prefix, from /0 to /{known.max_prefixlen}")


def _check_servers(api_db: Database, caller: Caller, hint: str, named: list[Any]) -> None:
    if len(named) > MAX_NAMED:
        raise _malformed(hint, f"it may name at most {MAX_NAMED} servers")
    uuids = {str(each): instances.usual_uuid(each) for each in named}
    for each, uuid in uuids.items():
        if uuid is None:
            raise _malformed(hint, f"{each[:_SHOWN]!r} is no UUID of a server")
    if not uuids:
        return
    places = instances.places_of(api_db, [uuid for uuid in uuids.values() if uuid is not None])
    for each, uuid in uuids.items():
        place = None if uuid is None else places.get(uuid)
        if place is None or not (caller.is_admin or place["project_id"] == caller.project_id):
            raise _malformed(hint, f"instance {each} could not be found")


def _malformed(hint: str, what: str) -> errors.Invalid:
    return errors.Invalid(f"Scheduler hint {hint}: {what}.")
