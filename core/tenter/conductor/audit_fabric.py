"""What may not fit between the API database, the cells and the network: places, quotas, ports, operations, guests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tenter.cells import Cell
from tenter.conductor.problems import Problem, in_one_database, only_reported, repaired
from tenter.contracts.network import InstancePorts, NetworkDriver, NetworkScope, SupportsNetworkApi
from tenter.operations import delete, faults
from tenter.operations.findings import Finding
from tenter.store import instances, operations, quota
from tenter.store.api_schema import operations as api_operations
from tenter.store.api_schema import places
from tenter.store.cell_schema import compute_nodes, leftovers
from tenter.store.cell_schema import instances as table
from tenter.store.cell_schema import operations as cell_operations
from tenter.store.engine import Database
from tenter.store.operations import OPEN

_REPAIR = "'tenter audit --repair' repairs it."


class FabricAudit:
    """Checks over all cells. ``away`` are the names of cells that did not answer: what is in them is not judged.
    ``guests`` are the UUIDs of guests that hosts have and no server belongs to."""

    def __init__(self, api_db: Database, cells: Sequence[Cell], away: Sequence[str], guests: frozenset[str]) -> None:
        self._api_db, self._away, self._guests = api_db, away, guests
        self._cells = {cell.uuid: cell for cell in cells}

    def problems(self) -> Iterator[Problem]:
        """Yield what does not fit; each check reads anew."""
        yield from self._placed()
        yield from self._bare()
        yield from self._unscheduled()
        yield from self._not_carried()
        yield from self._without_place()
        for difference in quota.recount(self._api_db):
            yield self._quota(difference)

    def _placed(self) -> Iterator[Problem]:
        # Places first: whoever has a place in a cell is in the cell already, until it is removed.
        with self._api_db.read() as connection:
            query = sa.select(places.c.instance_uuid, places.c.cell_uuid).where(places.c.state == instances.PLACED)
            rows = connection.execute(query).all()
        there = {uuid: self._uuids(cell) for uuid, cell in self._cells.items()}
        for row in rows:
            uuid, cell = row.instance_uuid, self._cells.get(row.cell_uuid)
            if cell is None:
                if not self._away:
                    yield only_reported(Finding(
                        "place.unknown_cell", uuid, f"Server {uuid} is in cell {row.cell_uuid}, which nobody knows.",
                        "Add the cell again with its database.",
                    ))  # fmt: skip
            elif uuid not in there[cell.uuid]:
                yield self._guest_only(uuid, cell) if uuid in self._guests else self._no_instance(uuid, cell)

    def _bare(self) -> Iterator[Problem]:
        bare = sa.select(places.c.instance_uuid, places.c.cell_uuid).where(
            places.c.state == instances.PLACED, places.c.brief.is_(None)
        )
        with self._api_db.read() as connection:
            found = [(row.instance_uuid, self._cells.get(row.cell_uuid)) for row in connection.execute(bare)]
        for uuid, cell in found:
            if cell is None or not instances.exists(cell.db, uuid):
                continue

            def holds(connection: sa.Connection, uuid: str = uuid) -> bool:
                return connection.execute(bare.where(places.c.instance_uuid == uuid)).first() is not None

            def mend(connection: sa.Connection, uuid: str = uuid, cell: Cell = cell) -> None:
                instances.fill_place(connection, uuid, instances.get(cell.db, uuid).to_mapping())

            sentence = f"What server {uuid} uses of its project's quotas is not recorded: an earlier release made it."
            finding = Finding("place.bare", uuid, sentence, _REPAIR, cell.name)
            yield in_one_database(finding, "It is recorded now.", self._api_db, holds, mend)

    def _guest_only(self, uuid: str, cell: Cell) -> Problem:
        # The records are at fault here, not the server: an old copy of the cell's database, most likely.
        finding = Finding(
            "place.guest_only", uuid, f"Server {uuid} should be in cell {cell.name}, which has its guest, no record.",
            "Put the right database of the cell back; nothing is changed.", cell.name,
        )  # fmt: skip
        return only_reported(finding)

    def _no_instance(self, uuid: str, cell: Cell) -> Problem:
        mine = sa.and_(
            places.c.instance_uuid == uuid, places.c.state == instances.PLACED, places.c.cell_uuid == cell.uuid
        )

        def holds(connection: sa.Connection) -> bool:
            return (
                connection.execute(sa.select(places.c.state).where(mine)).first() is not None
                and not instances.exists(cell.db, uuid)
                and not _has_open(cell, uuid)
            )

        def mend(connection: sa.Connection) -> None:
            instances.forget_place(connection, uuid)

        finding = Finding(
            "place.no_instance", uuid, f"Server {uuid} should be in cell {cell.name}, which does not have it.",
            _REPAIR + " If the cell's database is an old copy, put the right one back first.", cell.name,
        )  # fmt: skip
        return in_one_database(finding, "Its place was removed: the server is gone.", self._api_db, holds, mend)

    def _unscheduled(self) -> Iterator[Problem]:
        building = sa.exists().where(
            api_operations.c.instance_uuid == places.c.instance_uuid, api_operations.c.state.in_(OPEN)
        )
        lost = sa.select(places.c.instance_uuid).where(places.c.state == instances.UNSCHEDULED, ~building)
        with self._api_db.read() as connection:
            found = connection.execute(lost).scalars().all()
        for uuid in found:
            if self._away or any(instances.exists(cell.db, uuid) for cell in self._cells.values()):
                continue  # it may be, or is, in a cell

            def holds(connection: sa.Connection, uuid: str = uuid) -> bool:
                return connection.execute(lost.where(places.c.instance_uuid == uuid)).first() is not None

            def mend(connection: sa.Connection, uuid: str = uuid) -> None:
                fault = faults.fault("The build of the server was lost; make it again.")
                instances.lose_place(connection, uuid, vm_state="error", task_state=None, fault=fault)

            sentence = f"Server {uuid} waits for a host, but nobody looks for one."
            finding = Finding("place.no_build", uuid, sentence, _REPAIR)
            yield in_one_database(finding, "It is in ERROR now, and can be deleted.", self._api_db, holds, mend)

    def _not_carried(self) -> Iterator[Problem]:
        carried = sa.exists().where(
            api_operations.c.instance_uuid == places.c.instance_uuid, api_operations.c.state.in_(OPEN)
        )
        lost = sa.select(places).where(places.c.delete_wanted.is_not(None), ~carried)
        with self._api_db.read() as connection:
            found = [dict(row) for row in connection.execute(lost).mappings()]
        for row in found:
            uuid, cell = row["instance_uuid"], self._cells.get(row["cell_uuid"])
            if cell is None or not _is_idle(cell, uuid):
                continue

            def holds(connection: sa.Connection, uuid: str = uuid, cell: Cell = cell) -> bool:
                still = connection.execute(lost.where(places.c.instance_uuid == uuid)).first() is not None
                return still and _is_idle(cell, uuid)

            def mend(connection: sa.Connection, row: Mapping[str, Any] = row) -> None:
                operations.insert(connection, api_operations, delete.anew(row, row["instance_uuid"], "carry"))

            sentence = f"Server {uuid} was deleted while its cell was away, and is still there."
            finding = Finding("place.no_delete", uuid, sentence, _REPAIR, cell.name)
            yield in_one_database(finding, "Its deletion goes on.", self._api_db, holds, mend)

    def _without_place(self) -> Iterator[Problem]:
        for cell in self._cells.values():
            uuids = self._uuids(cell)
            with self._api_db.read() as connection:
                rows = connection.execute(sa.select(places.c.instance_uuid, places.c.state, places.c.cell_uuid)).all()
            known = {row.instance_uuid: (row.state, row.cell_uuid) for row in rows}
            for uuid in sorted(uuids - known.keys()):
                yield self._no_place(uuid, cell)
            for uuid in sorted(uuids & known.keys()):
                if known[uuid] == (instances.PLACED, cell.uuid) or _has_open(cell, uuid):
                    continue
                if known[uuid][0] != instances.PLACED:
                    yield self._placeless(uuid, cell)
                else:
                    yield only_reported(Finding(
                        "instance.other_place", uuid,
                        f"Cell {cell.name} has server {uuid}, whose place is elsewhere ({known[uuid][0]}).",
                        "See which of the two is right; nothing is changed.", cell.name,
                    ))  # fmt: skip

    def _placeless(self, uuid: str, cell: Cell) -> Problem:
        def holds(connection: sa.Connection) -> bool:
            return not operations.is_open(connection, api_operations, uuid) and _is_idle(cell, uuid)

        def mend(connection: sa.Connection) -> None:
            instances.find_place(connection, uuid, cell.uuid)

        sentence = f"Cell {cell.name} has server {uuid}, which is said to have found no host."
        finding = Finding("place.forgotten", uuid, sentence, _REPAIR, cell.name)
        return in_one_database(finding, "Its place is there.", self._api_db, holds, mend)

    def _no_place(self, uuid: str, cell: Cell) -> Problem:
        finding = Finding(
            "instance.no_place", uuid,
            f"Cell {cell.name} has server {uuid}, which has no place, so that nobody sees it.", _REPAIR, cell.name,
        )  # fmt: skip

        def settle(repair: bool) -> Finding | None:
            # The row is locked, so that no delete can begin until the place is there.
            with cell.db.write() as connection:
                query = sa.select(table).where(table.c.uuid == uuid).with_for_update()
                row = connection.execute(query).mappings().first()
                if row is None or _has_open(cell, uuid) or instances.place_of(self._api_db, uuid) is not None:
                    return None
                if not repair:
                    return finding
                with self._api_db.write() as api:
                    instances.restore_place(api, dict(row), cell.uuid)
            return repaired(finding, "It has one again.")

        return Problem(finding, settle)

    def _quota(self, difference: quota.Difference) -> Problem:
        owner = difference.owner
        subject = f"{owner.kind}:{owner.id}:{difference.resource}"
        finding = Finding("quota.usage", subject, f"The {difference}.", _REPAIR)

        def settle(repair: bool) -> Finding | None:
            if not repair:
                return finding
            return repaired(finding, "What was found counts now.") if quota.correct(self._api_db, difference) else None

        return Problem(finding, settle)

    def ports(self, network: NetworkDriver) -> Iterator[Problem]:
        """Yield ports of servers that are nowhere; nothing while a cell is away."""
        if self._away or not isinstance(network, SupportsNetworkApi):
            return
        bound = {
            port.device_id for port in network.list_ports(NetworkScope("", is_admin=True), {})
            if port.device_id and port.device_owner.startswith("compute:")
        }  # fmt: skip
        for uuid in sorted(bound):
            if self._is_nowhere(uuid):
                yield self._port(network, uuid)

    def _port(self, network: NetworkDriver, uuid: str) -> Problem:
        finding = Finding("port.no_instance", uuid, f"Ports are bound to server {uuid}, which is gone.", _REPAIR)

        def settle(repair: bool) -> Finding | None:
            if not self._is_nowhere(uuid):
                return None
            if not repair:
                return finding
            network.deallocate(InstancePorts(uuid))
            return repaired(finding, "They were given back.")

        return Problem(finding, settle)

    def _is_nowhere(self, uuid: str) -> bool:
        if instances.place_of(self._api_db, uuid) is not None:
            return False
        return not any(instances.exists(cell.db, uuid) or _is_left(cell, uuid) for cell in self._cells.values())

    def _uuids(self, cell: Cell) -> set[str]:
        with cell.db.read() as connection:
            return set(connection.execute(sa.select(table.c.uuid)).scalars())


def reported_by_hosts(cell: Cell) -> Iterator[Problem]:
    """Yield what the computes of a cell found when they last compared their guests with what is recorded."""
    query = sa.select(compute_nodes.c.host, compute_nodes.c.findings).where(compute_nodes.c.findings.is_not(None))
    with cell.db.read() as connection:
        rows: Sequence[Any] = connection.execute(query).all()
    for row in rows:
        for value in row.findings or ():
            yield only_reported(on_host(Finding.from_json(value), row.host, cell))


def on_host(finding: Finding, host: str, cell: Cell) -> Finding:
    """Return a finding of a compute with the host and the cell that it is about."""
    values: Mapping[str, Any] = {**finding.to_json(), "cell": cell.name, "sentence": f"Host {host}: {finding.sentence}"}
    return Finding.from_json(values)


def _has_open(cell: Cell, uuid: str) -> bool:
    with cell.db.read() as connection:
        return operations.is_open(connection, cell_operations, uuid)


def _is_idle(cell: Cell, uuid: str) -> bool:
    return instances.exists(cell.db, uuid) and not _has_open(cell, uuid)


def _is_left(cell: Cell, uuid: str) -> bool:
    with cell.db.read() as connection:
        query = sa.select(leftovers.c.uuid).where(leftovers.c.instance_uuid == uuid).limit(1)
        return connection.execute(query).first() is not None
