"""Services and nodes of all cells, as os-services, os-hypervisors and os-availability-zone need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenter import errors
from tenter.cells.cells import Cells
from tenter.store import services as store
from tenter.store.engine import Database

COMPUTE = "nova-compute"


def shown_binary(binary: str) -> str:
    """Return the name under which clients know a service: ``nova-compute`` for ``tenter-compute``."""
    return "nova-" + binary.removeprefix("tenter-") if binary.startswith("tenter-") else binary


def number_of(uuid: str) -> int:
    """Return the number that stands for a UUID in old versions of the API, where ids were numbers."""
    return int(uuid[:8], 16) & 0x7FFFFFFF


class HostLists:
    """Reads one cell after the other; hosts are few compared with instances."""

    def __init__(self, cells: Cells, down_after: Callable[[], float]) -> None:
        """``down_after`` returns the seconds without a sign of life after which a service is down."""
        self._cells = cells
        self._down_after = down_after

    def services(self) -> list[dict[str, Any]]:
        """Return all services by host; ``binary`` as clients know it, and with their ``zone``."""
        rows = [row for cell in self._cells.all() for row in store.list_services(cell.db, self._down_after())]
        for row in rows:
            row["binary"] = shown_binary(row["binary"])
            if row["zone"] is None:
                row["zone"] = "internal"
        return sorted(rows, key=lambda row: (row["host"], row["binary"]))

    def change_service(self, uuid: str, **values: Any) -> None:
        """Change a service in the cell that has it. Raises NotFound."""
        if not any(store.update_service(cell.db, uuid, **values) for cell in self._cells.all()):
            raise errors.NotFound(f"Service {uuid} could not be found.")

    def delete_service(self, uuid: str) -> None:
        """Delete a service and the nodes it reported. Raises NotFound, Conflict if instances are on them."""
        if not any(store.delete_service(cell.db, uuid) for cell in self._cells.all()):
            raise errors.NotFound(f"Service {uuid} could not be found.")

    def nodes(self) -> list[dict[str, Any]]:
        """Return all nodes by UUID."""
        rows = [row for cell in self._cells.all() for row in store.list_nodes(cell.db, self._down_after())]
        return sorted(rows, key=lambda row: row["uuid"])

    def servers_on(self, uuids: list[str]) -> dict[str, list[dict[str, str]]]:
        """Return the servers on each of the nodes: uuid and name."""
        found: dict[str, list[dict[str, str]]] = {}
        for cell in self._cells.all():
            found.update(store.servers_on_nodes(cell.db, uuids))
        return found


class ProjectUsage:
    """What projects use, in all cells and not scheduled yet."""

    def __init__(self, api_db: Database, cells: Cells) -> None:
        self._api_db = api_db
        self._cells = cells

    def of(self, project_id: str) -> tuple[int, int, int]:
        """Return a project's instances, vCPUs and MiB of memory."""
        parts = [store.usage(cell.db, project_id) for cell in self._cells.all()]
        parts.append(store.unscheduled_usage(self._api_db, project_id))
        count, vcpus, memory = (sum(part[index] for part in parts) for index in range(3))
        return count, vcpus, memory
