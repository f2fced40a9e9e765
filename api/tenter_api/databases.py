"""Asking the API database and all cells something at once, for what watches the cloud from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import sqlalchemy as sa

from tenter import errors
from tenter.cells.asking import Asking
from tenter.store import api_schema, cell_schema
from tenter.store.engine import Database
from tenter_api.services import Services

T = TypeVar("T")
API = "api"
RETRY = 1.0
"""Seconds for which a database that did not answer is not asked again."""


@dataclass(frozen=True)
class Asked:
    """A database to ask, and its tables of services and operations."""

    uuid: str
    name: str
    db: Database
    services: sa.Table
    operations: sa.Table

    @property
    def is_cell(self) -> bool:
        """Whether it is a cell's."""
        return self.name != API


class Probe(Generic[T]):
    """Asks databases one question, all at once, each for ``[api] health_timeout`` seconds at most."""

    def __init__(self, services: Services, question: Callable[[Asked], T]) -> None:
        self._fabric, self._question = services.fabric, question
        self._asking = Asking(services.conf.api.health_timeout, RETRY, "Database")
        self._api = Asked(API, API, services.fabric.api_db, api_schema.services, api_schema.operations)

    def api(self) -> dict[str, T]:
        """Return what the API database answers, by name; nothing if it does not."""
        return self._ask([self._api])

    def all(self) -> tuple[list[str], dict[str, T]]:
        """Return the names of the API database (``api``) and of all cells (``cell NAME``), and the answers by name."""
        try:
            found = self._fabric.cells.all()
        except errors.Unavailable:  # which cells there are is not known yet
            return [API], {}
        cells = [
            Asked(cell.uuid, f"cell {cell.name}", cell.db, cell_schema.services, cell_schema.operations)
            for cell in found
        ]
        asked = [self._api, *cells]
        return [one.name for one in asked], self._ask(asked)

    def _ask(self, asked: Sequence[Asked]) -> dict[str, T]:
        found = self._asking.ask(asked, self._question).found
        return {one.name: found[one.uuid] for one in asked if one.uuid in found}
