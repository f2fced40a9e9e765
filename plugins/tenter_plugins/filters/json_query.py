"""JsonFilter: hosts that a query in a scheduler hint picks."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tenter.contracts.filter import ACCEPT, HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter_plugins.filters import attributes
from tenter_plugins.filters.hints import hint

MAX_DEPTH = 32
"""How deep a query may be nested."""


class Malformed(ValueError):
    """The text is no query; the message says why."""


@dataclass(frozen=True)
class Call:
    """An operator and what it is given: calls, variables, and plain values."""

    compute: Callable[[Sequence[Any]], object]
    terms: tuple[Any, ...]


@dataclass(frozen=True)
class Variable:
    """``$name``, or ``$name.key`` of a mapping."""

    path: tuple[str, ...]


def _all_of(compare: Callable[[Any, Any], Any]) -> Callable[[Sequence[Any]], bool]:
    """Return what compares the first term with each of the others. What cannot be compared is not so."""

    def holds(terms: Sequence[Any]) -> bool:
        try:
            return len(terms) > 1 and all(compare(terms[0], other) for other in terms[1:])
        except TypeError:
            return False

    return holds


OPERATORS: dict[str, Callable[[Sequence[Any]], object]] = {
    "=": _all_of(operator.eq), "<": _all_of(operator.lt), ">": _all_of(operator.gt),
    "<=": _all_of(operator.le), ">=": _all_of(operator.ge),
    "in": lambda terms: len(terms) > 1 and terms[0] in terms[1:],
    "not": lambda terms: any(not term for term in terms), "or": any, "and": all,
}  # fmt: skip


def parse(query: object) -> Call | None:
    """Return a query that was given as JSON text or as what such a text means; None if it is empty. Raises
    Malformed."""
    if isinstance(query, str):
        return _parsed(query)
    return _call(query, 0)


@functools.lru_cache(maxsize=128)
def _parsed(text: str) -> Call | None:
    try:
        return _call(json.loads(text), 0)
    except Malformed:
        raise
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"It is no JSON: {exc}") from None


def _call(query: object, depth: int) -> Call | None:
    if query in ([], None, ""):
        return None
    if not isinstance(query, list):
        raise Malformed("It is not a list that begins with an operator.")
    if depth >= MAX_DEPTH:
        raise Malformed(f"It is nested deeper than {MAX_DEPTH} lists.")
    name, *terms = query
    if not isinstance(name, str) or name not in OPERATORS:
        raise Malformed(f"{json.dumps(name)[:80]} is no operator; there are {', '.join(OPERATORS)}.")
    return Call(OPERATORS[name], tuple(_term(term, depth + 1) for term in terms))


def _term(term: object, depth: int) -> object:
    if isinstance(term, list):
        return _call(term, depth) or True
    if isinstance(term, dict):
        raise Malformed("An object stands where a value, a variable or a list is wanted.")
    if isinstance(term, str) and term.startswith("$"):
        return Variable(tuple(term[1:].split(".")))
    return None if term == "" else term


class JsonFilter(HostFilter):
    """Hint ``query``: JSON such as ``["and", [">=", "$free_ram_mb", 1024], ["<", "$vcpus_used", 8]]``. Accepts hosts
    for which it is true.

    Operators: ``=``, ``<``, ``>``, ``<=``, ``>=`` (the first term compared with each of the others), ``in`` (the
    first is one of the others), ``not`` (one of the terms is false), ``or``, ``and``. Variables: see
    :mod:`tenter_plugins.filters.attributes`; a term that has no value is left out, and nothing compares with nothing.
    Codes: ``query.unmet`` (the numbers of the host that the query names), ``query.malformed`` (``error``). Source:
    Nova, admin/scheduling, JsonFilter. Unlike Nova's, ``not`` inside ``and`` and ``or`` is what it says.
    """

    contract = "filter 1.0"
    prompt = True

    def applies(self, request: PlacementRequest) -> bool:
        """Return whether there is a query."""
        return bool(hint(request, "query"))

    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return no for a host for which the query is not true."""
        asked = hint(request, "query")
        if not asked:
            return ACCEPT
        try:
            query = parse(asked)
        except Malformed as exc:
            return Verdict.reject("query.malformed", error=str(exc))
        if query is None:
            return ACCEPT
        seen: dict[str, object] = {}
        if _compute(query, host, seen):
            return ACCEPT
        return Verdict.reject("query.unmet", **seen)


def _compute(call: Call, host: HostView, seen: dict[str, object]) -> object:
    values = []
    for term in call.terms:
        if isinstance(term, Call):
            term = _compute(term, host, seen)
        elif isinstance(term, Variable):
            path, term = term.path, attributes.value(host, term.path)
            if path[0] in attributes.NUMBERS and term is not None:
                seen[path[0]] = term
        if term is not None:
            values.append(term)
    return call.compute(values)
