"""The conformance kit of scheduler filters."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any, ClassVar

from tenter.contracts.filter import HostFilter, Verdict
from tenter.testing.scheduling import Question, SchedulingConformance

CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


class FilterConformance(SchedulingConformance):
    """What must hold of a filter::

        class TestAcme(FilterConformance):
            plugin = AcmeFilter

    ``hosts`` and ``requests`` may be overridden with narrower strategies (see :mod:`tenter.testing.strategies`) where
    the interesting answers are rare among arbitrary hosts.
    """

    kind: ClassVar[str] = "filter"
    base = HostFilter

    def test_answers_for_every_host(self, ready: HostFilter, questions: list[Question]) -> None:
        """Every host and every request get a Verdict: missing resources, odd extra specs or hints raise nothing."""
        for question in questions:
            verdict = ready.accepts(*question)
            assert isinstance(verdict, Verdict), f"accepts() returned {verdict!r}, which is no Verdict"
            assert isinstance(verdict.ok, bool), f"Verdict.ok is {verdict.ok!r}, which is no bool"

    def test_same_question_same_answer(
        self, ready: HostFilter, make: Callable[..., Any], questions: list[Question]
    ) -> None:
        """The same host and request have the same answer, whoever was asked about in between, and from a filter that
        was constructed anew."""
        first = [ready.accepts(*question) for question in questions]
        anew = make()
        for question, answer in reversed(list(zip(questions, first, strict=True))):
            assert ready.accepts(*question) == answer, f"asked again, it says something else of {question}"
            assert anew.accepts(*question) == answer, f"constructed anew, it says something else of {question}"

    def test_changes_nothing(self, ready: HostFilter, questions: list[Question]) -> None:
        """The host and the request that a filter is shown are as before afterwards."""
        for question in questions:
            before = copy.deepcopy(question)
            ready.accepts(*question)
            assert question == before, "it changed what it was shown"

    def test_refusal_has_a_code(self, ready: HostFilter, questions: list[Question]) -> None:
        """A refusal has a stable code of lower-case words joined by dots, such as ``ram.short``."""
        for question in questions:
            verdict = ready.accepts(*question)
            if not verdict.ok:
                assert CODE.fullmatch(verdict.code), f"{question} is refused with the code {verdict.code!r}"

    def test_figures_are_json(self, ready: HostFilter, questions: list[Question]) -> None:
        """The figures of a refusal are JSON, for users read them in the explanation of a decision."""
        for question in questions:
            json.dumps(dict(ready.accepts(*question).figures), allow_nan=False)
