"""Whether this process lives and whether it can serve, measured by asking the databases and not by a socket."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import falcon

from tenter import errors
from tenter.store import presence
from tenter_api.databases import API, Asked, Probe
from tenter_api.services import Services


@dataclass(frozen=True)
class _Answer:
    milliseconds: float
    services: Sequence[tuple[str, str, float, bool, bool]]


def _probe(services: Services) -> Probe[_Answer]:
    def measured(asked: Asked) -> _Answer:
        began = time.monotonic()
        rows = presence.alive(asked.db, asked.services, services.conf.compute.service_down_time)
        return _Answer(round((time.monotonic() - began) * 1000, 1), rows)

    return Probe(services, measured)


class Health:
    """``GET /healthz``: 200 if the API database answers."""

    public = ("GET",)

    def __init__(self, services: Services) -> None:
        self._probe = _probe(services)

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
        self._probe = _probe(services)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ask all databases at once."""
        names, answers = self._probe.all()
        cells = [name for name in names if name != API]
        able = API in answers and (not cells or any(name in answers for name in cells))
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
