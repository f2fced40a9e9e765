"""What may not fit between server groups and the servers in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from tenter.cells import Cell
from tenter.conductor.problems import Problem, in_one_database
from tenter.operations.findings import Finding
from tenter.store import instances, operations, server_groups
from tenter.store.api_schema import operations as api_operations
from tenter.store.api_schema import places, server_group_members
from tenter.store.cell_schema import instances as table
from tenter.store.cell_schema import operations as cell_operations
from tenter.store.engine import Database
from tenter.store.operations import OPEN

_REPAIR = "'tenter audit --repair' repairs it."
_MEMBER = server_group_members.c
_OPEN_OF = sa.exists().where(cell_operations.c.instance_uuid == table.c.uuid, cell_operations.c.state.in_(OPEN))
_QUIET = sa.select(table.c.uuid, table.c.host).where(~_OPEN_OF)


class GroupAudit:
    """Compares the members of server groups with places and instances. ``complete``: no cell is away."""

    def __init__(self, api_db: Database, cells: Sequence[Cell], complete: bool) -> None:
        self._api_db, self._complete = api_db, complete
        self._cells = {cell.uuid: cell for cell in cells}

    def problems(self) -> Iterator[Problem]:
        """Yield what does not fit."""
        query = sa.select(_MEMBER.instance_uuid, _MEMBER.host, places.c.state, places.c.cell_uuid).join(
            places, places.c.instance_uuid == _MEMBER.instance_uuid, isouter=True
        )
        with self._api_db.read() as connection:
            rows = connection.execute(query.order_by(_MEMBER.instance_uuid)).all()
        in_cells = {row.cell_uuid for row in rows} & self._cells.keys()
        quiet = {uuid: self._quiet(self._cells[uuid]) for uuid in in_cells}
        for row in rows:
            uuid = row.instance_uuid
            if row.state is None:
                if self._is_gone(uuid):
                    yield self._no_server(uuid)
            elif row.state == instances.LOST:
                if row.host is not None and self._is_gone(uuid):
                    yield self._nowhere(uuid, row.host)
            elif row.cell_uuid in quiet and quiet[row.cell_uuid].get(uuid, row.host) != row.host:
                yield self._elsewhere(uuid, self._cells[row.cell_uuid], row.host, quiet[row.cell_uuid][uuid])

    def _quiet(self, cell: Cell) -> dict[str, str | None]:
        """Return the hosts of the instances in a cell that nothing is being done to."""
        with cell.db.read() as connection:
            return {row.uuid: row.host for row in connection.execute(_QUIET)}

    def _is_gone(self, uuid: str) -> bool:
        # A place that was lost is found again from the instance, which then needs its group.
        return self._complete and not any(instances.exists(cell.db, uuid) for cell in self._cells.values())

    def _no_server(self, uuid: str) -> Problem:
        place = sa.select(places.c.state).where(places.c.instance_uuid == uuid)

        def holds(connection: sa.Connection) -> bool:
            is_member, _ = server_groups.locked_claim(connection, uuid)
            return is_member and connection.execute(place).first() is None and self._is_gone(uuid)

        def mend(connection: sa.Connection) -> None:
            server_groups.remove_member(connection, uuid)

        sentence = f"Server {uuid} is counted in a server group, but is gone."
        finding = Finding("group.no_server", uuid, sentence, _REPAIR)
        return in_one_database(finding, "It was taken out of the group.", self._api_db, holds, mend)

    def _nowhere(self, uuid: str, host: str) -> Problem:
        lost = sa.select(places.c.state).where(places.c.instance_uuid == uuid, places.c.state == instances.LOST)

        def holds(connection: sa.Connection) -> bool:
            return (
                server_groups.locked_claim(connection, uuid)[1] is not None
                and connection.execute(lost).first() is not None
                and not operations.is_open(connection, api_operations, uuid)
                and self._is_gone(uuid)
            )

        def mend(connection: sa.Connection) -> None:
            server_groups.release(connection, uuid)

        return in_one_database(self._finding(uuid, host, None), "The claim was given back.", self._api_db, holds, mend)

    def _elsewhere(self, uuid: str, cell: Cell, claimed: str | None, on: str | None) -> Problem:
        there = sa.select(places.c.state).where(
            places.c.instance_uuid == uuid, places.c.state == instances.PLACED, places.c.cell_uuid == cell.uuid
        )
        one = _QUIET.where(table.c.uuid == uuid)

        def where(connection: sa.Connection) -> tuple[bool, str | None]:
            """Return whether nothing is being done to the instance in its cell, and its host then."""
            if connection.execute(there).first() is None:
                return False, None
            with cell.db.read() as of_cell:
                row = of_cell.execute(one).first()
            return row is not None, None if row is None else row.host

        def holds(connection: sa.Connection) -> bool:
            is_member, has = server_groups.locked_claim(connection, uuid)
            is_quiet, host = where(connection)
            return is_member and is_quiet and has != host

        def mend(connection: sa.Connection) -> None:
            server_groups.force(connection, uuid, where(connection)[1])

        finding = self._finding(uuid, claimed, on, cell.name)
        return in_one_database(finding, "The claim is where it is.", self._api_db, holds, mend)

    @staticmethod
    def _finding(uuid: str, claimed: str | None, on: str | None, cell: str | None = None) -> Finding:
        says, has = (f"on {name}" if name else "on no host" for name in (claimed, on))
        sentence = f"Server {uuid} counts in its server group as {says}, but is {has}."
        return Finding("group.claim", uuid, sentence, _REPAIR, cell)
