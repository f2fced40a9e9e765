"""Config drives as guests know them from OpenStack: iso9660 with label ``config-2``.

Formats: https://docs.openstack.org/nova/latest/user/metadata.html (files and meta_data.json) and
https://docs.openstack.org/nova/latest/user/metadata.html#openstack-format-metadata (network_data.json).
"""

from __future__ import annotations

import base64
import io
import ipaddress
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pycdlib

from tenter.contracts.network import VIF, FixedIP
from tenter.contracts.virt import SpawnRequest

LABEL = "config-2"
# The newest published version; cloud-init and others take it or "latest".
VERSIONS = ("2018-08-27", "latest")


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


def files(request: SpawnRequest, vifs: Sequence[VIF]) -> dict[str, bytes]:
    """Return the files of one version directory by name."""
    found = {
        "meta_data.json": orjson.dumps(meta_data(request)),
        "network_data.json": orjson.dumps(network_data(vifs)),
        "vendor_data.json": b"{}",
    }
    if request.user_data is not None:
        found["user_data"] = request.user_data
    return found


def write(path: Path, request: SpawnRequest, vifs: Sequence[VIF]) -> None:
    """Write the guest's config drive to ``path`` (mode 0600: it holds secrets). Raises OSError."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", joliet=3, vol_ident=LABEL)
    try:
        iso.add_directory("/OPENSTAC", rr_name="openstack", joliet_path="/openstack")
        content = files(request, vifs)
        for number, version in enumerate(VERSIONS):
            # Plain iso9660 names are short and upper case; guests read the Rock Ridge or Joliet ones.
            iso_dir, joliet_dir = f"/OPENSTAC/V{number}", f"/openstack/{version}"
            iso.add_directory(iso_dir, rr_name=version, joliet_path=joliet_dir)
            for index, (name, data) in enumerate(content.items()):
                iso.add_fp(io.BytesIO(data), len(data), f"{iso_dir}/F{index}.;1", rr_name=name,
                           joliet_path=f"{joliet_dir}/{name}")  # fmt: skip
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            iso.write_fp(target)
    finally:
        iso.close()
