"""``/tenter/servers/{id}/placement``: why a server is where it is, or nowhere. An addition of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon

from tenter import errors
from tenter.scheduler import explain, recorded
from tenter.scheduler.recorded import Recorded
from tenter_api.compute.resource import operation
from tenter_api.compute.schemas import placement as schemas
from tenter_api.compute.server_views import precise_time
from tenter_api.services import Services
from tenter_api.validation import is_uuid


class _Placement:
    """What both resources share."""

    def __init__(self, services: Services) -> None:
        self._max_limit = services.conf.api.max_limit
        self._servers, self._db = services.servers, services.fabric.api_db

    def render(self, req: falcon.Request, found: Sequence[Recorded]) -> dict[str, Any]:
        """Return decisions as their caller may see them. Raises Forbidden if a member asks for hosts."""
        query = {name: values[-1] for name, values in req.context.query.items()}
        if not req.context.identity.is_admin:
            if "host" in query:
                raise errors.Forbidden("Policy doesn't allow this to be done: only administrators ask for a host.")
            return {"placement": [explain.for_members(one, precise_time) for one in found]}
        limit = min(int(query.get("limit", explain.HOSTS)), self._max_limit)
        shown = [explain.for_administrators(one, precise_time, limit, query.get("host")) for one in found]
        return {"placement": shown}


class ServerPlacement(_Placement):
    """The decisions for a server."""

    @operation(query=schemas.QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Show the decisions for a server, the latest last: to members by count, to administrators host by host."""
        identity = req.context.identity
        project_id = self._servers.project_of(server_id) if is_uuid(server_id) else None
        if project_id is None or not (identity.is_admin or project_id == identity.project_id):
            raise errors.NotFound(f"Instance {server_id[:64]} could not be found.")
        resp.media = self.render(req, recorded.of_instance(self._db, server_id))


class OperationPlacement(_Placement):
    """The decisions for an operation, for administrators; they are kept when the server is gone."""

    @operation(query=schemas.QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, operation_id: str) -> None:
        """Show the decisions that were made for an operation."""
        if not req.context.identity.is_admin:
            raise errors.Forbidden(
                "Policy doesn't allow this to be done: only administrators ask for the decisions of an operation."
            )
        found = recorded.of_operation(self._db, operation_id) if is_uuid(operation_id) else []
        if not found:
            raise errors.NotFound(f"No decision for operation {operation_id[:64]} is kept.")
        resp.media = self.render(req, found)
