"""Availability zones: which there are, and for admins what is in them."""

from __future__ import annotations

from typing import Any

import falcon

from tenter_api.compute.host_lists import COMPUTE, HostLists
from tenter_api.compute.resource import ADMIN, operation
from tenter_api.compute.times import microseconds

INTERNAL = "internal"


def _available(services: list[dict[str, Any]]) -> dict[str, bool]:
    """Return the zones that have computes, and whether one of those may be used now."""
    zones: dict[str, bool] = {}
    for row in services:
        if row["binary"] == COMPUTE and row["zone"] != INTERNAL:
            usable = row["up"] and not row["disabled"]
            zones[row["zone"]] = zones.get(row["zone"], False) or usable
    return dict(sorted(zones.items(), key=lambda item: (not item[1], item[0])))


class Zones:
    """``/os-availability-zone``"""

    def __init__(self, hosts: HostLists) -> None:
        self._hosts = hosts

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the zones."""
        zones = _available(self._hosts.services())
        resp.media = {
            "availabilityZoneInfo": [
                {"zoneName": name, "zoneState": {"available": available}, "hosts": None}
                for name, available in zones.items()
            ]
        }


class ZonesDetail:
    """``/os-availability-zone/detail``"""

    def __init__(self, hosts: HostLists) -> None:
        self._hosts = hosts

    @operation(role=ADMIN)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the zones with their hosts and services; ``internal`` holds what is no compute."""
        services = self._hosts.services()
        zones = _available(services)
        hosts: dict[str, dict[str, Any]] = {}
        for row in services:
            if not row["disabled"]:
                hosts.setdefault(row["zone"], {}).setdefault(row["host"], {})[row["binary"]] = {
                    "active": True,
                    "available": row["up"],
                    "updated_at": microseconds(row["last_seen"]),
                }
        if INTERNAL in hosts:
            zones[INTERNAL] = True
        resp.media = {
            "availabilityZoneInfo": [
                {
                    "zoneName": name,
                    "zoneState": {"available": available},
                    "hosts": hosts.get(name, {}) if available else None,
                }
                for name, available in zones.items()
            ]
        }
