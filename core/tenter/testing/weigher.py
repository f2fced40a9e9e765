"""The conformance kit of scheduler weighers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar

from tenter.contracts.weigher import HostWeigher
from tenter.testing.scheduling import Question, SchedulingConformance


class WeigherConformance(SchedulingConformance):
    """What must hold of a weigher::

        class TestAcme(WeigherConformance):
            plugin = AcmeWeigher

    ``hosts`` and ``requests`` may be overridden with narrower strategies, as for filters.
    """

    kind: ClassVar[str] = "weigher"
    base = HostWeigher

    def test_weight_is_finite(self, ready: HostWeigher, questions: list[Question]) -> None:
        """Every host has a finite weight for every request: missing resources, odd extra specs or hints raise
        nothing."""
        for question in questions:
            weight = ready.weigh(*question)
            assert _is_finite(weight), f"the weight of {question} is {weight!r}"

    def test_same_question_same_answer(
        self, ready: HostWeigher, make: Callable[..., Any], questions: list[Question]
    ) -> None:
        """The same host and request have the same weight, whoever was asked about in between, and from a weigher that
        was constructed anew."""
        first = [ready.weigh(*question) for question in questions]
        anew = make()
        for question, answer in reversed(list(zip(questions, first, strict=True))):
            assert ready.weigh(*question) == answer, f"asked again, it says something else of {question}"
            assert anew.weigh(*question) == answer, f"constructed anew, it says something else of {question}"

    def test_changes_nothing(self, ready: HostWeigher, questions: list[Question]) -> None:
        """The host and the request that a weigher is shown are as before afterwards."""
        for question in questions:
            before = copy.deepcopy(question)
            ready.weigh(*question)
            assert question == before, "it changed what it was shown"

    def test_multiplier_is_finite(self, ready: HostWeigher) -> None:
        """The multiplier is one finite number, the same whenever it is asked for."""
        assert _is_finite(ready.multiplier()), f"the multiplier is {ready.multiplier()!r}"
        assert ready.multiplier() == ready.multiplier()


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
