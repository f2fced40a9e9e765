"""What the kits of filters and weighers share: the questions that are asked."""

from __future__ import annotations

import copy
import functools

import pytest
from hypothesis import strategies as st

from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.testing.general import PluginConformance
from tenter.testing.strategies import examples, host_views, placement_requests

Question = tuple[HostView, PlacementRequest]


class SchedulingConformance(PluginConformance):
    """Base of both. The questions are made once for each pair of strategies; the simplest ones
    are asked first."""

    @classmethod
    def hosts(cls) -> st.SearchStrategy[HostView]:
        """Return a strategy of the hosts that it is asked about."""
        return host_views()

    @classmethod
    def requests(cls) -> st.SearchStrategy[PlacementRequest]:
        """Return a strategy of what they are wanted for."""
        return placement_requests()

    @pytest.fixture
    def questions(self) -> list[Question]:
        """What the plugin is asked about, copied anew for each check."""
        own = (each for each in type(self).__mro__ if {"hosts", "requests"} & set(vars(each)))
        return copy.deepcopy(_questions(next(own)))


@functools.cache
def _questions(cls: type[SchedulingConformance]) -> list[Question]:
    return examples(st.tuples(cls.hosts(), cls.requests()), 100)
