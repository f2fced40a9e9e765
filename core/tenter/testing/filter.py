"""The conformance kit of scheduler filters."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis.strategies import SearchStrategy

from tenter.contracts.filter import HostFilter, Verdict
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.testing.general import PluginConformance
from tenter.testing.strategies import for_all, host_views, placement_requests

CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


class FilterConformance(PluginConformance):
    """What must hold of a filter::

        class TestAcme(FilterConformance):
            plugin = AcmeFilter

    ``hosts`` and ``requests`` may be overridden with narrower strategies (see :mod:`tenter.testing.strategies`) where
    the interesting answers are rare among arbitrary hosts.
    """

    kind: ClassVar[str] = "filter"
    base = HostFilter

    @classmethod
    def hosts(cls) -> SearchStrategy[HostView]:
        """Return a strategy of the hosts that it is asked about."""
        return host_views()

    @classmethod
    def requests(cls) -> SearchStrategy[PlacementRequest]:
        """Return a strategy of what they are wanted for."""
        return placement_requests()

    def test_answers_for_every_host(self, ready: HostFilter) -> None:
        """Every host and every request get a Verdict: missing resources, odd extra specs or hints raise nothing."""

        @for_all(60, host=self.hosts(), request=self.requests())
        def check(host: HostView, request: PlacementRequest) -> None:
            verdict = ready.accepts(host, request)
            assert isinstance(verdict, Verdict), f"accepts() returned {verdict!r}, which is no Verdict"
            assert isinstance(verdict.ok, bool), f"Verdict.ok is {verdict.ok!r}, which is no bool"

    def test_same_question_same_answer(self, ready: HostFilter, make: Callable[..., Any]) -> None:
        """The same host and request have the same answer, whoever was asked about in between, and from a filter that
        was constructed anew."""
        anew = make()

        @for_all(host=self.hosts(), other=self.hosts(), request=self.requests(), another=self.requests())
        def check(host: HostView, other: HostView, request: PlacementRequest, another: PlacementRequest) -> None:
            first = ready.accepts(host, request)
            ready.accepts(other, request)
            ready.accepts(host, another)
            assert ready.accepts(host, request) == first, "asked again, it says something else"
            assert anew.accepts(host, request) == first, "constructed anew, it says something else"

    def test_changes_nothing(self, ready: HostFilter) -> None:
        """The host and the request that a filter is shown are as before afterwards."""

        @for_all(host=self.hosts(), request=self.requests())
        def check(host: HostView, request: PlacementRequest) -> None:
            before = copy.deepcopy((host, request))
            ready.accepts(host, request)
            assert (host, request) == before, "it changed what it was shown"

    def test_refusal_has_a_code(self, ready: HostFilter) -> None:
        """A refusal has a stable code of lower-case words joined by dots, such as ``ram.short``."""

        @for_all(60, host=self.hosts(), request=self.requests())
        def check(host: HostView, request: PlacementRequest) -> None:
            verdict = ready.accepts(host, request)
            if not verdict.ok:
                assert CODE.fullmatch(verdict.code), f"the code of a refusal is {verdict.code!r}"

    def test_figures_are_json(self, ready: HostFilter) -> None:
        """The figures of a refusal are JSON, for users read them in the explanation of a decision."""

        @for_all(60, host=self.hosts(), request=self.requests())
        def check(host: HostView, request: PlacementRequest) -> None:
            json.dumps(dict(ready.accepts(host, request).figures), allow_nan=False)
