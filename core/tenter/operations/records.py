"""From a request to the rows that a server begins with."""

from __future__ import annotations

import re
import uuid as uuidlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tenter import objects
from tenter.contracts.image import Image
from tenter.store.engine import now

if TYPE_CHECKING:
    from tenter.operations.requests import CreateServers, RebuildServer


def image_meta(image: Image) -> objects.ImageMeta:
    """Return what an instance keeps of an image."""
    return objects.ImageMeta(
        id=image.id,
        name=image.name,
        disk_format=image.disk_format or "raw",
        size=image.size or 0,
        checksum=f"{image.hash[0]}:{image.hash[1]}" if image.hash else None,
        min_disk=image.min_disk,
        min_ram=image.min_ram,
        properties=dict(image.properties),
    )


def sanitize_hostname(name: str, uuid: str) -> str:
    """Return a host name made of a server's name (RFC 1123: letters, digits, hyphens, at most 63)."""
    host = re.sub(r"[^a-z0-9-]+", "-", name.lower().replace("_", "-").replace(" ", "-"))
    return host[:63].strip("-") or f"server-{uuid}"


def instance_rows(
    project_id: str, user_id: str, request: CreateServers, reservation_id: str
) -> list[dict[str, Any]]:
    """Return the rows of the servers of one request, as they are before they have a place."""
    meta = image_meta(request.image)
    spec = objects.RequestSpec(
        instance_uuid=str(uuidlib.UUID(int=0)), project_id=project_id, user_id=user_id, flavor=request.flavor,
        image=meta, networks=[_network(wanted) for wanted in request.networks],
        block_devices=[_root_disk(request)], availability_zone=request.zone, forced_host=request.forced_host,
        key_name=request.key_name, public_key=request.public_key, user_data=request.user_data,
        scheduler_hints=dict(request.hints),
    )  # fmt: skip
    primitive = spec.obj_to_primitive()
    flavor = request.flavor.to_mapping()
    image = meta.to_mapping()
    at = now()
    rows = []
    for index in range(request.max_count):
        uuid = str(uuidlib.uuid4())
        name = request.name if request.max_count == 1 else f"{request.name}-{index + 1}"
        data = {**primitive["tenter_object.data"], "instance_uuid": uuid}
        rows.append({
            "uuid": uuid, "project_id": project_id, "user_id": user_id, "display_name": name,
            "description": request.description, "hostname": request.hostname or sanitize_hostname(name, uuid),
            "reservation_id": reservation_id, "launch_index": index, "vm_state": "building",
            "task_state": "scheduling", "power_state": 0, "progress": 0, "operation_uuid": None,
            "host": None, "node": None, "node_uuid": None, "availability_zone": request.zone,
            "pinned_zone": request.zone, "image_ref": request.image.id, "image": image, "flavor": flavor,
            "key_name": request.key_name, "access_ip_v4": request.access_ip_v4,
            "access_ip_v6": request.access_ip_v6, "config_drive": request.config_drive,
            "disk_config": request.disk_config, "locked": False,
            "root_device_name": request.root_device_name or "/dev/vda", "metadata": dict(request.metadata),
            "tags": sorted(request.tags), "hints": dict(request.hints),
            "security_groups": list(request.security_groups), "network_info": [], "fault": None, "handle": None,
            "spec": {
                "request": {**primitive, "tenter_object.data": data},
                "forced_host": request.forced_host, "forced_node": request.forced_node,
            },
            "created_at": at, "updated_at": at, "launched_at": None, "terminated_at": None,
        })  # fmt: skip
    return rows


def rebuilt_spec(spec: Mapping[str, Any], request: RebuildServer) -> dict[str, Any]:
    """Return the spec of a server that is made anew: other image, and what else the request changes."""
    wanted: Any = objects.RequestSpec.obj_from_primitive(spec["request"])
    wanted.image = image_meta(request.image)
    if request.user_data is None or isinstance(request.user_data, str):
        wanted.user_data = request.user_data
    if request.key is None:
        wanted.key_name = wanted.public_key = None
    elif isinstance(request.key, tuple):
        wanted.key_name, wanted.public_key = request.key
    return {**spec, "request": wanted.obj_to_primitive()}


def _network(wanted: Any) -> dict[str, Any]:
    return {
        "network_id": wanted.network_id, "port_id": wanted.port_id, "fixed_ip": wanted.fixed_ip, "tag": wanted.tag,
    }  # fmt: skip


def _root_disk(request: CreateServers) -> objects.BlockDevice:
    return objects.BlockDevice(
        boot_index=0, source_type="image", destination_type="local", image_id=request.image.id,
        volume_size=request.flavor.root_gb, device_name=request.root_device_name or "/dev/vda",
        delete_on_termination=True,
    )  # fmt: skip
