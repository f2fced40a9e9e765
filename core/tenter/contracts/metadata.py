"""What a guest can learn of itself: the files of a config drive, for drivers to bring to their guests.

Formats: https://docs.openstack.org/nova/latest/user/metadata.html (files and meta_data.json) and
https://docs.openstack.org/nova/latest/user/metadata.html#openstack-format-metadata (network_data.json).
"""

from __future__ import annotations

import base64
import ipaddress
import json
import secrets
from collections.abc import Sequence
from typing import Any

from tenter.contracts.network import VIF, FixedIP
from tenter.contracts.virt import SpawnRequest

LABEL = "config-2"
"""Label of the file system that holds them, where they are on a disk."""

VERSIONS = ("2018-08-27", "latest")
"""Directories below ``openstack`` that hold the same files: the newest published version, and what most read."""


def metadata_files(request: SpawnRequest, vifs: Sequence[VIF]) -> dict[str, bytes]:
    """Return the contents of all files by path, such as ``openstack/latest/meta_data.json``. They hold secrets."""
    files = {
        "meta_data.json": json.dumps(meta_data(request)).encode(),
        "network_data.json": json.dumps(network_data(vifs)).encode(),
        "vendor_data.json": b"{}",
    }
    if request.user_data is not None:
        files["user_data"] = request.user_data
    return {f"openstack/{version}/{name}": data for version in VERSIONS for name, data in files.items()}


def meta_data(request: SpawnRequest) -> dict[str, Any]:
    """Return ``meta_data.json`` of a guest. ``random_seed`` (512 bytes, base64) is new at each call."""
    data: dict[str, Any] = {
        "uuid": request.uuid,
        "hostname": request.hostname,
        "name": request.name,
        "project_id": request.project_id,
        "launch_index": request.launch_index,
        "availability_zone": request.availability_zone,
        "random_seed": base64.b64encode(secrets.token_bytes(512)).decode("ascii"),
        "meta": dict(request.metadata),
        "devices": [],
    }
    if request.public_key:
        name = request.keypair_name or "default"
        data["public_keys"] = {name: request.public_key}
        data["keys"] = [{"name": name, "type": "ssh", "data": request.public_key}]
    if request.admin_password is not None:
        data["admin_pass"] = request.admin_password
    return data


def network_data(vifs: Sequence[VIF]) -> dict[str, Any]:
    """Return ``network_data.json``: links, the networks on them, and services (DNS servers)."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    servers: list[str] = []
    for vif in vifs:
        link = vif.devname or f"tap{vif.id[:11]}"
        links.append({
            "id": link,
            "vif_id": vif.id,
            "type": "bridge" if vif.type == "bridge" else "phy",
            "mtu": vif.mtu,
            "ethernet_mac_address": vif.mac,
        })  # fmt: skip
        for fixed in vif.fixed_ips:
            networks.append(_network(f"network{len(networks)}", link, vif.network_id, fixed))
            servers += [address for address in fixed.subnet.dns if address not in servers]
    return {
        "links": links,
        "networks": networks,
        "services": [{"type": "dns", "address": address} for address in servers],
    }


def _network(name: str, link: str, network_id: str, fixed: FixedIP) -> dict[str, Any]:
    subnet = fixed.subnet
    network: dict[str, Any] = {"id": name, "link": link, "network_id": network_id}
    if subnet.dhcp:
        return {**network, "type": f"ipv{fixed.version}_dhcp"}
    routes = []
    if subnet.gateway:
        anywhere = "0.0.0.0" if fixed.version == 4 else "::"
        routes.append({"network": anywhere, "netmask": anywhere, "gateway": subnet.gateway})
    return {
        **network,
        "type": f"ipv{fixed.version}",
        "ip_address": fixed.address,
        "netmask": str(ipaddress.ip_network(subnet.cidr, strict=False).netmask),
        "routes": routes,
        "services": [{"type": "dns", "address": address} for address in subnet.dns],
    }
