"""Many clients in several processes claim on PostgreSQL until a fleet is full."""

from __future__ import annotations

from pathlib import Path

from tenter.store import api_schema, cell_schema
from tenter.store.engine import Database
from tests.helpers import packing


def test_sixty_four_clients_fill_a_fleet(tmp_path: Path, postgres_url: str) -> None:
    def empty_cell() -> Database:
        db = Database(postgres_url)
        for metadata in (api_schema.metadata, cell_schema.metadata):
            metadata.drop_all(db.engine)
        cell_schema.metadata.create_all(db.engine)
        return db

    packing.check(tmp_path, 300, empty_cell)
