"""How a database fares, in figures: what is open in it, and how its hosts are. No query reads more than it counts."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from tenter.store.cell_schema import compute_nodes, leftovers
from tenter.store.engine import Database, now
from tenter.store.operations import OPEN


class OpenOperations(NamedTuple):
    """The open operations of one kind and state: how many, the age of the oldest in seconds, and how many are past
    their deadline."""

    kind: str
    state: str
    number: int
    oldest: float
    overdue: int


class Node(NamedTuple):
    """A node, and how many builds in a row it failed."""

    host: str
    name: str
    failed_builds: int


def open_operations(db: Database, table: sa.Table) -> list[OpenOperations]:
    """Return figures of all that is open in a table of operations."""
    at = now()
    late = sa.func.sum(sa.case((table.c.deadline < at, 1), else_=0))
    columns = (table.c.kind, table.c.state, sa.func.count(), sa.func.min(table.c.created_at), late)
    query = sa.select(*columns).where(table.c.state.in_(OPEN)).group_by(table.c.kind, table.c.state)
    with db.read() as connection:
        rows = connection.execute(query.order_by(table.c.kind, table.c.state)).all()
    return [
        OpenOperations(kind, state, number, max(0.0, at - first), int(overdue))
        for kind, state, number, first, overdue in rows
    ]


def nodes(db: Database) -> list[Node]:
    """Return the nodes of a cell by host and name."""
    c = compute_nodes.c
    query = sa.select(c.host, c.hypervisor_hostname, c.failed_builds).order_by(c.host, c.hypervisor_hostname)
    with db.read() as connection:
        return [Node(*row) for row in connection.execute(query)]


def leftovers_by_host(db: Database) -> dict[str, int]:
    """Return how much each host of a cell has still to remove; 0 is left out."""
    query = sa.select(leftovers.c.host, sa.func.count()).group_by(leftovers.c.host).order_by(leftovers.c.host)
    with db.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}
