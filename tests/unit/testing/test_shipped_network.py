"""The local network driver holds what the kit asks, in the modes that need no root."""

from __future__ import annotations

from tenter.testing import NetworkConformance
from tenter_plugins.network.local.driver import LocalNetwork


class TestNone(NetworkConformance):
    plugin = LocalNetwork
    options = {"mode": "none"}


class TestUser(NetworkConformance):
    plugin = LocalNetwork
    options = {"mode": "user"}
