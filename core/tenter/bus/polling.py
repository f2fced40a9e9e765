"""The bus of a process among others, as long as there is no broker between them: whoever waits for work looks into the
store every ``[operations] poll_interval`` seconds, so nothing depends on a bell that is heard."""

from __future__ import annotations

from typing import Any

from tenter import errors
from tenter.bus.inprocess import InProcessBus


class PollingBus(InProcessBus):
    """Rings and serves in this process only; what is elsewhere finds its work by itself, and cannot be called."""

    def call(self, host: str, method: str, **kwargs: Any) -> Any:
        """Run a method on an endpoint of this process. Raises Unavailable for a host that another process serves."""
        if host not in self._endpoints:
            raise errors.Unavailable(
                f"Host {host} is served by another process, and this cloud has no message bus to ask it "
                f"({method.replace('_', ' ')})."
            )
        return super().call(host, method, **kwargs)
