"""Host aggregates. There are none yet; clients look whether a host is in any before they show it."""

from __future__ import annotations

import falcon

from tenter_api.compute.resource import ADMIN, operation


class Aggregates:
    """``/os-aggregates``"""

    @operation(role=ADMIN)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List them."""
        resp.media = {"aggregates": []}
