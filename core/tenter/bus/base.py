"""What a bus must do."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

Listener = Callable[[str | None, str | None], None]


class Bus(abc.ABC):
    """Bells and calls between the processes of a cell."""

    @abc.abstractmethod
    def ring(self, role: str, host: str | None = None, uuid: str | None = None, cell: str | None = None) -> None:
        """Tell the workers of ``role`` (on ``host``) to look for work; ``uuid`` names the operation that is new,
        ``cell`` the cell whose database it is in (None: the API database).

        Never raises and never waits: a bell that is not heard costs time, not work.
        """

    @abc.abstractmethod
    def listen(self, role: str, host: str | None, listener: Listener) -> None:
        """Call ``listener(uuid or None, cell or None)`` whenever the bell rings. It must return at once."""

    @abc.abstractmethod
    def serve(self, host: str, endpoint: object) -> None:
        """Offer ``endpoint``'s public methods to ``call`` under the host's name."""

    @abc.abstractmethod
    def call(self, host: str, method: str, **kwargs: Any) -> Any:
        """Run a method on a host's endpoint and return its answer. Raises Unavailable if nobody serves it, and what
        the method raised of :mod:`tenter.errors`."""
