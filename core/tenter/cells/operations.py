"""Reading operations wherever they are: in the API database until a build has found its cell, then in that cell."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from tenter import errors
from tenter.cells.cells import Cell, Cells
from tenter.store import api_schema, cell_schema
from tenter.store.engine import Database
from tenter.store.operations import CANCELLED, DONE, FAILED, OPEN

Row = dict[str, Any]
_HIDDEN = ("args", "data")
"""Columns that are nobody's business outside: they may hold secrets."""

STATES: Mapping[str, tuple[str, ...]] = {
    "open": OPEN, DONE: (DONE,), FAILED: (FAILED,), CANCELLED: (CANCELLED,),
}  # fmt: skip
"""What a list can be asked for, and the states in rows that it means."""


class Marker(NamedTuple):
    """After which operation a page begins."""

    seq: int
    uuid: str


@dataclass(frozen=True)
class OperationQuery:
    """A page of operations, the latest first; what is None is not asked for. ``state`` is one of STATES."""

    limit: int
    project_id: str | None = None
    state: str | None = None
    kind: str | None = None
    instance_uuid: str | None = None
    host: str | None = None
    marker: Marker | None = None


class OperationReader:
    """Operations as dicts with the columns of their table, without what was asked and found out in them."""

    def __init__(self, api_db: Database, cells: Cells) -> None:
        self._api_db, self._cells = api_db, cells

    def of_instance(self, uuid: str) -> tuple[Sequence[Row], bool]:
        """Return the operations of an instance, the latest first, and whether all cells have answered; they are kept
        when the instance is gone."""

        def select(table: sa.Table) -> sa.Select[Any]:
            return _columns(table).where(table.c.instance_uuid == uuid)

        answers = self._cells.ask(lambda cell: _rows(cell.db, select(cell_schema.operations)))
        # A build is copied from the API database into its cell under the same UUID; the cell knows more.
        known = {row["uuid"]: row for row in _rows(self._api_db, select(api_schema.operations))}
        known |= {row["uuid"]: row for rows in answers.found.values() for row in rows}
        return sorted(known.values(), key=lambda row: (row["created_at"], row["seq"]), reverse=True), not answers.away

    def list(self, query: OperationQuery) -> Sequence[Row]:
        """Return one page; operations in cells that do not answer are left out."""
        # A build moves from the API database to its cell: who reads the cell last does not miss it.
        unplaced = _rows(self._api_db, _page(api_schema.operations, query))
        answers = self._cells.ask(lambda cell: _rows(cell.db, _page(cell_schema.operations, query)))
        sources = [*answers.found.values(), unplaced]
        merged = heapq.merge(*sources, key=lambda row: (row["seq"], row["uuid"]), reverse=True)
        known: dict[str, Row] = {}
        for row in merged:
            # Of one that is on its way into a cell there are two copies; the sources stand in the order of trust.
            if row["uuid"] not in known:
                if len(known) == query.limit:
                    break
                known[row["uuid"]] = row
        return list(known.values())

    def get(self, uuid: str, project_id: str | None = None) -> Row:
        """Return one operation; with ``project_id`` only if it is of that project.

        Raises NotFound; Unavailable if it may be in a cell that does not answer.
        """

        def select(table: sa.Table) -> sa.Select[Any]:
            return _columns(table).where(table.c.uuid == uuid)

        def in_cell(cell: Cell) -> Sequence[Row]:
            return _rows(cell.db, select(cell_schema.operations))

        unplaced = _rows(self._api_db, select(api_schema.operations))
        answers = self._cells.ask(in_cell)
        found = [row for rows in answers.found.values() for row in rows] or unplaced
        if not found and answers.away:
            raise self._cells.asking.unavailable("A cell in which this operation may be")
        if not found or (project_id is not None and found[0]["project_id"] != project_id):
            raise errors.NotFound(f"Operation {uuid} could not be found.")
        return found[0]


def _columns(table: sa.Table) -> sa.Select[Any]:
    return sa.select(*(column for column in table.c if column.name not in _HIDDEN))


def _rows(db: Database, select: sa.Select[Any]) -> Sequence[Row]:
    with db.read() as connection:
        return [dict(row) for row in connection.execute(select).mappings()]


def _page(table: sa.Table, query: OperationQuery) -> sa.Select[Any]:
    c = table.c
    select = _columns(table)
    for name in ("project_id", "kind", "instance_uuid", "host"):
        value = getattr(query, name)
        if value is not None:
            select = select.where(c[name] == value)
    if query.state is not None:
        select = select.where(c.state.in_(STATES[query.state]))
    if query.marker is not None:
        seq, uuid = query.marker
        select = select.where(c.seq <= seq, sa.or_(c.seq < seq, c.uuid < uuid))
    return select.order_by(c.seq.desc(), c.uuid.desc()).limit(query.limit)
