"""The conformance kit of scheduler weighers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis.strategies import SearchStrategy

from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.weigher import HostWeigher
from tenter.testing.general import PluginConformance
from tenter.testing.strategies import for_all, host_views, placement_requests


class WeigherConformance(PluginConformance):
    """What must hold of a weigher::

        class TestAcme(WeigherConformance):
            plugin = AcmeWeigher

    ``hosts`` and ``requests`` may be overridden with narrower strategies, as for filters.
    """

    kind: ClassVar[str] = "weigher"
    base = HostWeigher

    @classmethod
    def hosts(cls) -> SearchStrategy[HostView]:
        """Return a strategy of the hosts that it is asked about."""
        return host_views()

    @classmethod
    def requests(cls) -> SearchStrategy[PlacementRequest]:
        """Return a strategy of what they are wanted for."""
        return placement_requests()

    def test_weight_is_finite(self, ready: HostWeigher) -> None:
        """Every host has a finite weight for every request: missing resources, odd extra specs or hints raise
        nothing."""

        @for_all(60, host=self.hosts(), request=self.requests())
        def check(host: HostView, request: PlacementRequest) -> None:
            assert _is_finite(ready.weigh(host, request)), f"the weight is {ready.weigh(host, request)!r}"

    def test_same_question_same_answer(self, ready: HostWeigher, make: Callable[..., Any]) -> None:
        """The same host and request have the same weight, whoever was asked about in between, and from a weigher that
        was constructed anew."""
        anew = make()

        @for_all(host=self.hosts(), other=self.hosts(), request=self.requests())
        def check(host: HostView, other: HostView, request: PlacementRequest) -> None:
            first = ready.weigh(host, request)
            ready.weigh(other, request)
            assert ready.weigh(host, request) == first, "asked again, it says something else"
            assert anew.weigh(host, request) == first, "constructed anew, it says something else"

    def test_changes_nothing(self, ready: HostWeigher) -> None:
        """The host and the request that a weigher is shown are as before afterwards."""

        @for_all(host=self.hosts(), request=self.requests())
        def check(host: HostView, request: PlacementRequest) -> None:
            before = copy.deepcopy((host, request))
            ready.weigh(host, request)
            assert (host, request) == before, "it changed what it was shown"

    def test_multiplier_is_finite(self, ready: HostWeigher) -> None:
        """The multiplier is one finite number, the same whenever it is asked for."""
        assert _is_finite(ready.multiplier()), f"the multiplier is {ready.multiplier()!r}"
        assert ready.multiplier() == ready.multiplier()


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
