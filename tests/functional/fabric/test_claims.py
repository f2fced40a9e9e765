"""Many clients in several processes claim on SQLite until a fleet is full."""

from __future__ import annotations

import itertools
from pathlib import Path

from tenter.store import migrate
from tenter.store.engine import Database, sqlite_url
from tests.helpers import packing


def test_sixty_four_clients_fill_a_fleet(tmp_path: Path) -> None:
    numbers = itertools.count()

    def empty_cell() -> Database:
        db = Database(sqlite_url(tmp_path / f"cell{next(numbers)}.sqlite"))
        migrate.upgrade(db, "cell")
        return db

    packing.check(tmp_path, 1000, empty_cell)
