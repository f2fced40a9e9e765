"""How servers look at each microversion.

What a request's microversion and caller are entitled to is settled once, in the constructor, as a list of
layers; each row then passes through the same few functions.
"""

from __future__ import annotations

import datetime
import enum
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import falcon

from tenter import errors
from tenter.cells.reading import ALL_COLUMNS, USER_DATA, PartialRow
from tenter.store.columns import iso
from tenter.store.server_groups import hinted
from tenter_api.compute import links
from tenter_api.compute.server_status import WITH_FAULT, WITH_PROGRESS, status_of

Row = Mapping[str, Any]
Server = dict[str, Any]
Layer = Callable[[Server, Row], None]

_INTERNAL = ("operation_uuid", "node_uuid", "handle", "spec")
_SHOWN = tuple(name for name in ALL_COLUMNS if name not in _INTERNAL)
_STANDARD_PROPERTY = re.compile(
    r"(hw_|img_|os_)[a-zA-Z0-9_:. ]{1,250}|architecture|auto_disk_config|hypervisor_type|(kernel|ramdisk)_id",
    re.ASCII,
)


PARTIAL_SINCE = 69
"""The minor version from which servers are shown whose cell does not answer."""

AWAY = "UNKNOWN"
"""Their status, and their zone if none was asked for."""


class Kind(enum.Enum):
    """Which answer a server is part of; they differ in what they show."""

    SHOW = "show"
    DETAIL = "detail"
    UPDATE = "update"
    REBUILD = "rebuild"


def precise_time(seconds: float | None) -> str | None:
    """Return a time as some fields of the Compute API show it: ``2026-01-31T12:00:00.000000``, UTC."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="microseconds")[:26]


def host_id(host: str | None, project_id: str) -> str:
    """Return the opaque name of a host that a project sees; empty without a host."""
    return hashlib.sha224((project_id + host).encode(), usedforsecurity=False).hexdigest() if host else ""


def addresses(row: Row, extended: bool = True) -> dict[str, list[dict[str, Any]]]:
    """Return the addresses of a server by network; empty while it is being built.

    ``extended`` adds the MAC address and the type.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    if row["vm_state"] == "building":
        return found
    for vif in row["network_info"]:
        of_network = found.setdefault(vif["network_label"], [])
        for fixed in vif["fixed_ips"]:
            address = {"version": fixed["version"], "addr": fixed["address"]}
            if extended:
                address["OS-EXT-IPS-MAC:mac_addr"] = vif["mac"]
                address["OS-EXT-IPS:type"] = "fixed"
            of_network.append(address)
    return found


class BasicView:
    """A server in the short list: id, name and links."""

    columns: tuple[str, ...] = ("uuid", "display_name")

    def __init__(self, req: falcon.Request) -> None:
        self._self, self._bookmark = links.linker(req, "servers")

    def links(self, uuid: str) -> list[dict[str, str]]:
        """Return the links of a server."""
        return [
            {"rel": "self", "href": self._self + uuid},
            {"rel": "bookmark", "href": self._bookmark + uuid},
        ]

    def render(self, row: Row) -> Server:
        """Return one server."""
        if isinstance(row, PartialRow):
            return {"id": row["uuid"], "status": AWAY, "links": self.links(row["uuid"])}
        return {"id": row["uuid"], "name": row["display_name"], "links": self.links(row["uuid"])}


