"""JSON Schemas of the Network API v2.0's bodies: what a client may set, and nothing that would be ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAME = {"type": "string", "maxLength": 255, "format": "printable"}
_TEXT = {"type": "string", "maxLength": 255}
_BOOL = {"type": "boolean"}
_UUID = {"type": "string", "format": "uuid"}
_PROJECT = {"type": "string", "minLength": 1, "maxLength": 255}
_ADDRESS = {"type": "string", "maxLength": 64}
_NO = {"enum": [False, None]}
_LABELS = {"name": _NAME, "description": _TEXT}
_OWNER = {"project_id": _PROJECT, "tenant_id": _PROJECT}


def _body(kind: str, properties: Mapping[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    inner = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
    return {"type": "object", "properties": {kind: inner}, "required": [kind], "additionalProperties": False}


CREATE_NETWORK = _body(
    "network",
    {
        **_LABELS,
        **_OWNER,
        "admin_state_up": _BOOL,
        "shared": _BOOL,
        "mtu": {"type": ["integer", "string"], "pattern": "^[0-9]{1,5}$", "minimum": 576, "maximum": 65535},
        "router:external": _NO,
        "is_default": _NO,
        "port_security_enabled": _NO,
    },
)
UPDATE_NETWORK = _body("network", {**_LABELS, "admin_state_up": _BOOL, "shared": _BOOL})

CREATE_SUBNET = _body(
    "subnet",
    {
        **_LABELS,
        **_OWNER,
        "network_id": _UUID,
        "ip_version": {"enum": [4]},
        "cidr": {"type": "string", "maxLength": 64},
        "gateway_ip": {"type": ["string", "null"], "maxLength": 64},
        "enable_dhcp": _BOOL,
        "dns_nameservers": {"type": "array", "items": _ADDRESS, "maxItems": 5},
        "allocation_pools": {
            "type": "array",
            "maxItems": 1,
            "items": {
                "type": "object",
                "properties": {"start": _ADDRESS, "end": _ADDRESS},
                "required": ["start", "end"],
                "additionalProperties": False,
            },
        },
        "host_routes": {"type": "array", "maxItems": 0},
        "service_types": {"type": "array", "maxItems": 0},
    },
    ("network_id", "ip_version", "cidr"),
)
UPDATE_SUBNET = _body("subnet", _LABELS)

CREATE_PORT = _body(
    "port",
    {
        **_LABELS,
        **_OWNER,
        "network_id": _UUID,
        "admin_state_up": _BOOL,
        "mac_address": {"type": "string", "pattern": "^[0-9A-Fa-f]([02468ACEace])(:[0-9A-Fa-f]{2}){5}$"},
        "fixed_ips": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "properties": {"subnet_id": _UUID, "ip_address": _ADDRESS},
                "minProperties": 1,
                "additionalProperties": False,
            },
        },
        "security_groups": {"type": "array", "items": _UUID, "maxItems": 100},
        "device_id": {"enum": [""]},
        "device_owner": {"enum": [""]},
        "binding:vnic_type": {"enum": ["normal"]},
        "port_security_enabled": _NO,
    },
    ("network_id",),
)
UPDATE_PORT = _body("port", {**_LABELS, "admin_state_up": _BOOL})
