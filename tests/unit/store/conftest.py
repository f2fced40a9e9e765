from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenter.store import api_schema, cell_schema, migrate
from tenter.store.engine import Database, sqlite_url


@pytest.fixture
def api_db(tmp_path: Path) -> Iterator[Database]:
    """An API database with its schema."""
    yield from _database(tmp_path / "api.sqlite", "api")


@pytest.fixture
def cell_db(tmp_path: Path) -> Iterator[Database]:
    """A cell database with its schema."""
    yield from _database(tmp_path / "cell.sqlite", "cell")


@pytest.fixture(params=["sqlite", "postgresql"])
def any_api_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An API database with its tables, on each kind of database that is there."""
    url = sqlite_url(tmp_path / "api.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    db = Database(url)
    for metadata in (api_schema.metadata, cell_schema.metadata):
        metadata.drop_all(db.engine)
    api_schema.metadata.create_all(db.engine)
    yield db
    db.close()


@pytest.fixture
def postgres_cell_db(postgres_url: str) -> Iterator[Database]:
    """A cell database with its tables on PostgreSQL."""
    yield from _cell(postgres_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_cell_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A cell database with its tables, on each kind of database that is there."""
    url = sqlite_url(tmp_path / "cell.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    yield from _cell(url)


def _cell(url: str) -> Iterator[Database]:
    db = Database(url)
    for metadata in (api_schema.metadata, cell_schema.metadata):
        metadata.drop_all(db.engine)
    cell_schema.metadata.create_all(db.engine)
    yield db
    db.close()


def _database(path: Path, which: str) -> Iterator[Database]:
    db = Database(sqlite_url(path))
    migrate.upgrade(db, which)
    yield db
    db.close()
