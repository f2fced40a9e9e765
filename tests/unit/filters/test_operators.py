"""The operators of extra specs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenter.testing.strategies import json_values
from tenter_plugins.filters.operators import Malformed, parse


@pytest.mark.parametrize(
    ("spec", "value", "holds"),
    [
        # Nova's guide: numbers
        (">= 5", 5, True), (">= 5", "4.9", False), ("= 48", 48, True), ("= 48", 64, True), ("= 48", 47, False),
        (">=24", 24, True), (">=24", 23, False), ("== 2000000", 2000000, True), ("== 2000000", "2000001", False),
        ("!= 5", 4, True), ("!= 5", "5.0", False), ("<= 10", 10, True), ("<= 10", 11, False),
        # strings
        ("s== 2.1.0", "2.1.0", True), ("s== 2.1.0", "2.1", False), ("s!= a", "b", True), ("s!= a", "a", False),
        ("s< b", "a", True), ("s< b", "b", False), ("s<= b", "b", True), ("s<= b", "c", False),
        ("s> a", "b", True), ("s> a", "a", False), ("s>= b", "b", True), ("s>= b", "a", False),
        # parts, elements, choices
        ("<in> gcc", "gcc-12", True), ("<in> gcc", "clang", False), ("<in> aes", ["aes", "mmx"], True),
        ("<in> ae", ["aes", "mmx"], False), ("<all-in> aes mmx", ["mmx", "aes", "sse"], True),
        ("<all-in> aes mmx", ["aes"], False), ("<all-in> aes mmx", "aes,mmx", True),
        ("<or> fpu <or> gpu", "gpu", True), ("<or> fpu <or> gpu", "cpu", False), ("<or> 1 <or> 2", 2, True),
        # oslo.utils
        ("<range-in> [ 10 20 ]", 20, True), ("<range-in> [ 10 20 )", 20, False), ("<range-in> ( 10 20 ]", 10, False),
        ("<range-in> [ 10 20 ]", 10, True), ("<range-in> [ 10 20 ]", "x", False),
        # none
        ("fpu", "fpu", True), ("fpu", "fpus", False), ("two words", "two words", True), ("", "", True),
        ("=fpu", "=fpu", True), ("> 5", "> 5", True), ("> 5", 6, False), ("True", True, True),
        # further words are left alone, and what is no number is compared with none
        ("s== a b", "a", True), ("!= 5", "five", False), ("== 5", None, False), (">= 5", [5], False),
        (">= 5", "nan", False), ("<= 5", "-inf", False),
    ],
)  # fmt: skip
def test_what_a_spec_says(spec: str, value: object, holds: bool) -> None:
    assert parse(spec)(value) is holds


@pytest.mark.parametrize(
    "spec",
    [">= x", "==", "s==", "<in>", "<all-in>", "<or>", "= nan", "<= 1e999", "<range-in> [ 1 ]", "<range-in> 1 2 3 4",
     "<range-in> [ 2 1 ]", "<range-in> [ a 2 ]", "<range-in> [( 1 2 ]"],
)  # fmt: skip
def test_a_malformed_spec_is_said_to_be_one(spec: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(spec)
    assert str(caught.value)


OPERATORS = st.sampled_from(
    ("=", "==", "!=", ">=", "<=", "s==", "s!=", "s<", "s<=", "s>", "s>=", "<in>", "<all-in>", "<or>", "<range-in>", "")
)


@given(OPERATORS, st.lists(st.text(max_size=6) | st.sampled_from("[(])<0") | st.floats().map(str)), json_values())
@example("<range-in>", ["[", "1", "2", "]"], 1)
def test_any_text_is_a_rule_or_malformed_and_a_rule_answers_of_anything(op: str, words: list[str], value: Any) -> None:
    try:
        rule = parse(" ".join([op, *words]))
    except Malformed:
        return
    assert rule(value) in (True, False)


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))
def test_numbers_are_compared_as_numbers(have: int, asked: int) -> None:
    holds = {op: parse(f"{op} {asked}")(str(have)) for op in ("=", "==", "!=", ">=", "<=")}
    assert holds == {
        "=": have >= asked, "==": have == asked, "!=": have != asked, ">=": have >= asked, "<=": have <= asked,
    }  # fmt: skip
    assert parse(f"<range-in> [ {asked} {asked} ]")(have) is (have == asked)


@given(st.text(st.characters(categories=["L", "N"]), min_size=1), st.text(st.characters(categories=["L", "N"])))
def test_strings_are_compared_as_strings(asked: str, have: str) -> None:
    assert parse(f"s== {asked}")(have) is (have == asked) is not parse(f"s!= {asked}")(have)
    assert parse(f"s<= {asked}")(have) is not parse(f"s> {asked}")(have)
    assert parse(f"s>= {asked}")(have) is not parse(f"s< {asked}")(have)
    assert parse(f"<in> {asked}")(have) is (asked in have)
    assert parse(f"<or> x{asked} <or> {asked}")(have) is (have in (asked, f"x{asked}"))
