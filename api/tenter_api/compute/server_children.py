"""What hangs on a server: metadata, tags, addresses, interfaces, volumes, security groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import falcon

from tenter import errors
from tenter_api import validation
from tenter_api.compute import links, server_schemas
from tenter_api.compute.resource import operation
from tenter_api.compute.server_create import limited_metadata, security_groups
from tenter_api.compute.server_views import addresses
from tenter_api.compute.servers import ServerAccess, caller_of


class _Metadata(ServerAccess):
    def read(self, req: falcon.Request, server_id: str) -> dict[str, str]:
        """Return the metadata. Raises NotFound."""
        return dict(self.find(req, server_id, ("metadata",))["metadata"])

    def write(self, req: falcon.Request, server_id: str, metadata: Mapping[str, str]) -> None:
        """Replace the metadata. Raises NotFound, Conflict, QuotaExceeded if there is too much of it."""
        limited_metadata(self.services, req.context.identity.project_id, metadata)
        self.find_unlocked(req, server_id)
        self.requests.update(caller_of(req), server_id, {"metadata": dict(metadata)})


class ServerMetadata(_Metadata):
    """``/servers/{id}/metadata``."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with all items."""
        resp.media = {"metadata": self.read(req, server_id)}

    @operation(body=server_schemas.METADATA_ALL)
    def on_post(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Add items, or give them new values; answer 200 with all."""
        metadata = {**self.read(req, server_id), **req.context.body["metadata"]}
        self.write(req, server_id, metadata)
        resp.media = {"metadata": metadata}

    @operation(body=server_schemas.METADATA_ALL)
    def on_put(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Replace all items; answer 200 with them."""
        metadata = req.context.body["metadata"]
        self.write(req, server_id, metadata)
        resp.media = {"metadata": metadata}


class ServerMetadataItem(_Metadata):
    """``/servers/{id}/metadata/{key}``."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str, key: str) -> None:
        """Answer 200 with one item."""
        resp.media = {"meta": {key: self._existing(req, server_id, key)[key]}}

    @operation(body=server_schemas.METADATA_ITEM)
    def on_put(self, req: falcon.Request, resp: falcon.Response, server_id: str, key: str) -> None:
        """Write one item; answer 200 with it."""
        meta = req.context.body["meta"]
        if key not in meta:
            raise errors.Invalid("Request body and URI mismatch")
        self.write(req, server_id, {**self.read(req, server_id), **meta})
        resp.media = {"meta": meta}

    @operation()
    def on_delete(self, req: falcon.Request, resp: falcon.Response, server_id: str, key: str) -> None:
        """Remove one item; answer 204."""
        metadata = self._existing(req, server_id, key)
        del metadata[key]
        self.write(req, server_id, metadata)
        resp.status = falcon.HTTP_204

    def _existing(self, req: falcon.Request, server_id: str, key: str) -> dict[str, str]:
        metadata = self.read(req, server_id)
        if key not in metadata:
            raise errors.NotFound("Metadata item was not found")
        return metadata


class ServerAddresses(ServerAccess):
    """``/servers/{id}/ips``."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with the addresses by network."""
        row = self.find(req, server_id, ("vm_state", "network_info"))
        resp.media = {"addresses": addresses(row, extended=False)}


class ServerNetworkAddresses(ServerAccess):
    """``/servers/{id}/ips/{network}``."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str, network: str) -> None:
        """Answer 200 with the addresses on one network."""
        found = addresses(self.find(req, server_id, ("vm_state", "network_info")), extended=False)
        if network not in found:
            raise errors.NotFound("Instance is not a member of specified network")
        resp.media = {network: found[network]}


class ServerInterfaces(ServerAccess):
    """``/servers/{id}/os-interface``."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with the interfaces."""
        minor = req.context.version.minor
        row = self.find(req, server_id, ("network_info",))
        resp.media = {"interfaceAttachments": [interface(vif, minor) for vif in row["network_info"]]}


class ServerInterface(ServerAccess):
    """``/servers/{id}/os-interface/{port_id}``."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str, port_id: str) -> None:
        """Answer 200 with one interface."""
        for vif in self.find(req, server_id, ("network_info",))["network_info"]:
            if vif["id"] == port_id:
                resp.media = {"interfaceAttachment": interface(vif, req.context.version.minor)}
                return
        raise errors.NotFound(f"Instance {server_id} has no port {port_id[:64]}")


def interface(vif: Mapping[str, Any], minor: int) -> dict[str, Any]:
    """Return a VIF as the Compute API shows it; its tag from 2.70."""
    shown: dict[str, Any] = {
        "net_id": vif["network_id"],
        "port_id": vif["id"],
        "mac_addr": vif["mac"],
        "port_state": "ACTIVE",
        "fixed_ips": [
            {"subnet_id": fixed["subnet"]["id"], "ip_address": fixed["address"]} for fixed in vif["fixed_ips"]
        ],
    }
    if minor >= 70:
        shown["tag"] = vif.get("tag")
    return shown


class ServerVolumes(ServerAccess):
    """``/servers/{id}/os-volume_attachments``: none, for there are no volumes."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with an empty list."""
        self.find(req, server_id)
        resp.media = {"volumeAttachments": []}


class ServerTags(ServerAccess):
    """``/servers/{id}/tags``, from 2.26."""

    @operation(since=26)
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with the tags."""
        resp.media = {"tags": self.find(req, server_id, ("tags",))["tags"]}

    @operation(since=26, body=server_schemas.TAGS)
    def on_put(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Replace all tags; answer 200 with them."""
        self.find_unlocked(req, server_id)
        tags = sorted(set(req.context.body["tags"]))
        self.requests.update(caller_of(req), server_id, {"tags": tags})
        resp.media = {"tags": tags}

    @operation(since=26)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Remove all tags; answer 204."""
        self.find_unlocked(req, server_id)
        self.requests.update(caller_of(req), server_id, {"tags": []})
        resp.status = falcon.HTTP_204


class ServerTag(ServerAccess):
    """``/servers/{id}/tags/{tag}``, from 2.26."""

    @operation(since=26)
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str, tag: str) -> None:
        """Answer 204 if the server has the tag."""
        self._require(self.find(req, server_id, ("tags",))["tags"], server_id, tag)
        resp.status = falcon.HTTP_204

    @operation(since=26)
    def on_put(self, req: falcon.Request, resp: falcon.Response, server_id: str, tag: str) -> None:
        """Add one tag; answer 201 with its address, 204 if the server has it already."""
        tags = self.find_unlocked(req, server_id, ("tags",))["tags"]
        resp.status = falcon.HTTP_204
        if tag in tags:
            return
        wanted = sorted({*tags, tag})
        validation.check_body(server_schemas.TAGS[1], {"tags": wanted})
        self.requests.update(caller_of(req), server_id, {"tags": wanted})
        server = links.self_and_bookmark(req, "servers", server_id)[0]["href"]
        resp.set_header("Location", f"{server}/tags/{falcon.uri.encode_value(tag)}")
        resp.status = falcon.HTTP_201

    @operation(since=26)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, server_id: str, tag: str) -> None:
        """Remove one tag; answer 204."""
        tags = self.find_unlocked(req, server_id, ("tags",))["tags"]
        self._require(tags, server_id, tag)
        self.requests.update(caller_of(req), server_id, {"tags": [other for other in tags if other != tag]})
        resp.status = falcon.HTTP_204

    def _require(self, tags: Collection[str], server_id: str, tag: str) -> None:
        if tag not in tags:
            raise errors.NotFound(f"Server {server_id} has no tag '{tag[:60]}'")


class ServerSecurityGroups(ServerAccess):
    """``/servers/{id}/os-security-groups``."""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, server_id: str) -> None:
        """Answer 200 with the security groups of the server."""
        row = self.find(req, server_id, ("project_id", "security_groups"))
        known = {group.name: group for group in security_groups(self.services, row["project_id"])}
        resp.media = {
            "security_groups": [
                {
                    "id": known[name].id,
                    "name": name,
                    "description": known[name].description,
                    "tenant_id": known[name].project_id,
                    "rules": [],
                }
                for name in row["security_groups"]
                if name in known
            ]
        }
