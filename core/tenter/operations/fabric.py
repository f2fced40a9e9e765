"""What a process needs to know of the fabric it is part of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from tenter import errors
from tenter.bus import Bus
from tenter.cells import Cell, Cells
from tenter.cells.asking import Asking
from tenter.cells.database import CellDatabase
from tenter.operations.requests import Requests
from tenter.plugins.emitter import SILENT, Emitter
from tenter.store import cells as cell_rows
from tenter.store import flavors, migrate
from tenter.store.cells import CellRow
from tenter.store.engine import Database, sqlite_url

FIRST_CELL = "cell1"
PATIENCE = 30.0
"""Seconds for which a process with one cell waits for its database's lock."""


@dataclass(frozen=True)
class Fabric:
    """The databases, the cells, the bus, what may be asked, and who is told what happens."""

    conf: cfg.ConfigOpts
    state_dir: Path
    api_db: Database
    cells: Cells
    bus: Bus
    requests: Requests
    hooks: Emitter = SILENT

    def close(self) -> None:
        """Tell listeners what they have not heard yet, and close the databases."""
        self.hooks.close()
        self.api_db.close()
        self.cells.close()


def shared_dir(conf: cfg.ConfigOpts) -> Path:
    """Return the directory of what all processes of a cloud on this machine share."""
    return Path(conf.shared_dir or conf.state_dir).absolute()


def has_api_database(conf: cfg.ConfigOpts) -> bool:
    """Return whether an API database is configured, or is where it is by default."""
    return bool(conf.database.api_connection) or (shared_dir(conf) / "api.sqlite").exists()


def require_api_database(conf: cfg.ConfigOpts) -> None:
    """Raise NotFound if nobody has made a cloud where the configuration says that it is."""
    if not has_api_database(conf):
        raise errors.NotFound(
            f"There is no cloud in {shared_dir(conf)}: 'tenter cell add NAME' makes one; is [DEFAULT] shared_dir the "
            "same for all processes?"
        )


def cell_url(conf: cfg.ConfigOpts, name: str, given: str | None = None) -> str:
    """Return the URL of a cell's database: as ``given``, as the configuration says of the first cell, or a file beside
    the API database's."""
    if given is None and name == FIRST_CELL:
        given = conf.database.cell_connection
    return given or sqlite_url(shared_dir(conf) / f"{name}.sqlite")


def open_api_database(conf: cfg.ConfigOpts) -> Database:
    """Return the API database with its schema up to date.

    Raises Unavailable if it cannot be reached, Conflict if it is newer than this release.
    """
    url = conf.database.api_connection or sqlite_url(shared_dir(conf) / "api.sqlite")
    db = Database(url, conf.database.pool_size)
    try:
        migrate.upgrade(db, "api")
    except BaseException:
        db.close()
        raise
    return db


def add_cell(conf: cfg.ConfigOpts, api_db: Database, name: str, url: str | None = None) -> Cell:
    """Make the database of a cell, or bring it up to date, then make the cell known. It is no error if it was.

    Raises Unavailable if the database cannot be reached, Conflict if it is newer than this release.
    """
    db = Database(cell_url(conf, name, url), conf.database.pool_size)
    try:
        migrate.upgrade(db, "cell")
        if not cell_rows.list_cells(api_db):  # the first start, which the cell's row ends
            flavors.seed_flavors(api_db)
        row = cell_rows.ensure_cell(api_db, name, url)
    except BaseException:
        db.close()
        raise
    return Cell(row.uuid, row.name, db, row.disabled)


def _silent(conf: cfg.ConfigOpts) -> Emitter:
    return SILENT


def open_fabric(
    conf: cfg.ConfigOpts,
    bus: Bus,
    embedded: bool = True,
    many: bool = False,
    hooks: Callable[[cfg.ConfigOpts], Emitter] = _silent,
) -> Fabric:
    """Open the API database and return the fabric with all its cells.

    ``embedded``: the first cell is this process's own; it is made if it is not there, and must be usable. Databases of
    other cells are opened when they are first used, and again and again while they are away. ``many``: this process
    works in many cells, and waits for none of them longer than ``[cells] timeout``. ``hooks`` opens what tells
    listeners what happens, once all else is open; it is closed with the fabric. Raises Unavailable if a database that
    is needed cannot be reached, Conflict if one is newer than this release.
    """
    api_db = open_api_database(conf)
    own: list[Cell] = []

    def opener(row: CellRow) -> CellDatabase:
        url = cell_url(conf, row.name, row.database_url)
        options = conf.database
        return CellDatabase(
            row.name, url, options.pool_size, options.retry_interval, conf.cells.timeout if many else PATIENCE
        )

    if embedded:
        known = {row.name: row for row in cell_rows.list_cells(api_db)}
        if FIRST_CELL in known:
            row = known[FIRST_CELL]
            own.append(Cell(row.uuid, row.name, opener(row).opened(), row.disabled))
        else:
            own.append(add_cell(conf, api_db, FIRST_CELL))
    cells = Cells(api_db, own, opener, asking=Asking(conf.cells.timeout, conf.cells.retry_interval))
    emitter = hooks(conf)
    return Fabric(
        conf, Path(conf.state_dir), api_db, cells, bus, Requests(conf, api_db, cells, bus, emitter), emitter
    )
