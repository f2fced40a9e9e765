"""What the kits of filters and weighers share: the questions that are asked, and tables that nobody can write to."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import ON_REQUEST, HostTable
from tenter.scheduler.table import read_only, table_of
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

    @pytest.fixture
    def table(self, questions: list[Question]) -> HostTable:
        """All hosts of the questions, a row each, in their order."""
        return read_only(table_of([host for host, _ in questions]))

    def test_needs_are_known(self, ready: Any) -> None:
        """What it needs are columns that are kept on request; any other name would be one that nobody looks for."""
        assert isinstance(ready.needs, frozenset), f"needs is {ready.needs!r}, which is no frozenset"
        assert ready.needs <= ON_REQUEST, f"it needs {sorted(ready.needs)} of {sorted(ON_REQUEST)}"


@functools.cache
def _questions(cls: type[SchedulingConformance]) -> list[Question]:
    return examples(st.tuples(cls.hosts(), cls.requests()), 100)


def alone(host: HostView) -> HostTable:
    """Return a table of one host."""
    return read_only(table_of([host]))


def contents(value: object) -> object:
    """Return all that a table, a host or a request holds, in a form that can be compared with that of another time."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return sorted((repr(key), contents(each)) for key, each in value.items())
    if dataclasses.is_dataclass(value):
        return [contents(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [contents(each) for each in value]
    return repr(sorted(map(repr, value)) if isinstance(value, (set, frozenset)) else value)


def others(number: int, count: int) -> tuple[int, ...]:
    """Return a few of ``count`` rows to look at for question ``number``: different ones for each."""
    return tuple(dict.fromkeys((number + step) % count for step in (0, 1, count // 3, count - 5)))
