from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenter.store import migrate
from tenter.store.engine import Database, sqlite_url


@pytest.fixture
def api_db(tmp_path: Path) -> Iterator[Database]:
    """An API database with its schema."""
    yield from _database(tmp_path / "api.sqlite", "api")


@pytest.fixture
def cell_db(tmp_path: Path) -> Iterator[Database]:
    """A cell database with its schema."""
    yield from _database(tmp_path / "cell.sqlite", "cell")


def _database(path: Path, which: str) -> Iterator[Database]:
    db = Database(sqlite_url(path))
    migrate.upgrade(db, which)
    yield db
    db.close()
