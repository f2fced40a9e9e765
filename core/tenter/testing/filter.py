"""The conformance kit of scheduler filters, of both kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from tenter.contracts.filter import ACCEPT, Filter, HostFilter, MaskFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import Coded, Condition, HostTable, Verdicts
from tenter.scheduler.table import read_only, table_of
from tenter.testing.scheduling import Question, SchedulingConformance, alone, contents, others

CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


class FilterConformance(SchedulingConformance):
    """What must hold of a filter, be it a rule for one host or a mask::

        class TestAcme(FilterConformance):
            plugin = AcmeFilter

    A mask is asked with a table of one host where a rule is asked with the host. ``hosts`` and ``requests`` may be
    overridden with narrower strategies (see :mod:`tenter.testing.strategies`) where the interesting answers are rare
    among arbitrary hosts.
    """

    kind: ClassVar[str] = "filter"
    base = Filter

    def test_answers_for_every_host(self, ready: Filter, questions: list[Question]) -> None:
        """Every host and every request get a Verdict: missing resources, odd extra specs or hints raise nothing."""
        for question in questions:
            answer = verdict(ready, *question)
            assert isinstance(answer, Verdict), f"accepts() returned {answer!r}, which is no Verdict"
            assert isinstance(answer.ok, bool), f"Verdict.ok is {answer.ok!r}, which is no bool"

    def test_same_question_same_answer(
        self, ready: Filter, make: Callable[..., Any], questions: list[Question]
    ) -> None:
        """The same host and request have the same answer, whoever was asked about in between, and from a filter that
        was constructed anew."""
        first = [verdict(ready, *question) for question in questions]
        anew = make()
        for question, answer in reversed(list(zip(questions, first, strict=True))):
            assert verdict(ready, *question) == answer, f"asked again, it says something else of {question}"
            assert verdict(anew, *question) == answer, f"constructed anew, it says something else of {question}"

    def test_changes_nothing(self, ready: Filter, questions: list[Question], table: HostTable) -> None:
        """The hosts and the request that a filter is shown, one by one or as a table, are as before afterwards."""
        for question in questions:
            before = contents(question)
            verdict(ready, *question)
            assert contents(question) == before, "it changed what it was shown"
        shown = [request for _, request in questions]
        before = contents((table, shown))
        for request in shown:
            verdicts(ready, table, request)
        assert contents((table, shown)) == before, "it changed the table or the request that it was shown"

    def test_refusal_has_a_code(self, ready: Filter, questions: list[Question]) -> None:
        """A refusal has a stable code of lower-case words joined by dots, such as ``ram.short``."""
        for question in questions:
            answer = verdict(ready, *question)
            if not answer.ok:
                assert CODE.fullmatch(answer.code), f"{question} is refused with the code {answer.code!r}"

    def test_figures_are_json(self, ready: Filter, questions: list[Question]) -> None:
        """The figures of a refusal are JSON, for users read them in the explanation of a decision."""
        for question in questions:
            json.dumps(dict(verdict(ready, *question).figures), allow_nan=False)

    def test_row_stands_for_itself(self, ready: Filter, questions: list[Question], table: HostTable) -> None:
        """A host that is a row among others has the verdict, the code and the figures that it has alone, wherever the
        row stands."""
        turned = read_only(table.take(np.arange(len(table))[::-1]))
        for number, (_, request) in enumerate(questions):
            among = verdicts(ready, table, request)
            assert verdicts(ready, turned, request)[::-1] == among, f"in another order the rows differ for {request}"
            for row in others(number, len(table)):
                host = questions[row][0]
                for said in (verdict(ready, host, request), *verdicts(ready, table.take(np.array([row])), request)):
                    assert said == among[row], f"{host} alone is {said}, among others {among[row]}, for {request}"

    def test_arrays_have_a_row_a_host(self, ready: Filter, questions: list[Question], table: HostTable) -> None:
        """The arrays of a mask are of bool, with a row for each of the table's; so are figures that are columns."""
        mask = _mask(ready)
        for _, request in questions:
            checked(mask.mask(table, request), table)

    def test_no_hosts(self, ready: Filter, questions: list[Question], table: HostTable) -> None:
        """A mask over a table without rows has none, be there columns or not."""
        mask = _mask(ready)
        for empty in (read_only(table_of([])), read_only(table.take(np.array([], np.int64)))):
            for _, request in questions:
                checked(mask.mask(empty, request), empty)


def _mask(plugin: Filter) -> MaskFilter:
    if not isinstance(plugin, MaskFilter):
        pytest.skip("a rule for one host makes no arrays")
    return plugin


def verdict(plugin: Filter, host: HostView, request: PlacementRequest) -> Verdict:
    """Return what a filter of either kind says of one host."""
    if isinstance(plugin, HostFilter):
        return plugin.accepts(host, request)
    return verdicts(plugin, alone(host), request)[0]


def verdicts(plugin: Filter, table: HostTable, request: PlacementRequest) -> list[Verdict]:
    """Return what a filter of either kind says of each row. Raises AssertionError for arrays that do not fit."""
    if isinstance(plugin, HostFilter):
        return [plugin.accepts(table.view(row), request) for row in range(len(table))]
    assert isinstance(plugin, MaskFilter), f"{type(plugin).__name__} is neither a HostFilter nor a MaskFilter"
    found = checked(plugin.mask(table, request), table)
    return [_of_row(found, row) for row in range(len(table))]


def checked(found: object, table: HostTable) -> Verdicts:
    """Return the answer of a mask. Raises AssertionError if it is no Verdicts whose arrays fit the table."""
    assert isinstance(found, Verdicts), f"mask() returned {found!r}, which is no Verdicts"
    for condition in found.conditions:
        assert isinstance(condition, Condition), f"{condition!r} is no Condition"
        _check_array(condition.ok, table, f"what is said with {condition.code!r}")
        assert condition.ok.dtype == np.bool_, f"{condition.code!r} has an array of {condition.ok.dtype}, not of bool"
        for name, value in condition.figures.items():
            if isinstance(value, (np.ndarray, Coded)):
                _check_array(value.codes if isinstance(value, Coded) else value, table, f"the figure {name!r}")
    return found


def _check_array(array: object, table: HostTable, what: str) -> None:
    assert isinstance(array, np.ndarray), f"{what} is {array!r}, which is no array"
    assert array.shape == (len(table),), f"{what} has the shape {array.shape} for a table of {len(table)} hosts"


def _of_row(found: Verdicts, row: int) -> Verdict:
    for condition in found.conditions:
        if not condition.ok[row]:
            return Verdict.reject(
                condition.code, **{name: _figure(each, row) for name, each in condition.figures.items()}
            )
    return ACCEPT


def _figure(value: object, row: int) -> object:
    if isinstance(value, (np.ndarray, Coded)):
        own = value[row]
        return own.item() if isinstance(own, np.generic) else own
    return value
