"""Request schemas of servers and their actions, by the minor version from which each holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenter_api.compute.resource import ByVersion

Schema = dict[str, Any]

NAME: Schema = {"type": "string", "format": "name", "minLength": 1, "maxLength": 255}
NAME_OR_NONE: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255}
TEXT: Schema = {"type": ["string", "null"], "format": "printable", "maxLength": 255}
UUID: Schema = {"type": "string", "format": "uuid"}
BOOLEAN: Schema = {
    "type": ["boolean", "string"],
    "enum": [True, False]
    + [word for pair in (("true", "false"), ("1", "0"), ("on", "off"), ("yes", "no")) for word in pair]
    + ["True", "TRUE", "On", "ON", "Yes", "YES", "False", "FALSE", "Off", "OFF", "No", "NO"],
}
COUNT: Schema = {
    "type": ["integer", "string"],
    "pattern": "^[0-9]+$",
    "minimum": 1,
    "minLength": 1,
    "maxLength": 20,
}
SHORT_HOSTNAME: Schema = {
    "type": "string",
    "pattern": "^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$",
    "minLength": 2,
    "maxLength": 63,
}
FQDN: Schema = {"type": "string", "pattern": "^[a-zA-Z0-9-._]*$", "minLength": 1, "maxLength": 255}
IP: Schema = {"type": "string", "oneOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
TAG: Schema = {"type": "string", "pattern": "^[^,/]*$", "minLength": 1, "maxLength": 60}
DISK_CONFIG: Schema = {"type": "string", "enum": ["AUTO", "MANUAL"]}
BASE64: Schema = {"type": "string", "format": "base64", "maxLength": 65535}
META_VALUE: Schema = {"type": "string", "maxLength": 255}
META_KEY = "^[a-zA-Z0-9-_:. ]{1,255}$"
METADATA: Schema = {
    "type": "object",
    "patternProperties": {META_KEY: META_VALUE},
    "additionalProperties": False,
}
CERTIFICATES: Schema = {
    "type": ["array", "null"],
    "minItems": 1,
    "maxItems": 50,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1},
}
PERSONALITY: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "contents": {"type": "string", "format": "base64"}},
        "additionalProperties": False,
    },
}


def closed(properties: Mapping[str, Any], required: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object that has these keys and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def named(name: str, value: Schema) -> Schema:
    """Return the schema of an object with exactly one key."""
    return closed({name: value}, (name,))


_HINT_IDS: Schema = {"type": ["string", "array"], "format": "uuid", "items": UUID}
HINTS: Schema = {
    "type": "object",
    "properties": {
        "group": _HINT_IDS,
        "different_host": _HINT_IDS,
        "same_host": {"type": ["string", "array"], "items": UUID},
        "query": {"type": ["string", "object"]},
        "target_cell": NAME,
        "different_cell": {"type": ["string", "array"], "items": {"type": "string"}},
        "build_near_host_ip": IP,
        "cidr": {"type": "string", "pattern": "^/[0-9a-f.:]+$"},
    },
    "additionalProperties": True,
}


def _block_device(minor: int) -> Schema:
    properties: Schema = {
        "virtual_name": {"type": "string", "maxLength": 255},
        "volume_id": UUID,
        "snapshot_id": UUID,
        "volume_size": {
            "type": ["integer", "string"],
            "pattern": "^[0-9]+$",
            "minimum": 1,
            "maximum": 0x7FFFFFFF,
            "maxLength": 20,
        },
        "device_name": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9._/-]*$"},
        "delete_on_termination": BOOLEAN,
        "no_device": {},
        "connection_info": {"type": "string", "maxLength": 16777215},
        "source_type": {"type": "string", "enum": ["volume", "image", "snapshot", "blank"]},
        "uuid": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9._-]*$"},
        "image_id": UUID,
        "destination_type": {"type": "string", "enum": ["local", "volume"]},
        "guest_format": {"type": "string", "maxLength": 255},
        "device_type": {"type": "string", "maxLength": 255},
        "disk_bus": {"type": "string", "maxLength": 255},
        "boot_index": {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$", "maxLength": 20},
    }
    # The tag of 2.32 was lost by accident until 2.42; clients know.
    if minor == 32 or minor >= 42:
        properties["tag"] = TAG
    if minor >= 67:
        properties["volume_type"] = {"type": ["string", "null"], "maxLength": 255}
    return closed(properties)


def _networks(minor: int) -> Schema:
    nic: Schema = {
        "fixed_ip": IP,
        "port": {"type": ["string", "null"], "format": "uuid"},
        "uuid": UUID if minor >= 37 else {"type": "string"},
    }
    if 32 <= minor < 37 or minor >= 42:
        nic["tag"] = TAG
    listed: Schema = {"type": "array", "items": closed(nic)}
    return listed if minor < 37 else {"oneOf": [listed, {"type": "string", "enum": ["none", "auto"]}]}


def _create(minor: int) -> Schema:
    server: Schema = {
        "name": NAME,
        "imageRef": {"oneOf": [UUID, {"type": "string", "maxLength": 0}]},
        "flavorRef": {"type": ["string", "integer"], "minLength": 1},
        "adminPass": {"type": "string"},
        "metadata": METADATA,
        "networks": _networks(minor),
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": {"type": "string", "format": "ipv4"},
        "accessIPv6": {"type": "string", "format": "ipv6"},
        "availability_zone": NAME,
        "block_device_mapping": {"type": "array", "items": {"type": "object"}},
        "block_device_mapping_v2": {"type": "array", "items": _block_device(minor)},
        "config_drive": BOOLEAN,
        "key_name": NAME,
        "min_count": COUNT,
        "max_count": COUNT,
        "return_reservation_id": BOOLEAN,
        "security_groups": {"type": "array", "items": closed({"name": NAME})},
        "user_data": BASE64,
    }
    later: list[tuple[int, Schema]] = [
        (19, {"description": TEXT}),
        (52, {"tags": {"type": "array", "items": TAG, "maxItems": 50}}),
        (63, {"trusted_image_certificates": CERTIFICATES}),
        (74, {"host": FQDN, "hypervisor_hostname": FQDN}),
        (90, {"hostname": FQDN if minor >= 94 else SHORT_HOSTNAME}),
    ]
    for since, properties in later:
        if minor >= since:
            server.update(properties)
    if minor < 57:
        server["personality"] = PERSONALITY
    required = ("name", "flavorRef", "networks") if minor >= 37 else ("name", "flavorRef")
    body = named("server", closed(server, required))
    body["properties"].update({"os:scheduler_hints": HINTS, "OS-SCH-HNT:scheduler_hints": HINTS})
    return body


CREATE: ByVersion = {minor: _create(minor) for minor in (1, 19, 32, 33, 37, 42, 52, 57, 63, 67, 74, 90, 94)}


def _update(minor: int) -> Schema:
    server: Schema = {
        "name": NAME,
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": {"type": "string", "format": "ipv4"},
        "accessIPv6": {"type": "string", "format": "ipv6"},
    }
    if minor >= 19:
        server["description"] = TEXT
    if minor >= 90:
        server["hostname"] = FQDN if minor >= 94 else SHORT_HOSTNAME
    if minor >= 104:
        server["pinned_availability_zone"] = NAME_OR_NONE
    return named("server", closed(server))


UPDATE: ByVersion = {minor: _update(minor) for minor in (1, 19, 90, 94, 104)}


def _rebuild(minor: int) -> Schema:
    rebuild: Schema = {
        "name": NAME,
        "imageRef": UUID,
        "adminPass": {"type": "string"},
        "metadata": METADATA,
        "preserve_ephemeral": BOOLEAN,
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": {"type": "string", "format": "ipv4"},
        "accessIPv6": {"type": "string", "format": "ipv6"},
    }
    later: list[tuple[int, Schema]] = [
        (19, {"description": TEXT}),
        (54, {"key_name": NAME_OR_NONE}),
        (57, {"user_data": {**BASE64, "type": ["string", "null"]}}),
        (63, {"trusted_image_certificates": CERTIFICATES}),
        (90, {"hostname": FQDN if minor >= 94 else SHORT_HOSTNAME}),
    ]
    for since, properties in later:
        if minor >= since:
            rebuild.update(properties)
    if minor < 57:
        rebuild["personality"] = PERSONALITY
    return named("rebuild", closed(rebuild, ("imageRef",)))


REBUILD: ByVersion = {minor: _rebuild(minor) for minor in (1, 19, 54, 57, 63, 90, 94)}
START: ByVersion = {1: named("os-start", {})}
STOP: ByVersion = {1: named("os-stop", {})}
REBOOT: ByVersion = {
    1: named(
        "reboot",
        closed(
            {"type": {"type": "string", "enum": ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]}}, ("type",)
        ),
    )
}
CONSOLE_OUTPUT: ByVersion = {
    1: named(
        "os-getConsoleOutput",
        closed(
            {
                "length": {
                    "type": ["integer", "string", "null"],
                    "pattern": "^-?[0-9]+$",
                    "minimum": -1,
                    "maxLength": 20,
                }
            }
        ),
    )
}
METADATA_ALL: ByVersion = {1: named("metadata", METADATA)}
TAGS: ByVersion = {1: named("tags", {"type": "array", "items": TAG, "maxItems": 50})}
METADATA_ITEM: ByVersion = {
    1: named("meta", {**METADATA, "minProperties": 1, "maxProperties": 1}),
}


def _values(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_ANY = _values({"type": "string"})
_REGEX = _values({"type": "string", "format": "regex"})
_TIME = _values({"type": "string", "format": "date-time"})
_LIMIT = _values({"type": "string", "pattern": "^[0-9]+$", "maxLength": 20})

INTERNAL_FILTERS = (
    "block_device_mapping",
    "services",
    "metadata",
    "system_metadata",
    "info_cache",
    "security_groups",
    "pci_devices",
)
"""Names that are refused as filters at every microversion."""

IGNORED_SORT_KEYS = (
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted",
    "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data",
    "launched_on", "memory_mb", "os_type", "reservation_id", "root_gb", "shutdown_terminate", "user_data",
    "vcpus", "vm_mode",
)  # fmt: skip
SORT_KEYS = (
    "access_ip_v4", "access_ip_v6", "auto_disk_config", "availability_zone", "config_drive", "created_at",
    "display_description", "display_name", "host", "hostname", "image_ref", "instance_type_id", "kernel_id",
    "key_name", "launch_index", "launched_at", "locked_by", "node", "power_state", "progress", "project_id",
    "ramdisk_id", "root_device_name", "task_state", "terminated_at", "updated_at", "user_id", "uuid",
    "vm_state",
)  # fmt: skip
_REGEX_FILTERS = (
    "kernel_id", "ramdisk_id", "hostname", "key_name", "power_state", "node", "flavor", "reservation_id",
    "launched_at", "terminated_at", "availability_zone", "name", "display_name", "description",
    "display_description", "locked_by", "root_device_name", "config_drive", "access_ip_v4", "access_ip_v6",
    "auto_disk_config", "progress", "ip", "ip6", "created_at",
)  # fmt: skip
_PLAIN_FILTERS = (
    "user_id", "project_id", "tenant_id", "launch_index", "image_ref", "image", "vm_state", "task_state",
    "host", "uuid", "sort_dir", "all_tenants", "soft_deleted", "deleted", "status", "marker",
)  # fmt: skip


def _list_query(minor: int) -> Schema:
    sort_keys = [*SORT_KEYS, *(["locked"] if minor >= 73 else [])]
    if minor < 75:
        sort_keys += [*IGNORED_SORT_KEYS, "locked"]
    properties: Schema = {
        **dict.fromkeys(_REGEX_FILTERS, _REGEX),
        **dict.fromkeys((*_PLAIN_FILTERS, *INTERNAL_FILTERS), _ANY),
        "limit": _LIMIT,
        "sort_key": _values({"type": "string", "enum": sort_keys}),
        "changes-since": _TIME,
    }
    if minor >= 26:
        properties.update(dict.fromkeys(("tags", "tags-any", "not-tags", "not-tags-any"), _REGEX))
    if minor >= 66:
        properties["changes-before"] = _TIME
    if minor >= 73:
        properties["locked"] = _ANY
    return {
        "type": "object",
        "properties": properties,
        "patternProperties": {"^_": _ANY},
        "additionalProperties": minor < 75,
    }


LIST_QUERY: ByVersion = {minor: _list_query(minor) for minor in (1, 26, 66, 73, 75)}

_ONE_TIME: Schema = {**_TIME, "maxItems": 1}
_ACTIONS_PAGE: Schema = {
    "limit": {**_LIMIT, "maxItems": 1},
    "marker": {**_ANY, "maxItems": 1},
    "changes-since": _ONE_TIME,
}
ACTIONS_QUERY: ByVersion = {
    1: {"type": "object", "properties": {}, "additionalProperties": True},
    58: closed(_ACTIONS_PAGE),
    66: closed({**_ACTIONS_PAGE, "changes-before": _ONE_TIME}),
}
