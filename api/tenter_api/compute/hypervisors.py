"""The nodes that guests run on."""

from __future__ import annotations

from typing import Any

import falcon
import orjson

from tenter import errors
from tenter_api.compute import links
from tenter_api.compute.host_lists import HostLists, number_of
from tenter_api.compute.resource import ADMIN, operation
from tenter_api.compute.schemas import hosts as schemas
from tenter_api.compute.schemas.parameters import is_true
from tenter_api.validation import is_uuid

_AMOUNTS = ("vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "local_gb", "local_gb_used", "running_vms",
            "current_workload")  # fmt: skip


def _key(minor: int, row: dict[str, Any]) -> str | int:
    return row["uuid"] if minor >= 53 else number_of(row["uuid"])


def _brief(minor: int, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _key(minor, row),
        "hypervisor_hostname": row["hypervisor_hostname"],
        "state": "up" if row["up"] else "down",
        "status": "disabled" if row["disabled"] else "enabled",
    }


def _amounts(row: dict[str, Any]) -> dict[str, Any]:
    """Return memory in MiB and disks in GiB; nobody measures how far sparse disks may still grow."""
    view = {name: row[name] for name in _AMOUNTS}
    view["free_ram_mb"] = row["memory_mb"] - row["memory_mb_used"]
    view["free_disk_gb"] = row["local_gb"] - row["local_gb_used"]
    view["disk_available_least"] = None
    return view


def _full(minor: int, row: dict[str, Any]) -> dict[str, Any]:
    view = _brief(minor, row)
    for name in ("hypervisor_type", "hypervisor_version", "host_ip"):
        view[name] = row[name]
    service = row["service_uuid"]
    view["service"] = {
        "id": service if minor >= 53 else number_of(service),
        "host": row["host"],
        "disabled_reason": row["disabled_reason"],
    }
    if minor >= 88:
        view["uptime"] = None
        return view
    view.update(_amounts(row))
    view["cpu_info"] = row["cpu_info"] if minor >= 28 else orjson.dumps(row["cpu_info"]).decode()
    return view


class _Nodes:
    """What all resources below ``/os-hypervisors`` share."""

    def __init__(self, hosts: HostLists, max_limit: int = 0) -> None:
        self._hosts = hosts
        self._max_limit = max_limit

    def _list(self, req: falcon.Request, detailed: bool) -> dict[str, Any]:
        query, minor = req.context.query, req.context.version.minor
        pattern = query.get("hypervisor_hostname_pattern", [None])[-1]
        rows = self._hosts.nodes()
        paged = minor >= 33 and pattern is None
        if pattern is not None:
            if query.keys() & {"limit", "marker"}:
                raise errors.Invalid("A list by hypervisor_hostname_pattern has no pages.")
            rows = self._matching(rows, pattern)
        limit, marker = links.page(query, self._max_limit)
        if paged:
            rows = _after(minor, rows, marker)[:limit]
        view = _full if detailed else _brief
        shown = [view(minor, row) for row in rows]
        if _wants_servers(req):
            self._add_servers(minor, rows, shown)
        answer: dict[str, Any] = {"hypervisors": shown}
        if paged and links.more(rows, limit):
            path = "os-hypervisors/detail" if detailed else "os-hypervisors"
            answer["hypervisors_links"] = links.next_link(req, path, str(shown[-1]["id"]))
        return answer

    def _find(self, minor: int, key: str) -> dict[str, Any]:
        if minor >= 53 and not is_uuid(key):
            raise errors.Invalid(f"Invalid uuid {key[:64]}.")
        for row in self._hosts.nodes():
            if str(_key(minor, row)) == key:
                return row
        raise self._hosts.missing(errors.NotFound(f"Hypervisor with ID '{key}' could not be found."))

    @staticmethod
    def _matching(rows: list[dict[str, Any]], pattern: str) -> list[dict[str, Any]]:
        found = [row for row in rows if pattern.lower() in row["hypervisor_hostname"].lower()]
        if not found:
            raise errors.NotFound(f"No hypervisor matching '{pattern}' could be found.")
        return found

    def _add_servers(self, minor: int, rows: list[dict[str, Any]], shown: list[dict[str, Any]]) -> None:
        servers = self._hosts.servers_on([row["uuid"] for row in rows])
        for row, view in zip(rows, shown, strict=True):
            found = servers.get(row["uuid"], [])
            if found or minor >= 75:
                view["servers"] = found


def _wants_servers(req: falcon.Request) -> bool:
    return is_true(req.context.query.get("with_servers", [False])[-1])


def _after(minor: int, rows: list[dict[str, Any]], marker: str | None) -> list[dict[str, Any]]:
    if marker is None:
        return rows
    for position, row in enumerate(rows):
        if str(_key(minor, row)) == marker:
            return rows[position + 1 :]
    raise errors.Invalid(f"Marker {marker!r} could not be found.")


class Hypervisors(_Nodes):
    """``/os-hypervisors``"""

    @operation(role=ADMIN, query=schemas.HYPERVISORS_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the nodes in brief."""
        resp.media = self._list(req, detailed=False)


class HypervisorsDetail(_Nodes):
    """``/os-hypervisors/detail``"""

    @operation(role=ADMIN, query=schemas.HYPERVISORS_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the nodes in full."""
        resp.media = self._list(req, detailed=True)


class Statistics(_Nodes):
    """``/os-hypervisors/statistics``"""

    @operation(role=ADMIN, until=87, query=schemas.OPEN_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show sums over the nodes whose services are enabled."""
        rows = [_amounts(row) for row in self._hosts.nodes() if not row["disabled"]]
        names = (*_AMOUNTS, "free_ram_mb", "free_disk_gb")
        sums: dict[str, Any] = {name: sum(row[name] for row in rows) for name in names}
        resp.media = {"hypervisor_statistics": {"count": len(rows), "disk_available_least": None, **sums}}


class HypervisorItem(_Nodes):
    """``/os-hypervisors/{key}``"""

    @operation(role=ADMIN, query=schemas.HYPERVISOR_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Show a node."""
        minor = req.context.version.minor
        row = self._find(minor, key)
        view = _full(minor, row)
        if _wants_servers(req):
            self._add_servers(minor, [row], [view])
        resp.media = {"hypervisor": view}


class Uptime(_Nodes):
    """``/os-hypervisors/{key}/uptime``"""

    @operation(role=ADMIN, until=87, query=schemas.OPEN_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Show a node in brief. Drivers do not report how long their host runs, so ``uptime`` is null."""
        minor = req.context.version.minor
        resp.media = {"hypervisor": {**_brief(minor, self._find(minor, key)), "uptime": None}}


class Search(_Nodes):
    """``/os-hypervisors/{key}/search``: the nodes whose name has ``key`` in it."""

    @operation(role=ADMIN, until=52, query=schemas.OPEN_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """List them in brief."""
        minor = req.context.version.minor
        resp.media = {"hypervisors": [_brief(minor, row) for row in self._matching(self._hosts.nodes(), key)]}


class Servers(_Nodes):
    """``/os-hypervisors/{key}/servers``: the same, with the servers on each."""

    @operation(role=ADMIN, until=52, query=schemas.OPEN_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """List them in brief."""
        minor = req.context.version.minor
        rows = self._matching(self._hosts.nodes(), key)
        shown = [_brief(minor, row) for row in rows]
        self._add_servers(minor, rows, shown)
        resp.media = {"hypervisors": shown}
