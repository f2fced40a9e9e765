"""The local network driver holds what the kit asks with real bridges, in a namespace that it makes itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenter.testing import NetworkConformance
from tenter_plugins.network.local.driver import LocalNetwork
from tests.integration.network.test_bridges import links, pytestmark  # noqa: F401


class TestBridge(NetworkConformance):
    plugin = LocalNetwork
    name = "local"
    options = {"mode": "bridge"}

    @pytest.fixture(autouse=True)
    def _host_is_untouched(self) -> Iterator[None]:
        before = links()
        yield
        assert links() == before, "the machine's own interfaces were touched"
