"""What a process needs to know of the fabric it is part of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from tenter.bus import Bus
from tenter.cells import Cell, Cells
from tenter.operations.requests import Requests
from tenter.store import flavors, migrate
from tenter.store.engine import Database, sqlite_url


@dataclass(frozen=True)
class Fabric:
    """The databases, the cells, the bus, and what may be asked."""

    conf: cfg.ConfigOpts
    state_dir: Path
    api_db: Database
    cells: Cells
    bus: Bus
    requests: Requests

    def close(self) -> None:
        """Close the databases."""
        self.api_db.close()
        for cell in self.cells.all():
            cell.db.close()


def open_fabric(conf: cfg.ConfigOpts, bus: Bus) -> Fabric:
    """Open the databases that ``conf`` names, bringing their schema up to date, and return the fabric.

    Raises Unavailable if a database cannot be reached, Conflict if one is newer than this release.
    """
    state_dir = Path(conf.state_dir)
    pool = conf.database.pool_size
    api_db = Database(conf.database.api_connection or sqlite_url(state_dir / "api.sqlite"), pool)
    cell_db = Database(conf.database.cell_connection or sqlite_url(state_dir / "cell1.sqlite"), pool)
    migrate.upgrade(api_db, "api")
    migrate.upgrade(cell_db, "cell")
    if migrate.cell_named(api_db, "cell1") is None:  # the first start, which the cell's row ends
        flavors.seed_flavors(api_db)
    cell_uuid = migrate.ensure_cell(api_db, "cell1")
    cells = Cells(api_db, [Cell(cell_uuid, "cell1", cell_db)])
    return Fabric(conf, state_dir, api_db, cells, bus, Requests(conf, api_db, cells, bus))
