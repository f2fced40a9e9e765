"""What the Network API v2.0 answers with, in its own form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenter.contracts.network import NetworkRecord, PortRecord, SecurityGroupRecord, SubnetRecord

_TYPES = {
    "Invalid": "InvalidInput",
    "Forbidden": "PolicyNotAuthorized",
    "ResourceExhausted": "IpAddressGenerationFailure",
    "Unavailable": "ServiceUnavailable",
}


def render_error(status: int, message: str, kind: str) -> dict[str, Any]:
    """Return an error's body: ``{"NeutronError": {"type": "NotFound", "message": "…", "detail": ""}}``."""
    return {"NeutronError": {"type": _TYPES.get(kind, kind), "message": message, "detail": ""}}


def render_version(root: str) -> dict[str, Any]:
    """Return the description of v2.0; ``root`` is the URL of the service."""
    return {
        "id": "v2.0",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{root}/v2.0/"}],
    }


def _common(record: NetworkRecord | SubnetRecord | PortRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "revision_number": 0,
        "tags": [],
    }


def render_network(record: NetworkRecord) -> dict[str, Any]:
    """Return a network."""
    return {
        **_common(record),
        "admin_state_up": record.admin_state_up,
        "status": "ACTIVE" if record.admin_state_up else "DOWN",
        "shared": record.shared,
        "is_default": record.is_default,
        "mtu": record.mtu,
        "subnets": list(record.subnet_ids),
        "router:external": False,
        "port_security_enabled": False,
        "availability_zone_hints": [],
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "qos_policy_id": None,
    }


def render_subnet(record: SubnetRecord) -> dict[str, Any]:
    """Return a subnet."""
    return {
        **_common(record),
        "network_id": record.network_id,
        "ip_version": record.version,
        "cidr": record.cidr,
        "gateway_ip": record.gateway,
        "enable_dhcp": record.dhcp,
        "dns_nameservers": list(record.dns),
        "allocation_pools": [{"start": record.first, "end": record.last}],
        "host_routes": [],
        "service_types": [],
        "subnetpool_id": None,
        "segment_id": None,
        "ipv6_address_mode": None,
        "ipv6_ra_mode": None,
    }


def render_port(record: PortRecord) -> dict[str, Any]:
    """Return a port. No driver of this contract filters traffic, so ``port_security_enabled`` is false."""
    return {
        **_common(record),
        "network_id": record.network_id,
        "admin_state_up": record.admin_state_up,
        "status": "ACTIVE" if record.device_id else "DOWN",
        "mac_address": record.mac,
        "fixed_ips": [{"subnet_id": ip.subnet_id, "ip_address": ip.address} for ip in record.fixed_ips],
        "device_id": record.device_id,
        "device_owner": record.device_owner,
        "binding:host_id": record.host,
        "binding:vnic_type": "normal",
        "binding:vif_type": record.vif_type,
        "binding:vif_details": {},
        "binding:profile": {},
        "security_groups": [],
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "port_security_enabled": False,
        "qos_policy_id": None,
    }


def render_security_group(record: SecurityGroupRecord) -> dict[str, Any]:
    """Return a security group."""
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "security_group_rules": [],
        "shared": False,
        "stateful": True,
        "revision_number": 0,
        "tags": [],
    }


EXTENSIONS: tuple[Mapping[str, Any], ...] = tuple(
    {"alias": alias, "name": name, "description": name, "links": [], "updated": "2026-01-01T00:00:00-00:00"}
    for alias, name in (
        ("security-group", "security-group"),
        ("binding", "Port Binding"),
        ("net-mtu", "Network MTU"),
        ("project-id", "project_id field enabled"),
        ("quotas", "Quota management support"),
        ("quota_details", "Quota details management support"),
        ("pagination", "Pagination support"),
        ("sorting", "Sorting support"),
        ("standard-attr-description", "standard-attr-description"),
        ("standard-attr-timestamp", "Resource timestamps"),
    )
)
