"""The bus of one process: plain method calls."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

from tenter import errors
from tenter.bus.base import Bus, Listener

LOG = logging.getLogger(__name__)


class InProcessBus(Bus):
    """Calls listeners and endpoints in the caller's thread."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, str | None], list[Listener]] = defaultdict(list)
        self._endpoints: dict[str, object] = {}

    def ring(self, role: str, host: str | None = None, uuid: str | None = None, cell: str | None = None) -> None:
        for listener in self._listeners.get((role, host), ()):
            try:
                listener(uuid, cell)
            except Exception:
                LOG.exception("A listener for %s failed", role)

    def listen(self, role: str, host: str | None, listener: Listener) -> None:
        self._listeners[(role, host)].append(listener)

    def serve(self, host: str, endpoint: object) -> None:
        self._endpoints[host] = endpoint

    def call(self, host: str, method: str, **kwargs: Any) -> Any:
        endpoint = self._endpoints.get(host)
        if endpoint is None or method.startswith("_"):
            raise errors.Unavailable(f"Host {host} does not answer.")
        return getattr(endpoint, method)(**kwargs)
