"""Creating servers: everything is checked before anything is made."""

from __future__ import annotations

import dataclasses
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import falcon
from oslo_utils import strutils

from tenter import errors
from tenter.contracts.image import Image, ShowRequest
from tenter.contracts.network import (
    CheckRequest,
    NetworkScope,
    RequestedNetwork,
    SecurityGroupRecord,
    SupportsNetworkApi,
)
from tenter.objects import Flavor
from tenter.operations.asked import asked
from tenter.operations.requests import Caller, CreateServers
from tenter.store import flavors, keypairs
from tenter.store.quota import Quotas
from tenter_api.compute.hints import checked_hints
from tenter_api.services import Services
from tenter_api.validation import is_uuid

GIB = 1 << 30
_PASSWORD_LETTERS = string.ascii_letters + string.digits
_PASSWORD_LENGTH = 12
_NAME_LENGTH = 255
_BOOT_DISK_KEYS = {
    "uuid", "image_id", "boot_index", "source_type", "destination_type", "delete_on_termination",
    "device_name", "tag", "disk_bus", "device_type",
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """What was made: the first server's UUID, and what the answer needs beside it."""

    uuid: str
    reservation_id: str
    admin_password: str
    disk_config: str
    wants_reservation: bool


@dataclass(frozen=True)
class _Destination:
    """Where servers shall go; ``strict`` if the zone must be the chosen host's."""

    zone: str | None = None
    host: str | None = None
    node: str | None = None
    strict: bool = field(default=False, kw_only=True)

    @property
    def forced(self) -> bool:
        return bool(self.host or self.node)


def generate_password() -> str:
    """Return a random password for the administrator of a guest."""
    return "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(_PASSWORD_LENGTH))


def truth(value: Any) -> bool:
    """Return a boolean that may be written as a word (checked by the schema)."""
    return bool(strutils.bool_from_string(value))


def usable_image(
    services: Services, image_id: str, project_id: str, flavor: Mapping[str, Any] | Flavor
) -> Image:
    """Return the image if servers of this flavor can be made from it.

    Raises Invalid: unknown, not active, or the flavor has too little memory or disk for it.
    """
    try:
        image = services.image.show(ShowRequest(image_id, project_id))
    except errors.NotFound:
        raise errors.Invalid("Can not find requested image") from None
    if image.status != "active":
        raise errors.Invalid(f"Image {image.id} is not active.")
    memory, disk = (
        (flavor.memory_mb, flavor.root_gb)
        if isinstance(flavor, Flavor)
        else (flavor["memory_mb"], flavor["root_gb"])
    )
    if memory < image.min_ram:
        raise errors.Invalid(
            f"Flavor's memory is too small for requested image: {memory} MiB of {image.min_ram} MiB needed."
        )
    needed = max(image.min_disk * GIB, image.size or 0)
    # A root disk of 0 is as large as the image.
    if disk and disk * GIB < needed:
        raise errors.Invalid(
            f"Flavor's disk is too small for requested image: {disk * GIB} of {needed} bytes needed."
        )
    return image


def key_of(services: Services, user_id: str, name: str) -> str:
    """Return the public key of the user's key pair. Raises Invalid."""
    try:
        return str(keypairs.get_keypair(services.fabric.api_db, user_id, name).public_key)
    except errors.NotFound:
        raise errors.Invalid("Invalid key_name provided.") from None


def refuse_unsupported(server: Mapping[str, Any]) -> None:
    """Raise Invalid for what the Compute API knows but this deployment does not."""
    if server.get("personality"):
        raise errors.Invalid("Files (personality) are not supported by this deployment; use user_data.")
    if server.get("trusted_image_certificates"):
        raise errors.Invalid("Trusted image certificates are not supported by this deployment.")


@dataclass(frozen=True)
class Wanted:
    """The part of a create that the scheduler is asked about."""

    flavor: Flavor
    properties: Mapping[str, str]
    image_id: str | None
    zone: str | None
    host: str | None
    node: str | None
    hints: Mapping[str, Any]
    count: int | None


class ServerCreator:
    """Turns a body of ``POST /servers``, checked by its schema, into a request for servers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.fabric.api_db

    def create(self, req: falcon.Request, caller: Caller) -> Made:
        """Ask for the servers. Raises Invalid, Forbidden, Conflict; then nothing was made."""
        body = req.context.body
        server = body["server"]
        refuse_unsupported(server)
        low, high = self._counts(server)
        flavor = self._flavor(server["flavorRef"], caller)
        image = usable_image(self._services, _image_id(server), caller.project_id, flavor)
        # What the scheduler will be asked; a flavor may have been given its extra specs when nobody looked at them.
        asked(flavor.to_mapping(), image.properties, self._services.conf.pci.alias)
        destination = self._destination(server, caller)
        name = _name(server, high)
        password = server.get("adminPass") or generate_password()
        key_name = server.get("key_name")
        request = CreateServers(
            name=name,
            flavor=flavor,
            image=image,
            description=server.get("description") if req.context.version.minor >= 19 else name,
            hostname=server.get("hostname"),
            key_name=key_name,
            public_key=None if key_name is None else key_of(self._services, caller.user_id, key_name),
            user_data=server.get("user_data"),
            metadata=limited_metadata(self._services, caller.project_id, server.get("metadata")),
            config_drive=truth(server.get("config_drive", True)),
            zone=destination.zone,
            forced_host=destination.host,
            forced_node=destination.node,
            min_count=low,
            max_count=high,
            hints=checked_hints(self._database, caller, _hints(body)),
            tags=tuple(dict.fromkeys(server.get("tags", ()))),
            security_groups=self._security_groups(server.get("security_groups"), caller.project_id),
            disk_config=server.get("OS-DCF:diskConfig", "MANUAL"),
            access_ip_v4=server.get("accessIPv4"),
            access_ip_v6=server.get("accessIPv6"),
            admin_password=password,
            root_device_name=None,
            # Last, for it is the dearest to find out.
            networks=self._networks(server.get("networks"), caller.project_id, high),
        )
        created = self._services.fabric.requests.create(caller, request)
        return Made(
            uuid=created.uuids[0],
            reservation_id=created.reservation_id,
            admin_password=password,
            disk_config=request.disk_config,
            wants_reservation=truth(server.get("return_reservation_id", False)),
        )

    def wanted(self, body: Mapping[str, Any], caller: Caller) -> Wanted:
        """Return what the scheduler would be asked for a body. Raises Invalid, Forbidden."""
        server = body["server"]
        count = self._counts(server)[0] if {"min_count", "max_count"} & server.keys() else None
        flavor = self._flavor(server["flavorRef"], caller)
        image_id = server.get("imageRef") or None
        image = usable_image(self._services, image_id, caller.project_id, flavor) if image_id else None
        destination = self._destination(server, caller)
        return Wanted(
            flavor=flavor,
            properties=image.properties if image else {},
            image_id=image_id,
            zone=destination.zone,
            host=destination.host,
            node=destination.node,
            hints=checked_hints(self._database, caller, _hints(body)),
            count=count,
        )

    def _counts(self, server: Mapping[str, Any]) -> tuple[int, int]:
        low = int(server.get("min_count", 1))
        high = int(server.get("max_count", low))
        if low > high:
            raise errors.Invalid("min_count must be <= max_count")
        most = self._services.conf.api.max_instances_per_request
        if high > most:
            raise errors.Invalid(f"max_count may be at most {most}.")
        return low, high

    def _flavor(self, reference: str | int, caller: Caller) -> Flavor:
        # A reference may be a URL whose last part is the id.
        flavorid = _last_part(str(reference))
        try:
            if "\0" in flavorid:
                raise errors.NotFound("No id holds a NUL character.")
            return flavors.get_flavor(
                self._database, flavorid, None if caller.is_admin else caller.project_id
            )
        except errors.NotFound:
            raise errors.Invalid(f"Flavor {flavorid[:255]} could not be found.") from None

    def _destination(self, server: Mapping[str, Any], caller: Caller) -> _Destination:
        """Return the zone asked for, and the host and node that an administrator chose."""
        wanted = _parse_zone(server.get("availability_zone"))
        named = server.get("host"), server.get("hypervisor_hostname")
        if any(named):
            if wanted.forced:
                raise errors.Invalid(
                    "A host can be chosen by its name or by the availability zone (zone:host), not by both."
                )
            wanted = _Destination(wanted.zone, *named, strict=True)
        if wanted.forced and not caller.is_admin:
            raise errors.Forbidden("Policy doesn't allow this to be done: only administrators choose hosts.")
        if not (wanted.zone or wanted.forced):
            return wanted
        known, complete = self._services.servers.hosts()
        try:
            return _known_destination(known, wanted)
        except errors.Invalid:
            if complete:
                raise
            raise self._services.fabric.cells.asking.unavailable("A cell in which that zone or host may be") from None

    def _networks(self, wanted: Any, project_id: str, count: int) -> tuple[RequestedNetwork, ...]:
        if wanted == "none":
            return ()
        if wanted == "auto" or not wanted:
            return self._services.network.check(CheckRequest(project_id, None, count))
        asked = [_network(item, count) for item in wanted]
        ports = [item.port_id for item in asked if item.port_id]
        if len(set(ports)) < len(ports):
            raise errors.Invalid("A port was specified twice: it cannot be attached multiple times.")
        try:
            return self._services.network.check(CheckRequest(project_id, asked, count))
        except errors.NotFound as exc:
            raise errors.Invalid(exc.message) from exc

    def _security_groups(
        self, wanted: Sequence[Mapping[str, str]] | None, project_id: str
    ) -> tuple[str, ...]:
        """Return the names of the groups, which may be given by name or by id. Raises Invalid."""
        given = [group["name"] for group in wanted or () if group.get("name")]
        if set(given) <= {"default"}:
            return ("default",)
        known = security_groups(self._services, project_id)
        names = {key: group.name for group in known for key in (group.id, group.name)}
        names["default"] = "default"
        for name in given:
            if name not in names:
                raise errors.Invalid(f"Security group {name} not found for project {project_id}.")
        return tuple(dict.fromkeys(names[name] for name in given))


def _name(server: Mapping[str, Any], count: int) -> str:
    """Return the name of the servers. Raises Invalid if it, or the host name, does not do for that many."""
    name = str(server["name"]).strip()
    if count > 1 and server.get("hostname") is not None:
        raise errors.Invalid("Unable to allocate a single hostname to multiple instances")
    if count > 1 and len(name) + 1 + len(str(count)) > _NAME_LENGTH:
        raise errors.Invalid("The name is too long to be numbered for several instances.")
    return name


def _last_part(reference: str) -> str:
    try:
        return urlsplit(reference).path.rsplit("/", 1)[-1]
    except ValueError:
        return reference


def _image_id(server: Mapping[str, Any]) -> str:
    """Return the image to boot from. Raises Invalid for block devices other than its disk on the host."""
    image_id: str | None = server.get("imageRef") or None
    devices = server.get("block_device_mapping_v2") or []
    if server.get("block_device_mapping"):
        raise errors.Invalid(
            "Block device mappings other than an image's disk are not supported by this deployment."
        )
    if devices:
        image_id = _boot_image(devices, image_id)
    if image_id is None:
        raise errors.Invalid("Missing imageRef attribute")
    return image_id


def _boot_image(devices: Sequence[Mapping[str, Any]], image_id: str | None) -> str:
    device = devices[0]
    of_device = device.get("image_id") or device.get("uuid")
    if (
        len(devices) > 1
        or set(device) - _BOOT_DISK_KEYS
        or device.get("source_type", "image") != "image"
        or device.get("destination_type", "local") != "local"
        or str(device.get("boot_index")) != "0"
        or not of_device
    ):
        raise errors.Invalid(
            "The block devices asked for are not supported by this deployment: only one, "
            "with source_type image, destination_type local and boot_index 0."
        )
    if not is_uuid(of_device) or (image_id is not None and of_device != image_id):
        raise errors.Invalid("The boot disk must be made from the image that imageRef names.")
    return str(of_device)


def _parse_zone(text: str | None) -> _Destination:
    """Return what ``zone[:host[:node]]`` says. Raises Invalid."""
    if text is None:
        return _Destination()
    parts = text.split(":")
    if len(parts) > 3:
        raise errors.Invalid(
            "Unable to parse availability_zone: it must look like zone, zone:host or zone:host:node."
        )
    return _Destination(*(part or None for part in parts))


def _known_destination(known: Sequence[tuple[str, str, str]], wanted: _Destination) -> _Destination:
    zone = wanted.zone
    if not wanted.forced:
        if zone not in {of_host for _, _, of_host in known}:
            raise errors.Invalid(f"The requested availability zone {zone!r} is not available")
        return wanted
    fits = {
        of_host
        for host, node, of_host in known
        if wanted.host in (None, host) and wanted.node in (None, node)
    }
    if not fits:
        if wanted.node and any(wanted.host == host for host, _, _ in known):
            raise errors.Invalid(f"Compute host {wanted.host} has no node {wanted.node}.")
        raise errors.Invalid(f"Compute host {wanted.host or wanted.node} could not be found.")
    if zone is None or zone in fits:
        return wanted
    if wanted.strict:
        raise errors.Invalid(
            f"Compute host {wanted.host or wanted.node} is in the availability zone {min(fits)!r}, not in {zone!r}."
        )
    # "nova:host" is how clients say "that host" wherever it is; a zone that it is not in would never hold it.
    return dataclasses.replace(wanted, zone=None)


def _network(item: Mapping[str, Any], count: int) -> RequestedNetwork:
    port, address = item.get("port"), item.get("fixed_ip")
    if port and address:
        raise errors.Invalid(f"Fixed IP {address!r} cannot be asked for together with port {port!r}.")
    if port and count > 1:
        raise errors.Invalid("Several instances cannot be created with one port.")
    if address and count > 1:
        raise errors.Invalid("Several instances cannot be created with one fixed IP.")
    if port:
        return RequestedNetwork(port_id=port, tag=item.get("tag"))
    if "uuid" not in item:
        raise errors.Invalid("Bad network format: missing 'uuid'")
    if not is_uuid(item["uuid"]):
        raise errors.Invalid(f"Bad networks format: {item['uuid'][:64]!r} is no UUID")
    return RequestedNetwork(network_id=item["uuid"], fixed_ip=address, tag=item.get("tag"))


def limited_metadata(
    services: Services, project_id: str, metadata: Mapping[str, str] | None
) -> Mapping[str, str]:
    """Return the metadata, empty for None. Raises QuotaExceeded for more than servers of the project may have."""
    if not metadata:
        return {}
    limit = Quotas(services.fabric.api_db, services.conf).limits(project_id)["metadata_items"]
    if 0 <= limit < len(metadata):
        raise errors.QuotaExceeded(f"Maximum number of metadata items exceeds {limit}")
    return metadata


def _hints(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body.get("os:scheduler_hints") or body.get("OS-SCH-HNT:scheduler_hints") or {}


def security_groups(services: Services, project_id: str) -> Sequence[SecurityGroupRecord]:
    """Return the security groups of a project; none if the network driver has no such thing."""
    if not isinstance(services.network, SupportsNetworkApi):
        return ()
    return services.network.list_security_groups(NetworkScope(project_id))
