"""The processes of the fabric: are they alive, and may they be used."""

from __future__ import annotations

from typing import Any

import falcon

from tenter import errors
from tenter_api.compute.host_lists import COMPUTE, HostLists, number_of
from tenter_api.compute.resource import ADMIN, operation
from tenter_api.compute.schemas import hosts as schemas
from tenter_api.compute.schemas.parameters import is_true
from tenter_api.compute.times import microseconds
from tenter_api.validation import is_uuid


def _view(minor: int, row: dict[str, Any]) -> dict[str, Any]:
    view = {
        "id": row["uuid"] if minor >= 53 else number_of(row["uuid"]),
        "binary": row["binary"],
        "host": row["host"],
        "zone": row["zone"],
        "status": "disabled" if row["disabled"] else "enabled",
        "state": "up" if row["up"] else "down",
        "updated_at": microseconds(row["last_seen"]),
        "disabled_reason": row["disabled_reason"],
    }
    if minor >= 11:
        view["forced_down"] = row["forced_down"]
    return view


class ServicesList:
    """``/os-services``"""

    def __init__(self, hosts: HostLists) -> None:
        self._hosts = hosts

    @operation(role=ADMIN, query=schemas.SERVICES_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the services, of one host or binary if asked."""
        rows = self._hosts.services()
        for name, values in req.context.query.items():
            if values[-1]:
                rows = [row for row in rows if row[name] == values[-1]]
        resp.media = {"services": [_view(req.context.version.minor, row) for row in rows]}


class ServiceItem:
    """``/os-services/{service}``: since 2.53 a service by its UUID; before, a verb, such as ``enable``."""

    def __init__(self, hosts: HostLists) -> None:
        self._hosts = hosts

    @operation(role=ADMIN, body=schemas.SERVICE_UPDATE)
    def on_put(self, req: falcon.Request, resp: falcon.Response, service: str) -> None:
        """Enable, disable, or declare down."""
        minor, body = req.context.version.minor, req.context.body
        if minor < 53:
            resp.media = {"service": self._by_verb(minor, service, body)}
            return
        row = self._find(minor, service)
        changes: dict[str, Any] = {}
        if "status" in body:
            enabled = body["status"] == "enabled"
            if enabled and "disabled_reason" in body:
                raise errors.Invalid("A service that is enabled has no 'disabled_reason'.")
            changes = {"disabled": not enabled, "disabled_reason": body.get("disabled_reason")}
        if "forced_down" in body:
            changes["forced_down"] = is_true(body["forced_down"])
        if not changes:
            raise errors.Invalid("No updates were requested: give 'status' or 'forced_down'.")
        self._change(row, changes)
        resp.media = {"service": _view(minor, self._find(minor, service))}

    @operation(role=ADMIN)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, service: str) -> None:
        """Forget a service and its nodes, if no servers are on them."""
        row = self._find(req.context.version.minor, service)
        self._hosts.delete_service(row["uuid"], row["host"])
        resp.status = falcon.HTTP_204

    def _by_verb(self, minor: int, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        named = {"host": body["host"], "binary": body["binary"]}
        changes: dict[str, Any]
        if verb == "enable":
            changes = {"disabled": False, "disabled_reason": None}
            answer = {**named, "status": "enabled"}
        elif verb in ("disable", "disable-log-reason"):
            reason = body.get("disabled_reason") if verb == "disable-log-reason" else None
            if verb == "disable-log-reason" and not reason:
                raise errors.Invalid("Missing disabled_reason field.")
            changes = {"disabled": True, "disabled_reason": reason}
            answer = {**named, "status": "disabled", **({"disabled_reason": reason} if reason else {})}
        elif verb == "force-down" and minor >= 11:
            if "forced_down" not in body:
                raise errors.Invalid("Missing forced_down field.")
            changes = {"forced_down": is_true(body["forced_down"])}
            answer = {**named, **changes}
        else:
            raise errors.NotFound("Unknown action.")
        rows = [row for row in self._hosts.services() if named == {name: row[name] for name in named}]
        if not rows:
            raise self._hosts.missing(errors.NotFound(f"Host {body['host']} has no service {body['binary']}."))
        self._change(rows[0], changes)
        return answer

    def _find(self, minor: int, key: str) -> dict[str, Any]:
        if minor >= 53 and not is_uuid(key):
            raise errors.Invalid(f"Invalid uuid {key[:64]}.")
        if minor < 53 and not key.isdecimal():
            raise errors.Invalid(f"Invalid id {key[:64]}: it must be an integer.")
        for row in self._hosts.services():
            if key == (row["uuid"] if minor >= 53 else str(number_of(row["uuid"]))):
                return row
        raise self._hosts.missing(errors.NotFound(f"Service {key} could not be found."))

    def _change(self, row: dict[str, Any], changes: dict[str, Any]) -> None:
        if row["binary"] != COMPUTE:
            raise errors.Invalid(f"A {row['binary']} service cannot be changed; only {COMPUTE} can.")
        self._hosts.change_service(row["uuid"], **changes)
