"""Requests for dry runs: what counts of a create; whatever else a create has is let pass and ignored."""

from __future__ import annotations

from typing import Any

from tenter_api.compute.server_schemas import HINTS

_COUNT = {"type": ["integer", "string"], "pattern": "^[0-9]{1,9}$", "minimum": 1, "maximum": 1_000_000}
_NAME = {"type": "string", "minLength": 1, "maxLength": 255}

DRY_RUN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "server": {
            "type": "object",
            "properties": {
                "flavorRef": {"type": ["string", "integer"], "minLength": 1, "maxLength": 2048},
                "imageRef": {"type": "string", "maxLength": 255},
                "availability_zone": _NAME,
                "host": _NAME,
                "hypervisor_hostname": _NAME,
                "min_count": _COUNT,
                "max_count": _COUNT,
            },
            "required": ["flavorRef"],
        },
        "os:scheduler_hints": HINTS,
        "OS-SCH-HNT:scheduler_hints": HINTS,
    },
    "required": ["server"],
    "additionalProperties": False,
}
