"""The fake driver holds all that is asked of a virt driver."""

from __future__ import annotations

from tests.helpers.fake_guests import FakeGuests


class TestFake(FakeGuests):
    """Every check, each on a state of its own."""

    __test__ = True
    name = "fake"
