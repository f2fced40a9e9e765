"""``/servers/{id}/os-instance-actions``: what was done to a server, which is to say its operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import falcon

from tenter import errors
from tenter.cells.operations import OperationReader
from tenter_api.compute import links, server_schemas
from tenter_api.compute.operations import Events
from tenter_api.compute.resource import operation
from tenter_api.compute.server_views import host_id, precise_time
from tenter_api.compute.servers import ServerAccess
from tenter_api.services import Services
from tenter_api.validation import is_uuid, parse_time

Operation = Mapping[str, Any]


class _Actions(ServerAccess):
    """What list and show share."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.events = Events()
        self._reader = OperationReader(services.fabric.api_db, services.fabric.cells)

    def operations(self, req: falcon.Request, server_id: str) -> tuple[Sequence[Operation], bool]:
        """Return the operations of a server, the latest first, and whether that is all; from 2.21 also of a server that
        is gone.

        Raises NotFound.
        """
        identity = req.context.identity
        missing = errors.NotFound(f"Instance {server_id[:64]} could not be found.")
        if not is_uuid(server_id):
            raise missing
        project_id = self.servers.project_of(server_id)
        if project_id is None and req.context.version.minor < 21:
            raise missing
        found, complete = self._reader.of_instance(server_id)
        if project_id is None and found:
            # The server is gone: whose it was, what was done to it first says.
            project_id = found[-1]["project_id"]
        if project_id is None or not (identity.is_admin or project_id == identity.project_id):
            raise missing
        return found, complete

    def render(self, req: falcon.Request, done: Operation) -> dict[str, Any]:
        """Return one action without its events."""
        error = done["error"]
        action: dict[str, Any] = {
            "action": self.events.action(done),
            "instance_uuid": done["instance_uuid"],
            "request_id": done["request_id"],
            "user_id": done["user_id"],
            "project_id": done["project_id"],
            "start_time": precise_time(done["created_at"]),
            "message": error.get("message") if error else None,
        }
        if req.context.version.minor >= 58:
            action["updated_at"] = precise_time(done["updated_at"])
        return action


class InstanceActions(_Actions):
    """The list."""

    @operation(query=server_schemas.ACTIONS_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with the actions, the latest first; in pages from 2.58."""
        found, _ = self.operations(req, server_id)
        if req.context.version.minor < 58:
            resp.media = {"instanceActions": [self.render(req, done) for done in found]}
            return
        limit, marker = links.page(req.context.query, self.services.conf.api.max_limit)
        page = _after(_changed(found, req.context.query), marker)[:limit]
        answer: dict[str, Any] = {"instanceActions": [self.render(req, done) for done in page]}
        if links.more(page, limit):
            path = f"servers/{server_id}/os-instance-actions"
            answer["links"] = links.next_link(req, path, page[-1]["request_id"])
        resp.media = answer


class InstanceAction(_Actions):
    """One action, by the id of the request that asked for it."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str, request_id: str) -> None:
        """Answer 200 with the action and, for administrators or from 2.51, its events."""
        found, complete = self.operations(req, server_id)
        done = next((one for one in found if one["request_id"] == request_id), None)
        if done is None and not complete:
            raise self.services.fabric.cells.asking.unavailable("A cell in which this action may be")
        if done is None:
            raise errors.NotFound(f"Action {request_id[:64]} not found")
        action = self.render(req, done)
        if req.context.identity.is_admin or req.context.version.minor >= 51:
            action["events"] = [self._event(req, event, done) for event in reversed(self.events.of(done))]
        resp.media = {"instanceAction": action}

    @staticmethod
    def _event(req: falcon.Request, event: Mapping[str, Any], done: Operation) -> dict[str, Any]:
        minor, admin = req.context.version.minor, req.context.identity.is_admin
        shown: dict[str, Any] = {
            "event": event["event"],
            "start_time": precise_time(event["started"]),
            "finish_time": precise_time(event.get("finished")),
            "result": event.get("result"),
        }
        host = event.get("host")
        if admin:
            shown["traceback"] = None
        if minor >= 62:
            shown["hostId"] = host_id(host, done["project_id"])
            if admin:
                shown["host"] = host or ""
        if minor >= 84 and admin:
            shown["details"] = event.get("details")
        return shown


def _changed(found: Sequence[Operation], query: Mapping[str, list[str]]) -> Sequence[Operation]:
    since, before = (
        parse_time(query[name][0].replace(" ", "+")) if name in query else None
        for name in ("changes-since", "changes-before")
    )
    if since is not None and before is not None and before < since:
        raise errors.Invalid("The value of changes-since must be less than or equal to changes-before.")
    return [
        done
        for done in found
        if (since is None or done["updated_at"] >= since) and (before is None or done["updated_at"] <= before)
    ]


def _after(found: Sequence[Operation], marker: str | None) -> Sequence[Operation]:
    if marker is None:
        return found
    for position, done in enumerate(found):
        if done["request_id"] == marker:
            return found[position + 1 :]
    raise errors.Invalid(f"Marker {marker[:64]} could not be found.")
