"""Rows of cells, in the API database."""

from __future__ import annotations

import uuid as uuidlib
from dataclasses import dataclass

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors
from tenter.store.api_schema import cells
from tenter.store.engine import Database, now


@dataclass(frozen=True)
class CellRow:
    """What the API database knows of a cell. ``database_url`` None: the place that the configuration gives it."""

    uuid: str
    name: str
    database_url: str | None = None
    disabled: bool = False


def list_cells(db: Database) -> list[CellRow]:
    """Return all cells, the oldest first."""
    query = sa.select(cells.c.uuid, cells.c.name, cells.c.database_url, cells.c.disabled)
    with db.read() as connection:
        rows = connection.execute(query.order_by(cells.c.created_at, cells.c.uuid)).all()
    return [CellRow(*row) for row in rows]


def ensure_cell(db: Database, name: str, database_url: str | None = None) -> CellRow:
    """Return the row of the cell ``name``, adding it if it is new."""
    try:
        return add_cell(db, name, database_url)
    except errors.Conflict:
        return next(row for row in list_cells(db) if row.name == name)


def add_cell(db: Database, name: str, database_url: str | None) -> CellRow:
    """Add a cell and return its row. Raises Conflict if there is one of that name."""
    row = CellRow(str(uuidlib.uuid4()), name, database_url)
    values = {"uuid": row.uuid, "name": name, "database_url": database_url, "disabled": False, "created_at": now()}
    try:
        with db.write() as connection:
            connection.execute(sa.insert(cells).values(values))
    except db_exception.DBDuplicateEntry as exc:
        raise errors.Conflict(f"There is a cell called {name!r} already.") from exc
    return row


def set_disabled(db: Database, name: str, disabled: bool) -> None:
    """Say whether the cell takes new instances. Raises NotFound."""
    with db.write() as connection:
        change = sa.update(cells).where(cells.c.name == name).values(disabled=disabled)
        found = connection.execute(change).rowcount
    if not found:
        raise unknown_cell(db, name)


def unknown_cell(db: Database, name: str) -> errors.NotFound:
    """Return the error for a cell that does not exist; it says which do."""
    known = ", ".join(row.name for row in list_cells(db)) or "none yet; 'tenter cell add NAME' makes one"
    return errors.NotFound(f"There is no cell called {name!r}. Cells: {known}.")
