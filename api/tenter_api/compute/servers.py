"""Servers: create, list, show, update, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from tenter import errors
from tenter.operations.requests import Caller
from tenter.store import server_groups
from tenter.store import services as hosts
from tenter_api.compute import links, server_query, server_schemas
from tenter_api.compute.resource import operation
from tenter_api.compute.server_create import ServerCreator
from tenter_api.compute.server_views import PARTIAL_SINCE, BasicView, Kind, ServerView
from tenter_api.services import Services
from tenter_api.validation import is_uuid


def caller_of(req: falcon.Request) -> Caller:
    """Return who asks, as operations know him."""
    identity = req.context.identity
    return Caller(
        user_id=identity.user_id,
        project_id=identity.project_id,
        request_id=req.context.request_id,
        is_admin=identity.is_admin,
    )


class ServerAccess:
    """What every resource below ``/servers`` needs: finding a server, and showing it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.servers = services.servers
        self.requests = services.fabric.requests

    def find(
        self,
        req: falcon.Request,
        server_id: str,
        columns: tuple[str, ...] = ("uuid",),
        partial: bool = False,
    ) -> dict[str, Any]:
        """Return the columns of a server that the caller may see. Raises NotFound.

        If its cell does not answer: raises Unavailable, or with ``partial`` returns a PartialRow;
        Conflict if the server is to be changed, and its delete waits for the cell.
        """
        if not is_uuid(server_id):
            raise errors.NotFound(f"Instance {server_id[:64]} could not be found.")
        identity = req.context.identity
        try:
            row: dict[str, Any] = self.servers.get(
                server_id, None if identity.is_admin else identity.project_id, columns, partial
            )
        except errors.Unavailable:
            if req.method != "GET":
                self.servers.refuse_deleted(server_id)
            raise
        return row

    def find_unlocked(
        self, req: falcon.Request, server_id: str, columns: tuple[str, ...] = ("uuid",)
    ) -> dict[str, Any]:
        """Return the columns of a server that the caller may change. Raises NotFound, Conflict (locked)."""
        row = self.find(req, server_id, (*columns, "locked"))
        if row["locked"] and not req.context.identity.is_admin:
            raise errors.Conflict(f"Instance {server_id} is locked")
        return row

    def view(self, req: falcon.Request, kind: Kind) -> ServerView:
        """Return what shows servers to this caller."""
        return ServerView(req, kind, self.host_statuses, self.group_of)

    def show(self, req: falcon.Request, server_id: str, kind: Kind) -> dict[str, Any]:
        """Return one server as the caller may see it, from 2.69 also if its cell does not answer.

        Raises NotFound, Unavailable.
        """
        view = self.view(req, kind)
        partial = kind is Kind.SHOW and req.context.version.minor >= PARTIAL_SINCE
        return view.render(self.find(req, server_id, view.columns, partial))

    def group_of(self, server_id: str) -> str | None:
        """Return the server group that a server is in, None if it is in none."""
        with self.services.fabric.api_db.read() as connection:
            return server_groups.group_uuid_of(connection, server_id)

    def host_statuses(self) -> Mapping[str, str]:
        """Return the status of every compute host, as ``host_status`` of a server shows it."""
        down_after = self.services.conf.compute.service_down_time
        answers = self.services.fabric.cells.ask(lambda cell: hosts.list_services(cell.db, down_after))
        services = [service for rows in answers.found.values() for service in rows]
        return {one["host"]: _host_status(one) for one in services if one["zone"] is not None}


def _host_status(service: Mapping[str, Any]) -> str:
    if service["forced_down"]:
        return "DOWN"
    if not service["up"]:
        return "UNKNOWN"
    return "MAINTENANCE" if service["disabled"] else "UP"


class Servers(ServerAccess):
    """``/servers``: the short list, and creating."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._creator = ServerCreator(services)

    @operation(query=server_schemas.LIST_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 with ids and names."""
        view = BasicView(req)
        resp.media = self.page(req, view, "servers")

    @operation(body=server_schemas.CREATE)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 202: the server is being built."""
        body = req.context.body
        made = self._creator.create(req, caller_of(req))
        resp.status = falcon.HTTP_202
        if made.wants_reservation:
            resp.media = {"reservation_id": made.reservation_id}
            return
        address = links.self_and_bookmark(req, "servers", made.uuid)
        resp.set_header("Location", address[0]["href"])
        resp.media = {
            "server": {
                "id": made.uuid,
                "links": address,
                "OS-DCF:diskConfig": made.disk_config,
                "security_groups": body["server"].get("security_groups") or [{"name": "default"}],
                "adminPass": made.admin_password,
            }
        }

    def page(self, req: falcon.Request, view: BasicView, path: str) -> dict[str, Any]:
        """Return one page of the list that the query asks for. Raises Invalid, Forbidden."""
        query = server_query.parse(req, view.columns, self.services.conf.api.max_limit)
        rows = self.servers.list(query)
        answer: dict[str, Any] = {"servers": [view.render(row) for row in rows]}
        if links.more(rows, query.limit):
            answer["servers_links"] = links.next_link(req, path, rows[-1]["uuid"])
        return answer


class ServersDetail(Servers):
    """``/servers/detail``: the list in full."""

    @operation(query=server_schemas.LIST_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 with all there is to see of each."""
        resp.media = self.page(req, self.view(req, Kind.DETAIL), "servers/detail")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Nothing is created here."""
        raise falcon.HTTPMethodNotAllowed(["GET"])


class Server(ServerAccess):
    """``/servers/{id}``."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with the server."""
        resp.media = {"server": self.show(req, server_id, Kind.SHOW)}

    @operation(body=server_schemas.UPDATE)
    def on_put(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with the server as it is now."""
        row = self.find(req, server_id, ("uuid", "availability_zone", "pinned_zone"))
        changes = self._changes(req.context.body["server"], row)
        if changes:
            self.requests.update(caller_of(req), server_id, changes)
        resp.media = {"server": self.show(req, server_id, Kind.UPDATE)}

    @operation()
    def on_delete(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 204: the server is being removed, or will be as soon as its cell answers again."""
        if not is_uuid(server_id):
            raise errors.NotFound(f"Instance {server_id[:64]} could not be found.")
        self.requests.delete(caller_of(req), server_id)
        resp.status = falcon.HTTP_204

    @staticmethod
    def _changes(wanted: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        changes = {column: wanted[key] for key, column in _UPDATES.items() if key in wanted}
        if "pinned_availability_zone" in wanted:
            zone, pinned, current = (
                wanted["pinned_availability_zone"],
                row["pinned_zone"],
                row["availability_zone"],
            )
            if zone is not None and pinned is not None and zone != pinned:
                raise errors.Conflict(
                    "The pinned availability zone cannot be changed; unpin the server first (null)."
                )
            if zone is not None and pinned is None and zone != current:
                raise errors.Conflict(
                    f"A server can only be pinned to the zone it is in, {current!r}, and not to {zone!r}."
                )
            changes["pinned_zone"] = zone
        return changes


_UPDATES = {
    "name": "display_name",
    "description": "description",
    "hostname": "hostname",
    "accessIPv4": "access_ip_v4",
    "accessIPv6": "access_ip_v6",
    "OS-DCF:diskConfig": "disk_config",
}