class ServerView(BasicView):
    """A server in full, for one request. ``columns`` are those of the row that ``render`` needs.

    ``host_statuses`` maps a host's name to its status; only shown to administrators, and only from 2.16.
    ``group_of`` gives the server group of a server; only asked from 2.71, for single servers.
    """

    def __init__(
        self,
        req: falcon.Request,
        kind: Kind,
        host_statuses: Callable[[], Mapping[str, str]] | None = None,
        group_of: Callable[[str], str | None] = lambda uuid: None,
    ) -> None:
        super().__init__(req)
        self._group_of = group_of
        self._minor = req.context.version.minor
        self._admin = req.context.identity.is_admin
        self._kind = kind
        self._all = kind in (Kind.SHOW, Kind.DETAIL) or self._minor >= 75
        self._flavors = links.linker(req, "flavors")[1]
        self._images = links.linker(req, "images")[1]
        self._host_ids: dict[tuple[str | None, str], str] = {}
        self._layers: tuple[Layer, ...] = tuple(self._choose())
        self._host_statuses: Mapping[str, str] = {}
        if self._admin and self._all and self._minor >= 16 and host_statuses is not None:
            self._host_statuses = host_statuses()
            self._layers += (self._host_status,)
        shows_user_data = kind is Kind.REBUILD or (self._admin and self._all and self._minor >= 3)
        self.columns = (*_SHOWN, USER_DATA) if shows_user_data else _SHOWN

    def _choose(self) -> list[Layer]:
        """Return the layers beyond the base that this request shows."""
        minor, every = self._minor, self._all
        possible: list[tuple[bool, Layer]] = [
            (every, self._states),
            (every or (self._kind is Kind.REBUILD and minor >= 54), self._key),
            (every and self._admin, self._where),
            (every and self._admin and minor >= 3, self._hardware),
            (every and self._admin and minor >= 3 and self._kind is not Kind.REBUILD, self._user_data),
            (every and not self._admin and minor >= 90, self._hostname),
            (minor >= 9, self._locked),
            (minor >= 19, self._description),
            (minor >= 26, self._tags),
            (minor >= 63, self._certificates),
            (minor >= 71 and self._kind is not Kind.DETAIL, self._groups),
            (minor >= 73, self._locked_reason),
            (minor >= 96, self._pinned_zone),
            (minor >= 100, self._hints),
        ]
        return [layer for shown, layer in possible if shown]

    def render(self, row: Row) -> Server:
        """Return one server. Raises Unavailable if too little is known of it."""
        if isinstance(row, PartialRow):
            return self._render_partial(row)
        status = status_of(row["vm_state"], row["task_state"])
        uuid = row["uuid"]
        server: Server = {
            "id": uuid,
            "name": row["display_name"],
            "status": status,
            "tenant_id": row["project_id"],
            "user_id": row["user_id"],
            "metadata": row["metadata"],
            "hostId": self._host_id(row),
            "image": self._image(row),
            "flavor": self._flavor(row["flavor"]),
            "created": iso(row["created_at"]),
            "updated": iso(row["updated_at"]),
            "addresses": addresses(row, self._all),
            "accessIPv4": row["access_ip_v4"] or "",
            "accessIPv6": row["access_ip_v6"] or "",
            "links": self.links(uuid),
            "OS-DCF:diskConfig": row["disk_config"],
        }
        if status in WITH_PROGRESS:
            server["progress"] = row["progress"]
        elif status in WITH_FAULT and row["fault"]:
            server["fault"] = self._fault(row["fault"])
        for layer in self._layers:
            layer(server, row)
        return server

    def _render_partial(self, row: PartialRow) -> Server:
        server: Server = {
            "id": row["uuid"],
            "status": AWAY,
            "tenant_id": row["project_id"],
            "created": iso(row["created_at"]),
            "links": self.links(row["uuid"]),
        }
        if self._kind is Kind.DETAIL:
            return server
        brief = row["brief"]
        if brief is None:
            raise errors.Unavailable(f"The cell of server {row['uuid']} does not answer now; ask again later.")
        image = self._image({"image_ref": brief["image_ref"], "image": None})
        if image:
            # Unlike an image that is shown in full, this one has no properties at any microversion.
            image.pop("properties", None)
        server |= {
            "user_id": row["user_id"],
            "image": image,
            "flavor": self._flavor(brief["flavor"]),
            "OS-EXT-AZ:availability_zone": brief["zone"] or AWAY,
            "OS-EXT-STS:power_state": 0,
        }
        if self._minor >= 71:
            server["server_groups"] = self._group_list(row["uuid"])
        return server

    def _host_id(self, row: Row) -> str:
        key = (row["host"], row["project_id"])
        found = self._host_ids.get(key)
        if found is None:
            found = self._host_ids[key] = host_id(*key)
        return found

    def _image(self, row: Row) -> Any:
        image_id = row["image_ref"]
        if not image_id:
            return ""
        image: dict[str, Any] = {
            "id": image_id,
            "links": [{"rel": "bookmark", "href": self._images + image_id}],
        }
        if self._minor >= 98:
            properties = (row["image"] or {}).get("properties") or {}
            image["properties"] = {
                name: value for name, value in properties.items() if _STANDARD_PROPERTY.fullmatch(name)
            }
        return image

    def _flavor(self, flavor: Mapping[str, Any]) -> dict[str, Any]:
        if self._minor < 47:
            flavorid = flavor["flavorid"]
            return {"id": flavorid, "links": [{"rel": "bookmark", "href": self._flavors + flavorid}]}
        return {
            "vcpus": flavor["vcpus"],
            "ram": flavor["memory_mb"],
            "disk": flavor["root_gb"],
            "ephemeral": flavor["ephemeral_gb"],
            "swap": flavor["swap"],
            "original_name": flavor["name"],
            "extra_specs": flavor["extra_specs"],
        }

    def _fault(self, fault: Mapping[str, Any]) -> dict[str, Any]:
        shown = {"code": fault["code"], "created": iso(fault["created"]), "message": fault["message"]}
        # What went wrong inside is the operator's business.
        if fault.get("details") and (self._admin or fault["code"] != 500):
            shown["details"] = fault["details"]
        return shown

    @staticmethod
    def _states(server: Server, row: Row) -> None:
        server["OS-EXT-STS:task_state"] = row["task_state"]
        server["OS-EXT-STS:vm_state"] = row["vm_state"]
        server["OS-EXT-STS:power_state"] = row["power_state"]
        server["OS-EXT-AZ:availability_zone"] = row["availability_zone"] or ""
        server["OS-SRV-USG:launched_at"] = precise_time(row["launched_at"])
        server["OS-SRV-USG:terminated_at"] = precise_time(row["terminated_at"])
        server["os-extended-volumes:volumes_attached"] = []
        server["config_drive"] = "True" if row["config_drive"] else ""
        if row["security_groups"]:
            server["security_groups"] = [{"name": name} for name in row["security_groups"]]

    @staticmethod
    def _key(server: Server, row: Row) -> None:
        server["key_name"] = row["key_name"]

    @staticmethod
    def _where(server: Server, row: Row) -> None:
        server["OS-EXT-SRV-ATTR:host"] = row["host"]
        server["OS-EXT-SRV-ATTR:hypervisor_hostname"] = row["node"]
        server["OS-EXT-SRV-ATTR:instance_name"] = "tenter-" + row["uuid"]

    @staticmethod
    def _hardware(server: Server, row: Row) -> None:
        properties = (row["image"] or {}).get("properties") or {}
        server["OS-EXT-SRV-ATTR:hostname"] = row["hostname"]
        server["OS-EXT-SRV-ATTR:launch_index"] = row["launch_index"]
        server["OS-EXT-SRV-ATTR:reservation_id"] = row["reservation_id"]
        server["OS-EXT-SRV-ATTR:root_device_name"] = row["root_device_name"]
        server["OS-EXT-SRV-ATTR:kernel_id"] = properties.get("kernel_id", "")
        server["OS-EXT-SRV-ATTR:ramdisk_id"] = properties.get("ramdisk_id", "")

    @staticmethod
    def _user_data(server: Server, row: Row) -> None:
        server["OS-EXT-SRV-ATTR:user_data"] = row[USER_DATA]

    @staticmethod
    def _hostname(server: Server, row: Row) -> None:
        server["OS-EXT-SRV-ATTR:hostname"] = row["hostname"]

    @staticmethod
    def _locked(server: Server, row: Row) -> None:
        server["locked"] = bool(row["locked"])

    @staticmethod
    def _description(server: Server, row: Row) -> None:
        server["description"] = row["description"]

    @staticmethod
    def _tags(server: Server, row: Row) -> None:
        server["tags"] = row["tags"]

    @staticmethod
    def _certificates(server: Server, row: Row) -> None:
        server["trusted_image_certificates"] = None

    def _groups(self, server: Server, row: Row) -> None:
        # Most servers asked for none, and are in none.
        server["server_groups"] = self._group_list(row["uuid"]) if hinted(row["hints"]) else []

    def _group_list(self, uuid: str) -> list[str]:
        group = self._group_of(uuid)
        return [] if group is None else [group]

    @staticmethod
    def _locked_reason(server: Server, row: Row) -> None:
        server["locked_reason"] = None

    @staticmethod
    def _pinned_zone(server: Server, row: Row) -> None:
        server["pinned_availability_zone"] = row["pinned_zone"]

    @staticmethod
    def _hints(server: Server, row: Row) -> None:
        server["scheduler_hints"] = row["hints"]

    def _host_status(self, server: Server, row: Row) -> None:
        server["host_status"] = self._host_statuses.get(row["host"], "UNKNOWN") if row["host"] else ""
