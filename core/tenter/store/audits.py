"""What audits have come to, whoever made them: one row of the API database, for metrics."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter.store.api_schema import audits
from tenter.store.engine import Database, now

_ROW = 1


@dataclass(frozen=True)
class AuditFigures:
    """``count`` audits were made; the last ended at ``ended_at``, took ``seconds`` and left ``found``, by code.
    ``repaired`` is what all of them repaired, by code."""

    count: int
    ended_at: float
    seconds: float
    found: Mapping[str, int]
    repaired: Mapping[str, int]


def figures(db: Database) -> AuditFigures | None:
    """Return what is known, None before the first audit."""
    with db.read() as connection:
        return _read(connection)


def record(db: Database, seconds: float, found: Mapping[str, int], repaired: Mapping[str, int]) -> None:
    """Add an audit that has just ended."""
    try:
        _record(db, seconds, found, repaired)
    except db_exception.DBDuplicateEntry:  # another process wrote the row first
        _record(db, seconds, found, repaired)


def _record(db: Database, seconds: float, found: Mapping[str, int], repaired: Mapping[str, int]) -> None:
    with db.write() as connection:
        before = _read(connection, lock=True)
        total = collections.Counter(before.repaired if before else {})
        total.update(repaired)
        values = {
            "count": (before.count if before else 0) + 1, "ended_at": now(), "seconds": seconds,
            "found": dict(found), "repaired": dict(total),
        }  # fmt: skip
        if before is None:
            connection.execute(sa.insert(audits).values(id=_ROW, **values))
        else:
            connection.execute(sa.update(audits).where(audits.c.id == _ROW).values(values))


def _read(connection: sa.Connection, lock: bool = False) -> AuditFigures | None:
    columns = (audits.c.count, audits.c.ended_at, audits.c.seconds, audits.c.found, audits.c.repaired)
    query = sa.select(*columns).where(audits.c.id == _ROW)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else AuditFigures(*row)
