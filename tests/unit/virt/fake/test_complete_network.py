"""The fake driver, told to take no unfinished network, holds all that is asked of such a driver."""

from __future__ import annotations

from tests.helpers.fake_guests import FakeGuests


class TestCompleteNetwork(FakeGuests):
    """Every check that does not need an unfinished network."""

    __test__ = True
    options = {"accepts_unfinished_network": False}
