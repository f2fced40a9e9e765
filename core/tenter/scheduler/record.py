"""Recording decisions: what was asked, which filter refused which hosts with which figures, who was weighed how.

A decision is kept beside its operation, as a difference to a host table that is kept once for many decisions.
"""

from __future__ import annotations

import logging
import threading
import uuid as uuidlib
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import sqlalchemy as sa
from oslo_config import cfg

from tenter.contracts.table import Coded, HostTable
from tenter.plugins import enabled
from tenter.scheduler import snapshot
from tenter.scheduler.decision import Decision
from tenter.scheduler.packing import Packer
from tenter.scheduler.sift import Each, Refusal
from tenter.scheduler.snapshot import Base
from tenter.store import decisions
from tenter.store.decisions import DecisionRow
from tenter.store.engine import Database, now

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOG = logging.getLogger(__name__)
FINALISTS = 16
SMALL = 2000
"""Tables of up to that many hosts are written at once, larger ones by a thread that holds nobody up."""

RENEWED = 3600.0
"""Seconds after which a table is kept anew; one is not purged before twice that."""

_BASES = 2
LOOK = 1.0
"""Seconds between two looks whether the host tables that decisions refer to are still there."""

ONE, NUMBERS, EACH, CODED = range(4)
"""How figures are kept: one for all, an array, a list, few distinct values."""


class ForOperation(Protocol):
    """The part of an operation that its decisions are kept with."""

    uuid: str
    instance_uuid: str
    project_id: str


Write = Callable[[sa.Connection], None]


class Recorder:
    """Writes decisions into the API database. May be asked from several threads at once; never raises."""

    def __init__(self, conf: cfg.ConfigOpts, api_db: Database) -> None:
        self._conf, self._db = conf, api_db
        self._lock = threading.Lock()
        self._bases: tuple[Base, ...] = ()
        self._looked = 0.0
        self._in_force = {f"{kind}s": tuple(enabled(kind, conf)) for kind in ("filter", "weigher")}

    def prepare(self, decision: Decision, operation: ForOperation) -> Write:
        """Return what writes a finished decision, to be run in a transaction of the API database.

        Not to be called within such a transaction: it may need one of its own, for the host table.
        """
        if not self._conf.scheduler.decision_retention:
            return _nothing
        try:
            row = self._row(decision, operation)
        except Exception:
            LOG.exception("A decision of operation %s cannot be recorded", operation.uuid)
            return _nothing
        return lambda connection: _write(connection, row)

    def write(self, decision: Decision, operation: ForOperation) -> None:
        """Write a finished decision at once."""
        write = self.prepare(decision, operation)
        if write is _nothing:
            return
        try:
            with self._db.write() as connection:
                write(connection)
        except Exception as exc:
            LOG.warning("A decision of operation %s is not recorded: %s", operation.uuid, exc)

    def _row(self, decision: Decision, operation: ForOperation) -> DecisionRow:
        at = now()
        packer = Packer()
        base, changes = self._based(decision.table, packer, at)
        body = packer.packed({**_head(decision, packer), **self._in_force, "changes": changes})
        return DecisionRow(
            str(uuidlib.uuid4()), operation.uuid, operation.instance_uuid, operation.project_id, at, base.uuid, body
        )

    def _based(self, table: HostTable, packer: Packer, at: float) -> tuple[Base, Mapping[str, Any]]:
        """Return a table that is kept, and what differs from it in the one given."""
        self._forget_lost(at)
        found = self._among(self._bases, table, packer, at)
        if found is not None:
            return found
        with self._lock:  # one thread makes it, the others find it
            found = self._among(self._bases, table, packer, at)
            if found is None:
                base = Base(str(uuidlib.uuid4()), table, at)
                self._keep(base)
                self._bases = (base, *self._bases[: _BASES - 1])
                found = base, {}
        return found

    def _forget_lost(self, at: float) -> None:
        """Refer no more to tables that are gone: somebody has put an older copy of the database in its place."""
        bases = self._bases
        if not bases or abs(at - self._looked) < LOOK:
            return
        self._looked = at
        kept = decisions.snapshots_kept(self._db, [base.uuid for base in bases])
        if len(kept) < len(bases):
            with self._lock:
                self._bases = tuple(base for base in self._bases if base not in bases or base.uuid in kept)

    @staticmethod
    def _among(
        bases: tuple[Base, ...], table: HostTable, packer: Packer, at: float
    ) -> tuple[Base, Mapping[str, Any]] | None:
        for base in bases:
            if abs(at - base.made_at) < RENEWED and (changes := base.difference(table, packer)) is not None:
                return base, changes
        return None

    def _keep(self, base: Base) -> None:
        if len(base.table) <= SMALL:
            decisions.insert_snapshot(self._db, base.uuid, base.made_at, snapshot.whole(base.table))
            return
        decisions.insert_snapshot(self._db, base.uuid, base.made_at, snapshot.keys_only(base.table))
        threading.Thread(target=self._complete, args=(base,), name="keep-hosts", daemon=True).start()

    def _complete(self, base: Base) -> None:
        try:
            kept = decisions.complete_snapshot(self._db, base.uuid, snapshot.whole(base.table))
        except Exception as exc:
            LOG.warning("The host table that decisions refer to is not recorded: %s", exc)
            kept = False
        if not kept:
            with self._lock:
                self._bases = tuple(one for one in self._bases if one is not base)


