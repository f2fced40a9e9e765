"""``POST /servers/{id}/action``: what can be done to a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import falcon

from tenter import errors
from tenter.cells.reading import USER_DATA
from tenter.operations.requests import UNSET, RebuildServer
from tenter_api.compute import links, server_schemas
from tenter_api.compute.resource import ActionResource, action, operation
from tenter_api.compute.server_create import (
    generate_password,
    key_of,
    limited_metadata,
    refuse_unsupported,
    truth,
    usable_image,
)
from tenter_api.compute.server_views import Kind
from tenter_api.compute.servers import ServerAccess, caller_of


class ServerActions(ServerAccess, ActionResource):
    """The actions of a server; an action that is not here is refused with 400."""

    @action("os-start")
    @operation(body=server_schemas.START)
    def start(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Boot a stopped server."""
        self.find_unlocked(req, server_id)
        self.requests.start(caller_of(req), server_id)

    @action("os-stop")
    @operation(body=server_schemas.STOP)
    def stop(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Shut a server down."""
        self.find_unlocked(req, server_id)
        self.requests.stop(caller_of(req), server_id)

    @action("reboot")
    @operation(body=server_schemas.REBOOT)
    def reboot(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Restart a server, by asking the guest or by force."""
        self.find_unlocked(req, server_id)
        hard = req.context.body["reboot"]["type"].upper() == "HARD"
        self.requests.reboot(caller_of(req), server_id, hard)

    @action("os-getConsoleOutput")
    @operation(body=server_schemas.CONSOLE_OUTPUT)
    def console_output(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with the end of what the serial console printed."""
        self.find(req, server_id)
        length = req.context.body["os-getConsoleOutput"].get("length")
        lines = None if length is None or int(length) < 0 else int(length)
        resp.media = {"output": self.requests.console_output(caller_of(req), server_id, lines)}
        resp.status = falcon.HTTP_200

    @action("rebuild")
    @operation(body=server_schemas.REBUILD)
    def rebuild(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 202 with the server, which is being made anew from an image."""
        body: Mapping[str, Any] = req.context.body["rebuild"]
        refuse_unsupported(body)
        row = self.find_unlocked(req, server_id, ("uuid", "project_id", "flavor"))
        request = self._rebuild_request(body, row, req.context.identity.user_id)
        self.requests.rebuild(caller_of(req), server_id, request)
        view = self.view(req, Kind.REBUILD)
        shown = self.find(req, server_id, view.columns)
        server = view.render(shown)
        server["adminPass"] = request.admin_password
        if req.context.version.minor >= 57:
            server["user_data"] = shown[USER_DATA]
        resp.set_header("Location", links.self_and_bookmark(req, "servers", server_id)[0]["href"])
        resp.media = {"server": server}

    def _rebuild_request(
        self, body: Mapping[str, Any], row: Mapping[str, Any], user_id: str
    ) -> RebuildServer:
        """Return the request, checked. Raises Invalid, QuotaExceeded."""
        image = usable_image(self.services, body["imageRef"], row["project_id"], row["flavor"])
        metadata = body.get("metadata")
        limited_metadata(self.services, row["project_id"], metadata)
        request = RebuildServer(
            image=image,
            name=body["name"].strip() if "name" in body else None,
            metadata=metadata,
            description=body.get("description", UNSET),
            admin_password=body.get("adminPass") or generate_password(),
            disk_config=body.get("OS-DCF:diskConfig"),
            user_data=body.get("user_data", UNSET),
            access_ip_v4=body.get("accessIPv4"),
            access_ip_v6=body.get("accessIPv6"),
            hostname=body.get("hostname"),
            preserve_ephemeral=truth(body.get("preserve_ephemeral", False)),
        )
        if request.preserve_ephemeral:
            raise errors.Invalid("Ephemeral disks cannot be preserved by this deployment.")
        if "key_name" not in body:
            return request
        name = body["key_name"]
        key = None if name is None else (name, key_of(self.services, user_id, name))
        return dataclasses.replace(request, key=key)
