"""``/tenter/operations``: what is being done and was done to servers. An addition of ours to the Compute API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from tenter import errors
from tenter.cells.operations import Marker, OperationQuery, OperationReader
from tenter.operations.kinds import all_kinds
from tenter.store.engine import now
from tenter.store.operations import RUNNING
from tenter_api.compute import links
from tenter_api.compute.resource import operation
from tenter_api.compute.schemas import operations as schemas
from tenter_api.compute.schemas.parameters import is_true
from tenter_api.compute.server_views import precise_time
from tenter_api.services import Services
from tenter_api.validation import is_uuid

Row = Mapping[str, Any]


class Events:
    """Names actions, and shows the steps of an operation as events."""

    def __init__(self) -> None:
        self._kinds = all_kinds().by_name

    def action(self, done: Row) -> str:
        """Return the name that os-instance-actions has for an operation."""
        kind = self._kinds.get(done["kind"])
        return kind.action if kind else str(done["kind"])

    def of(self, done: Row) -> list[Row]:
        """Return the events of an operation, the latest last; a step that runs now has begun and not finished."""
        events: list[Row] = list(done["events"])
        kind = self._kinds.get(done["kind"])
        if done["state"] == RUNNING and done["owner"] and kind is not None and done["step"] in kind.steps:
            began = done["claimed_at"] or done["updated_at"]
            events.append(
                {"event": kind.steps[done["step"]].event, "step": done["step"], "started": began, "host": done["host"]}
            )
        return events


class OperationView:
    """An operation as its caller may see it: members see what happens, administrators also where and by whom."""

    def __init__(self, req: falcon.Request, events: Events) -> None:
        self._admin = req.context.identity.is_admin
        self._link = links.linker(req, "tenter/operations")[0]
        self._events = events

    def render(self, row: Row) -> dict[str, Any]:
        """Return one operation; times are UTC, ``age`` is in seconds."""
        shown: dict[str, Any] = {
            "id": row["uuid"],
            "kind": row["kind"],
            "server": row["instance_uuid"],
            "project_id": row["project_id"],
            "user_id": row["user_id"],
            "request_id": row["request_id"],
            "state": row["state"],
            "step": row["step"],
            "role": row["role"],
            "attempt": row["attempt"],
            "created_at": precise_time(row["created_at"]),
            "updated_at": precise_time(row["updated_at"]),
            "ended_at": precise_time(row["ended_at"]),
            "age": round(max(0.0, (row["ended_at"] or now()) - row["created_at"]), 3),
            "deadline": precise_time(row["deadline"]),
            "lease": precise_time(row["lease_until"]),
            "cancelled": bool(row["cancel"]),
            "error": self._error(row["error"]),
            "events": [self._event(event) for event in self._events.of(row)],
            "links": [{"rel": "self", "href": self._link + row["uuid"]}],
        }
        if self._admin:
            shown |= {"owner": row["owner"], "host": row["host"]}
        return shown

    def _error(self, error: Row | None) -> dict[str, Any] | None:
        if not error:
            return None
        shown = {"code": error.get("code"), "message": error.get("message")}
        return {**shown, "side": error.get("side")} if self._admin else shown

    def _event(self, event: Row) -> dict[str, Any]:
        shown = {
            "event": event["event"],
            "step": event.get("step"),
            "started": precise_time(event["started"]),
            "finished": precise_time(event.get("finished")),
            "result": event.get("result"),
        }
        return {**shown, "host": event.get("host"), "details": event.get("details")} if self._admin else shown


class _Operations:
    """What list and show share."""

    def __init__(self, services: Services) -> None:
        fabric = services.fabric
        self._max_limit = services.conf.api.max_limit
        self._reader = OperationReader(fabric.api_db, fabric.cells)
        self._events = Events()


class Operations(_Operations):
    """The list."""

    @operation(query=schemas.LIST_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the operations of the project, the latest first; administrators may ask for those of all projects."""
        rows = self._reader.list(self._query(req))
        view = OperationView(req, self._events)
        answer: dict[str, Any] = {"operations": [view.render(row) for row in rows]}
        if links.more(rows, links.page(req.context.query, self._max_limit)[0]):
            marker = f"{rows[-1]['seq']}.{rows[-1]['uuid']}"
            answer["operations_links"] = links.next_link(req, "tenter/operations", marker)
        resp.media = answer

    def _query(self, req: falcon.Request) -> OperationQuery:
        values = {name: found[-1] for name, found in req.context.query.items()}
        identity = req.context.identity
        every = is_true(values.get("all_tenants", False))
        if not identity.is_admin and (every or "host" in values):
            raise errors.Forbidden(
                "Policy doesn't allow this to be done: only administrators ask for all projects or for a host."
            )
        limit, marker = links.page(req.context.query, self._max_limit)
        return OperationQuery(
            limit=limit,
            project_id=None if every else identity.project_id,
            state=values.get("state"),
            kind=values.get("kind"),
            instance_uuid=values.get("server"),
            host=values.get("host"),
            marker=_marker(marker),
        )


class Operation(_Operations):
    """One operation."""

    @operation(query=schemas.SHOW_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, operation_id: str) -> None:
        """Show an operation with its events."""
        identity = req.context.identity
        if not is_uuid(operation_id):
            raise errors.NotFound(f"Operation {operation_id[:64]} could not be found.")
        row = self._reader.get(operation_id, None if identity.is_admin else identity.project_id)
        resp.media = {"operation": OperationView(req, self._events).render(row)}


def _marker(text: str | None) -> Marker | None:
    if text is None:
        return None
    seq, _, uuid = text.partition(".")
    # A number that is larger than any column holds is as good as the largest.
    return Marker(min(int(seq), (1 << 63) - 1), uuid)
