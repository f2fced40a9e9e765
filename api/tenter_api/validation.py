"""JSON Schema for request bodies and queries, with the Compute API's rules.

Schemas are plain dicts; each is compiled once, when it is first needed. Two rules differ from plain JSON
Schema, as clients of the Compute API expect: ``minimum`` and ``maximum`` also bind numbers that are written
as strings, and 1.0 is no integer.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import threading
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import falcon
import jsonschema
import orjson
from jsonschema import validators

from tenter import errors

Schema = Mapping[str, Any]
_SHOWN = 120


def _is_integer(checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, str):
        return None
    if len(value) > 40:
        digits = value.removeprefix("-")
        return float("inf" if digits == value else "-inf") if digits.isdecimal() else None
    try:
        return int(value)
    except ValueError:
        try:
            return float(value)
        except ValueError:
            return None


def _bounds(keyword: str) -> Callable[..., Iterator[jsonschema.ValidationError]]:
    original = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def check(validator: Any, bound: Any, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
        number = _number(value)
        if number is not None:
            yield from original(validator, bound, number, schema) or ()

    return check


def _search(pattern: str, text: str) -> bool:
    # Python's $ also matches before a final newline, which no name may have.
    if pattern.endswith("$") and not pattern.endswith("\\$"):
        pattern = pattern[:-1] + r"\Z"
    return re.search(pattern, text) is not None


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(value, str) and not _search(pattern, value):
        yield jsonschema.ValidationError(f"{_short(value)} does not match {pattern!r}")


_Validator = validators.extend(
    jsonschema.Draft202012Validator,
    {
        "minimum": _bounds("minimum"),
        "maximum": _bounds("maximum"),
        "exclusiveMinimum": _bounds("exclusiveMinimum"),
        "pattern": _pattern,
    },
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)
FORMATS = jsonschema.FormatChecker(formats=())


def _format(name: str) -> Callable[[Callable[[str], bool]], Callable[[str], bool]]:
    def register(check: Callable[[str], bool]) -> Callable[[str], bool]:
        FORMATS.checks(name)(lambda value: not isinstance(value, str) or check(value))
        return check

    return register


def printable(text: str) -> bool:
    """Return whether all characters are printable; of separators only spaces are."""
    return (text.isascii() and text.isprintable()) or all(_printable(char) for char in text)


def _printable(char: str) -> bool:
    category = unicodedata.category(char)
    return category == "Zs" or category[0] not in "CZ"


@_format("name")
def is_name(text: str) -> bool:
    """Return whether this is a name: printable, and with no space at either end."""
    return printable(text) and text == text.strip()


@_format("printable")
def _is_printable(text: str) -> bool:
    return printable(text)


@_format("az_name")
def _is_az_name(text: str) -> bool:
    return is_name(text) and ":" not in text


@_format("uuid")
def is_uuid(text: str) -> bool:
    """Return whether this is a UUID, with or without dashes."""
    try:
        return uuid.UUID(text).hex == text.replace("-", "").lower() and len(text) in (32, 36)
    except ValueError:
        return False


@_format("ipv4")
def _is_ipv4(text: str) -> bool:
    return _parses(ipaddress.IPv4Address, text)


@_format("ipv6")
def _is_ipv6(text: str) -> bool:
    return "%" not in text and _parses(ipaddress.IPv6Address, text)


@_format("base64")
def _is_base64(text: str) -> bool:
    # Line breaks are allowed, as clients wrap what they encode.
    packed = "".join(text.split())
    return len(packed) % 4 == 0 and re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", packed, re.ASCII) is not None


@_format("regex")
def _is_regex(text: str) -> bool:
    if not text:
        return False
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


@_format("date-time")
def _is_time(text: str) -> bool:
    return parse_time(text) is not None


def parse_time(text: str) -> float | None:
    """Return an ISO 8601 time (UTC unless it says otherwise) as seconds since the epoch; None if bad."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _parses(kind: Callable[[str], object], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


