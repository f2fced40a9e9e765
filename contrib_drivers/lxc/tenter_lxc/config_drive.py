"""The files of a config drive, where cloud-init looks for them in a container: it has no disk to label ``config-2``.

Formats: https://docs.openstack.org/nova/latest/user/metadata.html; the place is the seed directory of cloud-init's
datasource ConfigDrive, https://docs.cloud-init.io/en/latest/reference/datasources/configdrive.html.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenter.contracts.network import VIF, FixedIP
from tenter.contracts.virt import SpawnRequest

TARGET = "/var/lib/cloud/seed/config_drive"
VERSIONS = ("2018-08-27", "latest")


def write(directory: Path, owner: int, request: SpawnRequest, vifs: Sequence[VIF]) -> None:
    """Make ``directory`` with the guest's files; only the user and group ``owner`` can read them. Raises OSError."""
    files = {
        "meta_data.json": json.dumps(meta_data(request)).encode(),
        "network_data.json": json.dumps(network_data(vifs)).encode(),
        "vendor_data.json": b"{}",
    }
    if request.user_data is not None:
        files["user_data"] = request.user_data
    for version in VERSIONS:
        (directory / "openstack" / version).mkdir(parents=True)
        for name, data in files.items():
            (directory / "openstack" / version / name).write_bytes(data)
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.chown(path, owner, owner)


def meta_data(request: SpawnRequest) -> dict[str, Any]:
    """Return ``meta_data.json``. ``random_seed`` (512 bytes, base64) is new at each call."""
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
    links = [
        {"id": f"eth{index}", "vif_id": vif.id, "type": "phy", "mtu": vif.mtu, "ethernet_mac_address": vif.mac}
        for index, vif in enumerate(vifs)
    ]
    addresses = [(f"eth{index}", vif.network_id, fixed) for index, vif in enumerate(vifs) for fixed in vif.fixed_ips]
    networks = [
        {"id": f"network{index}", "link": link, "network_id": network, **_network(fixed)}
        for index, (link, network, fixed) in enumerate(addresses)
    ]
    servers = dict.fromkeys(server for _, _, fixed in addresses for server in fixed.subnet.dns)
    return {
        "links": links,
        "networks": networks,
        "services": [{"type": "dns", "address": server} for server in servers],
    }


def _network(fixed: FixedIP) -> dict[str, Any]:
    subnet = fixed.subnet
    if subnet.dhcp:
        return {"type": f"ipv{fixed.version}_dhcp"}
    anywhere = "0.0.0.0" if fixed.version == 4 else "::"
    return {
        "type": f"ipv{fixed.version}",
        "ip_address": fixed.address,
        "netmask": str(ipaddress.ip_network(subnet.cidr, strict=False).netmask),
        "routes": [{"network": anywhere, "netmask": anywhere, "gateway": subnet.gateway}] if subnet.gateway else [],
        "services": [{"type": "dns", "address": server} for server in subnet.dns],
    }
