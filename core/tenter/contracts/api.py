"""API extensions: resources that another distribution adds to the API, under a prefix of its own."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tenter.contracts.base import Plugin

CONTRACT = "api 1.0"


@dataclass(frozen=True)
class Route:
    """A path below the extension's prefix, and what answers there."""

    path: str
    """Begins with ``/``; segments are names or fields such as ``{widget_id}``. Empty for the prefix itself."""

    resource: Any
    """A Falcon resource: an object with methods ``on_get(req, resp, …)``, ``on_post``, …

    Requests reach it with a valid token only. ``req.context.identity`` says who asks
    (:class:`tenter.contracts.identity.Identity`), ``req.context.request_id`` which request it is; the rest of
    ``req.context`` is the API's own. It may raise errors of :mod:`tenter.errors` and Falcon's.
    """


class ApiExtension(Plugin, abc.ABC):
    """What every API extension must do. Requests come in many threads at once."""

    contract = CONTRACT

    prefix: ClassVar[str]
    """Its part of the path, for it alone: lower-case letters, digits and hyphens. ``acme`` is served at
    ``/v2.1/tenter/extensions/acme`` and ``/v2.1/PROJECT/tenter/extensions/acme``."""

    @abc.abstractmethod
    def routes(self) -> Sequence[Route]:
        """Return all routes; called once, when the API starts."""
