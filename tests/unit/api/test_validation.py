"""The rules in which our JSON Schema differs from the plain one, and what it says."""

from __future__ import annotations

from typing import Any

import falcon.testing
import pytest

from tenter import errors
from tenter_api import validation


def accepts(schema: dict[str, Any], value: object) -> bool:
    try:
        validation.check_body(schema, value)
    except errors.Invalid:
        return False
    return True


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [1, -1], [1.0, True, "1"]),
        ({"minimum": 2, "maximum": 5}, [2, "5", 2.5, "x", None], [1, "6", "1", "9" * 60]),
        ({"minimum": -9}, ["-9", 1], [-10, "-10", "-" + "9" * 60, "-" + "9" * 5000, "-" + "0" * 60 + "7"]),
        ({"exclusiveMinimum": 0}, [1, "0.1"], [0, "0", -1]),
        ({"pattern": "^a+$"}, ["a", 5], ["a\n", "ab", ""]),
        ({"format": "name"}, ["a", "a b", "é", 5], [" a", "a ", "a\n", "\x00", "\u2028", "\u3000a"]),
        ({"format": "az_name"}, ["a"], ["a:b"]),
        ({"format": "uuid"}, ["11111111-1111-4111-8111-111111111111", "1" * 32], ["1", "{" + "1" * 32 + "}", "x" * 36]),
        ({"format": "ipv4"}, ["192.0.2.1"], ["192.0.2", "1.2.3.256", "::1", ""]),
        ({"format": "ipv6"}, ["::1", "2001:db8::1"], ["192.0.2.1", "fe80::1%eth0", "x"]),
        ({"format": "base64"}, ["", "YQ==", "YWJj\nYWJj"], ["YQ=", "?", "é==="]),
        ({"format": "regex"}, ["a.*"], ["", "(", "a{99999999999}"]),
        ({"format": "date-time"}, ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.1+02:00"], ["x", "", "2026-13-01"]),
    ],
)  # fmt: skip
def test_rules(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not accepts(schema, value)] == []
    assert [value for value in bad if accepts(schema, value)] == []


SCHEMA = {
    "type": "object",
    "properties": {
        "server": {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": False}
    },
    "required": ["server"],
}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "server"),
        ({"server": {"name": 5}}, "server.name"),
        ({"server": {"colour": 5}}, "colour"),
        ({"server": 1}, "server"),
        ([], "object"),
    ],
)
def test_messages_name_the_key(body: object, words: str) -> None:
    with pytest.raises(errors.Invalid, match=words):
        validation.check_body(SCHEMA, body)


def test_messages_do_not_repeat_a_megabyte() -> None:
    with pytest.raises(errors.Invalid) as caught:
        validation.check_body({"type": "object", "additionalProperties": False}, {"x" * 1_000_000: 1})
    assert len(str(caught.value)) < 1000
    with pytest.raises(errors.Invalid) as caught:
        validation.check_body({"properties": {"a": {"maxLength": 1}}}, {"a": "x" * 1_000_000})
    assert len(str(caught.value)) < 1000


def request(query: str) -> falcon.Request:
    return falcon.Request(falcon.testing.create_environ("/", query_string=query))


def test_queries_keep_what_is_known() -> None:
    schema = {
        "type": "object",
        "properties": {"limit": {"type": "array", "items": {"type": "string", "pattern": "^[0-9]+$"}}},
        "patternProperties": {"^_": {"type": "array"}},
    }
    assert validation.check_query(schema, request("")) == {}
    assert validation.check_query(schema, request("limit=1&limit=2&x=3&_y=4")) == {"limit": ["1", "2"], "_y": ["4"]}
    with pytest.raises(errors.Invalid, match="limit"):
        validation.check_query(schema, request("limit=x"))
    with pytest.raises(errors.Invalid, match="'x'"):
        validation.check_query({**schema, "additionalProperties": False}, request("x=3"))


def test_times() -> None:
    assert validation.parse_time("1970-01-01T00:01:00") == 60
    assert validation.parse_time("1970-01-01T02:00:00+02:00") == 0
    assert validation.parse_time("never") is None
