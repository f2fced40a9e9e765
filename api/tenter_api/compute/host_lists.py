"""Services and nodes of all cells, and services of no cell: for os-services, os-hypervisors, os-availability-zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tenter import errors
from tenter.cells.cells import Cell, Cells
from tenter.store import aggregates
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
    """Hosts are few compared with instances, so lists are complete. What is in a cell that does not answer is left out;
    what may be there and is asked for or to be changed is Unavailable."""

    def __init__(self, api_db: Database, cells: Cells, down_after: Callable[[], float]) -> None:
        """``down_after`` returns the seconds without a sign of life after which a service is down."""
        self._api_db, self._cells = api_db, cells
        self._down_after = down_after

    def services(self) -> list[dict[str, Any]]:
        """Return all services by host, computes and conductors; ``binary`` as clients know it, and with their
        ``zone``: that of a compute is its aggregates', else its own."""
        down_after = self._down_after()
        rows = self._rows(lambda cell: store.list_services(cell.db, down_after))
        rows += store.list_conductors(self._api_db, down_after)
        zones = aggregates.zones(self._api_db)
        for row in rows:
            row["binary"] = shown_binary(row["binary"])
            if row["zone"] is None:
                row["zone"] = "internal"
            else:
                row["zone"] = zones.get(row["host"], row["zone"])
        return sorted(rows, key=lambda row: (row["host"], row["binary"]))

    def change_service(self, uuid: str, **values: Any) -> None:
        """Change a service in the cell that has it. Raises NotFound."""
        self._in_its_cell(uuid, lambda db: store.update_service(db, uuid, **values))

    def delete_service(self, uuid: str, host: str) -> None:
        """Delete a service of that host, with the nodes it reported and its membership in aggregates.

        Raises NotFound, Conflict if instances are on them.
        """
        if store.delete_conductor(self._api_db, uuid):
            return
        self._in_its_cell(uuid, lambda db: store.delete_service(db, uuid))
        aggregates.forget_host(self._api_db, host)

    def check_host(self, host: str) -> None:
        """Raise NotFound unless there is a compute of that name."""
        answers = self._cells.ask(lambda cell: store.list_services(cell.db, 0.0, host))
        found = {(row["host"], shown_binary(row["binary"])) for rows in answers.found.values() for row in rows}
        if (host, COMPUTE) not in found:
            raise self.missing(errors.NotFound(f"Compute host {host} could not be found."))

    def check_moves(self, moves: Sequence[aggregates.Move], error: type[errors.TenterError]) -> None:
        """Raise ``error`` if a host has instances, which would come into another zone with it; Unavailable if nobody
        can say so now."""
        hosts = [move.host for move in moves]
        answers = self._cells.ask(lambda cell: store.zones_and_instances(cell.db, hosts))
        known = {host: found for rows in answers.found.values() for host, found in rows.items()}
        for host, before, after in moves:
            own, count = known.get(host, (None, 0))
            if count and (before or own) != (after or own):
                raise error(
                    f"Host {host} cannot come from the availability zone {before or own!r} into {after or own!r}: it "
                    f"has {count} instance(s), which stay in their zone. Move them to other hosts first."
                )
        if answers.away and not known.keys() >= set(hosts):
            raise self._cells.asking.unavailable("A cell in which these hosts may be")

    def nodes(self) -> list[dict[str, Any]]:
        """Return all nodes by UUID."""
        down_after = self._down_after()
        rows = self._rows(lambda cell: store.list_nodes(cell.db, down_after))
        return sorted(rows, key=lambda row: row["uuid"])

    def servers_on(self, uuids: list[str]) -> dict[str, list[dict[str, str]]]:
        """Return the servers on each of the nodes: uuid and name."""
        answers = self._cells.ask(lambda cell: store.servers_on_nodes(cell.db, uuids))
        return {node: servers for found in answers.found.values() for node, servers in found.items()}

    def missing(self, error: errors.NotFound) -> errors.TenterError:
        """Return the error for a host or service that was not found: perhaps it only is in a cell that is away."""
        if any(self._cells.asking.is_away(cell) for cell in self._cells.all()):
            return self._cells.asking.unavailable("A cell in which this may be")
        return error

    def _rows(self, question: Callable[[Cell], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        return [row for rows in self._cells.ask(question).found.values() for row in rows]

    def _in_its_cell(self, uuid: str, change: Callable[[Database], bool]) -> None:
        for cell in self._cells.all():
            try:
                with self._cells.using(cell) as db:
                    if change(db):
                        return
            except errors.Unavailable:
                continue
        raise self.missing(errors.NotFound(f"Service {uuid} could not be found."))
