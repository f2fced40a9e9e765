"""The bus of one process."""

from __future__ import annotations

import pytest

from tenter import errors
from tenter.bus import InProcessBus


class Endpoint:
    def double(self, number: int) -> int:
        return number * 2

    def fail(self) -> None:
        raise errors.GuestNotFound("There is no guest.")

    def _hidden(self) -> None:
        raise AssertionError("called")


def test_a_bell_is_heard_by_those_it_is_for_whatever_others_do() -> None:
    bus, heard = InProcessBus(), []

    def broken(*args: object) -> None:
        raise RuntimeError("deaf")

    bus.listen("compute", "h1", broken)
    bus.listen("compute", "h1", lambda uuid, *rest: heard.append(("h1", uuid)))
    bus.listen("compute", "h2", lambda uuid, *rest: heard.append(("h2", uuid)))
    bus.listen("conductor", None, lambda uuid, *rest: heard.append(("conductor", uuid)))
    bus.ring("compute", "h1", "o1")
    bus.ring("conductor")
    bus.ring("nobody", "nowhere", "o2")
    assert heard == [("h1", "o1"), ("conductor", None)]


def test_calls() -> None:
    bus = InProcessBus()
    bus.serve("h1", Endpoint())
    assert bus.call("h1", "double", number=4) == 8
    with pytest.raises(errors.GuestNotFound):
        bus.call("h1", "fail")
    for host, method in (("h2", "double"), ("h1", "_hidden")):
        with pytest.raises(errors.Unavailable):
            bus.call(host, method)