_compiled: dict[int, tuple[Schema, Any]] = {}
_lock = threading.Lock()


def _validator(schema: Schema) -> Any:
    found = _compiled.get(id(schema))
    if found is None:
        with _lock:
            # The schema is kept with its validator, so that its id is not used again.
            found = _compiled[id(schema)] = (schema, _Validator(schema, format_checker=FORMATS))
    return found[1]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _first_error(schema: Schema, value: object) -> jsonschema.ValidationError | None:
    validator = _validator(schema)
    try:
        found = next(validator.iter_errors(value), None)
    except (TypeError, RecursionError, OverflowError) as exc:
        raise errors.Invalid("The request cannot be checked: its values are of strange types.") from exc
    return found


def _reason(error: jsonschema.ValidationError) -> str:
    # jsonschema's sentences carry the value, which may be a megabyte long.
    if error.validator in ("type", "enum", "const"):
        return f"It must be {_wanted(error)}."
    if error.validator == "format":
        return f"It is not a valid {error.validator_value}."
    if error.validator in ("oneOf", "anyOf"):
        return "It has none of the forms that are allowed."
    return error.message if len(error.message) < 400 else f"It breaks the rule {error.validator!r}."


def _wanted(error: jsonschema.ValidationError) -> str:
    wanted = error.validator_value
    if isinstance(wanted, list):
        return "one of " + ", ".join(str(item) for item in wanted)
    return f"of type {wanted}" if error.validator == "type" else repr(wanted)


def check_body(schema: Schema, body: object) -> None:
    """Check a request's body. Raises Invalid with a sentence that names the key and what is wrong with it."""
    error = _first_error(schema, body)
    if error is None:
        return
    path = ".".join(str(part) for part in error.absolute_path)
    if not path:
        raise errors.Invalid(f"Invalid request body. {_reason(error)}")
    value = _short(error.instance)
    raise errors.Invalid(
        f"Invalid input for field/attribute {path[-_SHOWN:]}. Value: {value}. {_reason(error)}"
    )


def check_query(schema: Schema, req: falcon.Request) -> dict[str, list[str]]:
    """Return the query's parameters that the schema names, each with all its values.

    What the schema does not name is dropped, or refused if its ``additionalProperties`` is False.
    Raises Invalid.
    """
    if not req.query_string:
        return {}
    query = {key: value if isinstance(value, list) else [value] for key, value in req.params.items()}
    error = _first_error(schema, query)
    if error is not None:
        if error.absolute_path:
            name = error.absolute_path[0]
            raise errors.Invalid(
                f"Invalid input for query parameter {name}. Value: {_short(error.instance)}. {_reason(error)}"
            )
        raise errors.Invalid(f"Invalid query. {_reason(error)}")
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    return {
        key: values
        for key, values in query.items()
        if key in known or any(_search(pattern, key) for pattern in patterns)
    }


def read_json(req: falcon.Request) -> Any:
    """Return the request's body, parsed.

    Raises Invalid (no JSON), TooLarge; falcon's 415 for other content types.
    """
    content_type = (req.content_type or "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise falcon.HTTPUnsupportedMediaType(
            description="The body must be JSON (Content-Type: application/json)."
        )
    limit = getattr(req.context, "max_body_bytes", 1 << 20)
    chunked = req.content_length is None and req.get_header("Transfer-Encoding")
    try:
        data = (req.stream if chunked else req.bounded_stream).read(limit + 1)
    except Exception as exc:  # whatever the server's parser says of a broken body: each has its own errors
        raise errors.Invalid("The request's body broke off, or its framing is broken.") from exc
    if len(data) > limit:
        raise errors.TooLarge(f"The request's body is larger than {limit} bytes.")
    if not data:
        raise errors.Invalid("The request must have a body of JSON.")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise errors.Invalid(f"The request's body is not valid JSON: {str(exc)[:200]}.") from exc
