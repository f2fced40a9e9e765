"""Nova's own schemas, as an oracle: closed schemas of what is answered, and schemas of what may be asked."""

from __future__ import annotations

import functools
import ipaddress
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
from oslo_utils import timeutils

SCHEMAS = Path(__file__).parents[3] / "data" / "nova-schemas"
FORMATS = jsonschema.FormatChecker(formats=("uuid",))


@FORMATS.checks("ipv4", ValueError)
def _ipv4(value: Any) -> bool:
    return not isinstance(value, str) or bool(ipaddress.IPv4Address(value))


@FORMATS.checks("ipv6", ValueError)
def _ipv6(value: Any) -> bool:
    return not isinstance(value, str) or bool(ipaddress.IPv6Address(value))


@FORMATS.checks("date-time", ValueError)
def _time(value: Any) -> bool:
    return not isinstance(value, str) or bool(timeutils.parse_isotime(value))


@FORMATS.checks("mac-address")
def _mac(value: Any) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", value) is not None


@FORMATS.checks("uri")
def _uri(value: Any) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and urlsplit(value).netloc)


@functools.cache
def _by_version(name: str) -> dict[int, Any]:
    found = json.loads((SCHEMAS / f"{name}.json").read_text())
    return {int(version.split(".")[1]): schema for version, schema in found.items()}


def schema(name: str, minor: int) -> Any:
    """Return Nova's schema at a microversion."""
    by_version = _by_version(name)
    return by_version[max(since for since in by_version if since <= minor)]


@functools.cache
def _validator(name: str, since: int) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_by_version(name)[since], format_checker=FORMATS)


def check(name: str, minor: int, value: Any) -> None:
    """Fail unless Nova's schema of that name allows the value at that microversion."""
    since = max(since for since in _by_version(name) if since <= minor)
    _validator(name, since).validate(value)