def _nothing(connection: sa.Connection) -> None:
    """Write nothing."""


def _write(connection: sa.Connection, row: DecisionRow) -> None:
    try:
        if connection.dialect.name == "sqlite":
            decisions.insert(connection, row)
        else:
            # Elsewhere a statement that fails takes its transaction with it.
            with connection.begin_nested():
                decisions.insert(connection, row)
    except Exception as exc:
        LOG.warning("A decision of operation %s is not recorded: %s", row.operation_uuid, exc)


def purge(db: Database, retention: float) -> int:
    """Remove decisions that are older than ``retention`` seconds, and the host tables that nothing refers to then;
    return how many decisions."""
    at = now()
    return decisions.purge(db, at - retention, at - 2 * RENEWED)


def _head(decision: Decision, packer: Packer) -> dict[str, Any]:
    table, sifted, scope, weighed = decision.table, decision.sifted, decision.scope, decision.weighed
    head: dict[str, Any] = {
        "request": decision.request,
        "seen": decision.seen,
        "left": len(sifted.rows),
        "stages": [(one.name, one.seen, one.passed, one.trouble) for one in sifted.stages],
        "refusals": [_refusal(one, packer, len(table)) for one in sifted.refusals],
        "finalists": _finalists(decision),
        "scope": scope,
    }
    if decision.seen < len(table):
        head["unseen"] = packer.rows(_unseen(decision), len(table))
    if decision.chosen is not None:
        head["chosen"] = decision.chosen.row, float(decision.chosen.weight)
    if decision.lost:
        head["lost"] = [(lost.row, lost.code, lost.figures) for lost in decision.lost]
    if weighed.troubles:
        head["troubles"] = weighed.troubles
    return head


def _unseen(decision: Decision) -> NDArray[np.int64]:
    unseen = decision.table.every(True)
    unseen[decision.sifted.rows] = False
    for refusal in decision.sifted.refusals:
        unseen[refusal.rows] = False
    return np.flatnonzero(unseen)


def _finalists(decision: Decision) -> dict[str, Any]:
    candidates = list(islice(decision.candidates, FINALISTS))
    rows = np.array([one.row for one in candidates], np.int64)
    places = np.searchsorted(decision.sifted.rows, rows)
    # Six figures tell all that anybody wants to know, and take half the room.
    return {
        "rows": rows.tolist(),
        "total": [round(one.weight, 6) for one in candidates],
        "parts": {name: [round(x, 6) for x in part[places].tolist()] for name, part in decision.weighed.parts.items()},
    }


def _refusal(refusal: Refusal, packer: Packer, length: int) -> list[Any]:
    figures = {name: _figure(value, packer) for name, value in refusal.figures.items()}
    return [refusal.filter, refusal.code, packer.rows(refusal.rows, length), *([figures] if figures else ())]


def _figure(value: object, packer: Packer) -> list[Any]:
    if isinstance(value, np.ndarray):
        kind = value.dtype.kind
        if value.ndim == 1 and (kind in "bif" or (kind == "u" and value.dtype.itemsize < 8)):
            return [NUMBERS, kind, packer.numbers(value)]
        return [EACH, value.tolist()]
    if isinstance(value, Each):
        return [ONE, value[0]] if _are_same(value) else [EACH, value]
    if isinstance(value, Coded):
        used, codes = np.unique(value.codes, return_inverse=True)
        if len(used) == 1:
            return [ONE, value.values[used[0]]]
        return [CODED, packer.numbers(codes), [value.values[code] for code in used.tolist()]]
    return [ONE, value]


def _are_same(values: Each) -> bool:
    first = values[0]
    return isinstance(first, (str, int, float)) and all(type(one) is type(first) and one == first for one in values)
