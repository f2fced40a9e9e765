"""The extension plugin greeter of Tenter."""

from __future__ import annotations

from collections.abc import Sequence

from falcon import Request, Response

from tenter.contracts.api import ApiExtension, Route


class Hello:
    """Greets whom the path names."""

    def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Answer with the name, and with that of the caller."""
        resp.media = {"hello": name, "from": req.context.identity.user_name}


class GreeterExtension(ApiExtension):
    """``/hello/NAME``."""

    contract = "api 1.0"
    prefix = "greeter"

    def routes(self) -> Sequence[Route]:
        """Return the one route."""
        return (Route("/hello/{name}", Hello()),)
