"""The conformance kit of scheduler weighers, of both kinds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import HostTable
from tenter.contracts.weigher import ColumnWeigher, HostWeigher, Weigher
from tenter.scheduler.table import read_only, table_of
from tenter.testing.scheduling import Question, SchedulingConformance, alone, contents, others

CLOSE = 1e-12
"""By how much a weight may differ (relatively) from itself in another row: arrays are computed in other steps."""


class WeigherConformance(SchedulingConformance):
    """What must hold of a weigher, be it one of a number or of a column::

        class TestAcme(WeigherConformance):
            plugin = AcmeWeigher

    A column is asked with a table of one host where a number is asked with the host. ``hosts`` and ``requests`` may be
    overridden with narrower strategies, as for filters.
    """

    kind: ClassVar[str] = "weigher"
    base = Weigher

    def test_weight_is_finite(self, ready: Weigher, questions: list[Question]) -> None:
        """Every host has a finite weight for every request: missing resources, odd extra specs or hints raise
        nothing."""
        for question in questions:
            found = weight(ready, *question)
            assert _is_finite(found), f"the weight of {question} is {found!r}"

    def test_same_question_same_answer(
        self, ready: Weigher, make: Callable[..., Any], questions: list[Question]
    ) -> None:
        """The same host and request have the same weight, whoever was asked about in between, and from a weigher that
        was constructed anew."""
        first = [weight(ready, *question) for question in questions]
        anew = make()
        for question, answer in reversed(list(zip(questions, first, strict=True))):
            assert weight(ready, *question) == answer, f"asked again, it says something else of {question}"
            assert weight(anew, *question) == answer, f"constructed anew, it says something else of {question}"

    def test_changes_nothing(self, ready: Weigher, questions: list[Question], table: HostTable) -> None:
        """The hosts and the request that a weigher is shown, one by one or as a table, are as before afterwards."""
        for question in questions:
            before = contents(question)
            weight(ready, *question)
            assert contents(question) == before, "it changed what it was shown"
        shown = [request for _, request in questions]
        before = contents((table, shown))
        for request in shown:
            weights(ready, table, request)
        assert contents((table, shown)) == before, "it changed the table or the request that it was shown"

    def test_multiplier_is_finite(self, ready: Weigher) -> None:
        """The multiplier is one finite number, the same whenever it is asked for."""
        assert _is_finite(ready.multiplier()), f"the multiplier is {ready.multiplier()!r}"
        assert ready.multiplier() == ready.multiplier()

    def test_aggregate_multiplier_is_a_key(self, ready: Weigher) -> None:
        """The key by which aggregates set another multiplier is a word, or empty if they cannot."""
        key = ready.aggregate_multiplier
        assert isinstance(key, str) and len(key) <= 255, f"aggregate_multiplier is {key!r}"
        assert not any(letter.isspace() for letter in key), f"aggregate_multiplier is {key!r}, which is no word"

    def test_row_stands_for_itself(self, ready: Weigher, questions: list[Question], table: HostTable) -> None:
        """A host that is a row among others has the weight that it has alone, wherever the row stands."""
        turned = read_only(table.take(np.arange(len(table))[::-1]))
        for number, (_, request) in enumerate(questions):
            among = weights(ready, table, request)
            for said, own in zip(reversed(weights(ready, turned, request)), among, strict=True):
                assert _same(said, own), f"in another order the rows differ for {request}: {said}, {own}"
            for row in others(number, len(table)):
                host = questions[row][0]
                for said in (weight(ready, host, request), *weights(ready, table.take(np.array([row])), request)):
                    assert _same(said, among[row]), f"{host} alone has {said}, among others {among[row]}, for {request}"

    def test_arrays_have_a_row_a_host(self, ready: Weigher, questions: list[Question], table: HostTable) -> None:
        """A column is an array of float64 or int64 with a row for each of the table's."""
        column = _column(ready)
        for _, request in questions:
            checked(column.weights(table, request), table)

    def test_no_hosts(self, ready: Weigher, questions: list[Question], table: HostTable) -> None:
        """The column of a table without rows has none, be there columns or not."""
        column = _column(ready)
        for empty in (read_only(table_of([])), read_only(table.take(np.array([], np.int64)))):
            for _, request in questions:
                checked(column.weights(empty, request), empty)


def _column(plugin: Weigher) -> ColumnWeigher:
    if not isinstance(plugin, ColumnWeigher):
        pytest.skip("a number for one host makes no array")
    return plugin


def weight(plugin: Weigher, host: HostView, request: PlacementRequest) -> float:
    """Return what a weigher of either kind gives one host."""
    if isinstance(plugin, HostWeigher):
        return plugin.weigh(host, request)
    return weights(plugin, alone(host), request)[0]


def weights(plugin: Weigher, table: HostTable, request: PlacementRequest) -> list[float]:
    """Return what a weigher of either kind gives each row. Raises AssertionError for an array that does not fit."""
    if isinstance(plugin, HostWeigher):
        return [plugin.weigh(table.view(row), request) for row in range(len(table))]
    assert isinstance(plugin, ColumnWeigher), f"{type(plugin).__name__} is neither a HostWeigher nor a ColumnWeigher"
    return list(checked(plugin.weights(table, request), table).tolist())


def checked(found: object, table: HostTable) -> np.ndarray[Any, Any]:
    """Return the answer of a column weigher. Raises AssertionError if it is no array of numbers that fits the table."""
    assert isinstance(found, np.ndarray), f"weights() returned {found!r}, which is no array"
    assert found.shape == (len(table),), f"the array has the shape {found.shape} for a table of {len(table)} hosts"
    assert found.dtype in (np.float64, np.int64), f"the array is of {found.dtype}, not of float64 or int64"
    return found


def _same(one: float, other: float) -> bool:
    return one == other or math.isclose(one, other, rel_tol=CLOSE)


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
