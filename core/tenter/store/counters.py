"""Numbers that grow with every change of something, so that who keeps a copy of it sees whether it is still good."""

from __future__ import annotations

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter.store.api_schema import counters
from tenter.store.prepared import Prepared

AGGREGATES = "aggregates"

_NUMBER = Prepared(sa.select(counters.c.number).where(counters.c.name == sa.bindparam("p_name")))
_UP = Prepared(
    sa.update(counters).where(counters.c.name == sa.bindparam("p_name")).values(number=counters.c.number + 1)
)


def number(connection: sa.Connection, name: str) -> int:
    """Return how often it was changed; read it before what it counts, and the copy is never older than the number."""
    row = _NUMBER.rows(connection, {"p_name": name}).first()
    return 0 if row is None else int(row.number)


def bump(connection: sa.Connection, name: str) -> int:
    """Count one more change, and return the number.

    The first statement of a transaction that changes what is counted: the row stays locked until that is committed, so
    such transactions come one after the other on every database, and each sees what those before it did.
    """
    if _UP.change(connection, {"p_name": name}) == 0:
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(counters).values(name=name, number=1))
        except db_exception.DBDuplicateEntry:
            _UP.change(connection, {"p_name": name})
    return number(connection, name)
