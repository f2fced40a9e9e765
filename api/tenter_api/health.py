"""Whether this process lives and whether it can serve, measured by asking the databases and not by a socket."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import falcon
import sqlalchemy as sa

from tenter import errors
from tenter.cells.asking import Asking
from tenter.store import api_schema, cell_schema, presence
from tenter.store.engine import Database
from tenter_api.services import Services

RETRY = 1.0
"""Seconds for which a database that did not answer is not asked again."""


@dataclass(frozen=True)
class _Asked:
    """A database to ask, and its table of services."""

    uuid: str
    name: str
    db: Database
    table: sa.Table


@dataclass(frozen=True)
class _Answer:
    milliseconds: float
    services: Sequence[tuple[str, str, float, bool, bool]]


class _Probe:
    """Asks databases for their services, all at once, each for ``[api] health_timeout`` seconds at most."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._asking = Asking(services.conf.api.health_timeout, RETRY)
        self._api = _Asked("api", "api", services.fabric.api_db, api_schema.services)

    def api(self) -> dict[str, _Answer]:
        """Return what the API database answers, by name; nothing if it does not."""
        return self._ask([self._api])

    def all(self) -> tuple[list[str], dict[str, _Answer]]:
        """Return the names of the API database and of all cells, and the answers by name."""
        cells = [
            _Asked(cell.uuid, f"cell {cell.name}", cell.db, cell_schema.services)
            for cell in self._services.fabric.cells.all()
        ]
        asked = [self._api, *cells]
        return [one.name for one in asked], self._ask(asked)

    def _ask(self, asked: Sequence[_Asked]) -> dict[str, _Answer]:
        found = self._asking.ask(asked, self._measured).found
        return {one.name: found[one.uuid] for one in asked if one.uuid in found}

    def _measured(self, asked: _Asked) -> _Answer:
        began = time.monotonic()
        rows = presence.alive(asked.db, asked.table, self._services.conf.compute.service_down_time)
        return _Answer(round((time.monotonic() - began) * 1000, 1), rows)


class Health:
    """``GET /healthz``: 200 if the API database answers."""

    public = ("GET",)

    def __init__(self, services: Services) -> None:
        self._probe = _Probe(services)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Read from the database and say so. Raises Unavailable."""
        if not self._probe.api():
            raise errors.Unavailable("The API database does not answer.")
        resp.media = {"status": "ok"}


class Ready:
    """``GET /readyz``: 200 if the API database and any cell answer, 503 if not.

    Says in both cases how each database and each kind of service fares. It names no host, for it needs no token.
    """

    public = ("GET",)

    def __init__(self, services: Services) -> None:
        self._probe = _Probe(services)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ask all databases at once."""
        try:
            names, answers = self._probe.all()
        except errors.Unavailable:  # which cells there are is not known yet
            names, answers = ["api"], {}
        cells = [name for name in names if name != "api"]
        able = "api" in answers and (not cells or any(name in answers for name in cells))
        status = "ok" if len(answers) == len(names) else "degraded" if able else "unavailable"
        resp.status = falcon.HTTP_200 if able else falcon.HTTP_503
        resp.media = {
            "status": status,
            "databases": {name: _database(answers.get(name)) for name in names},
            "services": _by_binary([row for answer in answers.values() for row in answer.services]),
        }


def _database(answer: _Answer | None) -> dict[str, Any]:
    return {"answers": answer is not None, "milliseconds": answer.milliseconds if answer else None}


def _by_binary(rows: Sequence[tuple[str, str, float, bool, bool]]) -> dict[str, dict[str, Any]]:
    up = Counter(binary for binary, _, _, is_up, _ in rows if is_up)
    every = Counter(binary for binary, *_ in rows)
    longest = {binary: max(age for of, _, age, _, _ in rows if of == binary) for binary in every}
    return {
        binary: {"up": up[binary], "down": count - up[binary], "longest_silence_seconds": round(longest[binary], 1)}
        for binary, count in sorted(every.items())
    }
