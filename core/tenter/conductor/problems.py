"""A problem: a finding with the way to look again, and to repair it in the same transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from tenter.operations.findings import Finding
from tenter.store.engine import Database

Look = Callable[[sa.Connection], bool]
Mend = Callable[[sa.Connection], None]


@dataclass(frozen=True)
class Problem:
    """Something that did not fit when it was read.

    ``settle(repair)`` looks again, repairs it if it may and can, and returns the finding; None: it fits by now.
    """

    finding: Finding
    settle: Callable[[bool], Finding | None]


def only_reported(finding: Finding) -> Problem:
    """Return a problem that nothing can be proved about."""
    return Problem(finding, lambda repair: finding)


def in_one_database(finding: Finding, done: str, db: Database, holds: Look, mend: Mend) -> Problem:
    """Return a problem of one database: ``holds`` and ``mend`` run in one transaction. ``done`` says what mend did."""

    def settle(repair: bool) -> Finding | None:
        with db.write() as connection:
            if not holds(connection):
                return None
            if repair:
                mend(connection)
        return repaired(finding, done) if repair else finding

    return Problem(finding, settle)


def repaired(finding: Finding, done: str) -> Finding:
    """Return the finding as repaired; ``done`` says what was done."""
    return dataclasses.replace(finding, repaired=True, remedy=done)
