"""The operators of extra specs: ``>= 4``, ``<in> gpu``, ``<or> fpu <or> gpu``, or just a value.

Those of Nova's guide (admin/scheduling, ComputeCapabilitiesFilter), and ``<range-in>`` of oslo.utils.

===============================  ====================================================================================
``= N``, ``>= N``                as a number at least N
``== N``, ``!= N``, ``<= N``     as a number equal to N, not equal to it, at most N
``s== S``, ``s!= S``             as a string equal to S, not equal to it
``s< S``, ``s<= S`` …            as a string before S, …; also ``s>`` and ``s>=``
``<in> S``                       S is a part of the string, or an element of the list
``<all-in> A B …``               all of them are
``<or> A <or> B …``              equal to one of them
``<range-in> [ 10 20 )``         between the numbers; a round bracket leaves its end out
anything else                    equal to the whole text
===============================  ====================================================================================

An operator takes one word (``<all-in>`` and ``<or>`` any number), further ones are ignored, as by Nova. An operator
of numbers may stand close to its number (``>=24``). What is no number is neither equal nor unequal to one.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

Rule = Callable[[object], bool]


class Malformed(ValueError):
    """The text begins with an operator, but what follows is nothing that the operator could use."""


_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.ge, "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_STRING: dict[str, Callable[[Any, Any], bool]] = {
    "s==": operator.eq, "s!=": operator.ne,
    "s<": operator.lt, "s<=": operator.le, "s>": operator.gt, "s>=": operator.ge,
}  # fmt: skip
_CLOSE = re.compile(r"(==|!=|>=|<=|=)([-+]?[0-9.].*)", re.ASCII | re.DOTALL)


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Rule:
    """Return the rule that a value of an extra spec is. Raises Malformed."""
    words = text.split()
    if words and words[0] not in _OPERATORS and (close := _CLOSE.fullmatch(words[0])) and _number(close[2]) is not None:
        words[:1] = close.groups()
    if not words or words[0] not in _OPERATORS:
        return functools.partial(_same, text)
    if len(words) == 1:
        raise Malformed(f"{words[0]} stands alone.")
    return _OPERATORS[words[0]](words[0], words[1:])


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _wanted(word: str) -> float:
    number = _number(word)
    if number is None:
        raise Malformed(f"{word} is no number.")
    return number


def _same(text: str, value: object) -> bool:
    return str(value) == text


def _numeric(name: str, words: Sequence[str]) -> Rule:
    compare, wanted = _NUMERIC[name], _wanted(words[0])

    def rule(value: object) -> bool:
        number = _number(value)
        return number is not None and compare(number, wanted)

    return rule


def _string(name: str, words: Sequence[str]) -> Rule:
    compare, wanted = _STRING[name], words[0]
    return lambda value: compare(str(value), wanted)


def _holds(value: object) -> Callable[[str], bool]:
    """Return what says whether a word is an element of a list, or a part of a string."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return {str(element) for element in value}.__contains__
    return str(value).__contains__


def _in(name: str, words: Sequence[str]) -> Rule:
    wanted = words if name == "<all-in>" else words[:1]
    return lambda value: all(map(_holds(value), wanted))


def _or(name: str, words: Sequence[str]) -> Rule:
    choices = frozenset(words[::2])  # every other word is the operator again
    return lambda value: str(value) in choices


def _range(name: str, words: Sequence[str]) -> Rule:
    if len(words) < 4 or words[0] not in ("[", "(") or words[3] not in ("]", ")"):
        raise Malformed("<range-in> is followed by a bracket, two numbers, and a bracket.")
    low, high = _wanted(words[1]), _wanted(words[2])
    if low > high:
        raise Malformed(f"{words[1]} is larger than {words[2]}.")
    above, below = (operator.ge if words[0] == "[" else operator.gt), (operator.le if words[3] == "]" else operator.lt)

    def rule(value: object) -> bool:
        number = _number(value)
        return number is not None and above(number, low) and below(number, high)

    return rule


_OPERATORS: dict[str, Callable[[str, Sequence[str]], Rule]] = {
    **dict.fromkeys(_NUMERIC, _numeric), **dict.fromkeys(_STRING, _string),
    "<in>": _in, "<all-in>": _in, "<or>": _or, "<range-in>": _range,
}  # fmt: skip
