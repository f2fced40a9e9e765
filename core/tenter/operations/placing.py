"""Trying hosts for an instance: what the scheduler decides, in the name of the instance's server group, claim by claim.

The group's claim is written first, in the API database, and names the instance; the resources are claimed in the cell.
A claim in the group's name that comes to nothing is corrected when the step runs again, and goes with the place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.contracts.fit import Fit, fit
from tenter.operations.model import Apply, StepContext
from tenter.operations.placement import request_of
from tenter.scheduler import Candidate, Decision
from tenter.scheduler.decision import Lost, no_valid_host
from tenter.store import claims, server_groups
from tenter.store.engine import Database
from tenter.store.operations import BATCH

LOG = logging.getLogger(__name__)
TURNS = 20
"""How often a decision is made anew because others took what it chose, before the step waits."""


class TryAgain(Exception):
    """What is needed to decide is not to be had now; the step is to be run again later."""


@dataclass(frozen=True)
class Attempt:
    """A host to claim: what of it, by provider and resource class, and what is new of the instance there."""

    candidate: Candidate
    wanted: claims.Wanted

    @property
    def position(self) -> dict[str, Any]:
        """The instance's columns that say where it is."""
        view = self.candidate.view
        return {
            "host": view.host, "node": view.node, "node_uuid": view.provider_uuid, "availability_zone": view.zone,
        }  # fmt: skip

    @property
    def amounts(self) -> dict[str, int]:
        """What is wanted of all providers together, by resource class."""
        total: dict[str, int] = {}
        for amounts in self.wanted.values():
            for name, amount in amounts.items():
                total[name] = total.get(name, 0) + amount
        return total


class Placing:
    """The decision for one instance, and what becomes of it."""

    def __init__(self, context: StepContext, row: Mapping[str, Any], excluded: frozenset[str] = frozenset()) -> None:
        """Decide. Raises TryAgain while a cell is away that must be asked, Invalid if the request is malformed."""
        self._context, self._row = context, row
        self._lost_parts: frozenset[str] = frozenset()
        self._full = 0
        """How many claims were lost because others were first."""

        self._api_db: Database = context.db if context.api_db is None else context.api_db
        self._grouped = server_groups.hinted(row["hints"]) is not None
        assert context.scheduler is not None
        self._scheduler = context.scheduler
        self._recorder = context.scheduler.recorder
        try:
            self._request = request_of(context, row, excluded)
        except errors.Unavailable as exc:
            raise TryAgain from exc
        self.decision = self._decide(first=True)

    def attempts(self) -> Iterator[Attempt]:
        """Yield hosts to claim, best first. Raises TryAgain if others are always faster, NoValidHost when there is none
        left."""
        for _ in range(TURNS):
            for candidate in self.decision.candidates:
                if not self._may_use(candidate):
                    break
                full = self._full
                yield from self._attempts_on(candidate)
                if self._full > full:
                    break  # what else was free then is likely to be gone too: it is looked again, and elsewhere
            else:
                self.keep(None)
                raise no_valid_host(self.decision)
            before, self.decision = self.decision, self._decide()
            if before.table.key is self.decision.table.key:
                self.decision.lost[:0] = before.lost
        raise TryAgain

    def _attempts_on(self, candidate: Candidate) -> Iterator[Attempt]:
        """Yield ways to claim a host: another each time that a part of it was lost, for others may be free."""
        self._lost_parts = frozenset()
        for turn in range(TURNS):
            tried = self._lost_parts
            found = fit(candidate.view, self.decision.request, tried)
            if isinstance(found, Fit):
                yield Attempt(candidate, found.wanted)
            elif turn == 0:
                self._lose(candidate, found.code, dict(found.figures))
            if self._lost_parts == tried:
                return

    def lost(self, attempt: Attempt, exc: claims.ClaimLost) -> None:
        """Keep in mind that a claim was lost, and to whom."""
        if exc.provider_uuid != attempt.candidate.view.provider_uuid:
            self._lost_parts |= {exc.provider_uuid}
        self._full += exc.reason == claims.FULL
        figures: dict[str, Any] = {"resource_class": exc.resource_class, "provider": exc.provider_uuid}
        if exc.holder is not None:
            figures["to"] = {"kind": exc.holder.kind, "uuid": exc.holder.uuid}
        self._lose(attempt.candidate, f"claim.{exc.reason}", figures)

    def kept(self, attempt: Attempt) -> Apply:
        """Return what writes the decision for a host that is claimed, in a transaction of the API database."""
        self.decision.chosen = attempt.candidate
        if self._recorder is None:
            return lambda connection: None
        return self._recorder.prepare(self.decision, self._context.operation)

    def keep(self, attempt: Attempt | None) -> None:
        """Write the decision at once: for a host that is claimed, or that there is none."""
        self.decision.chosen = attempt.candidate if attempt else None
        if self._recorder is not None:
            self._recorder.write(self.decision, self._context.operation)

    def _lose(self, candidate: Candidate, code: str, figures: Mapping[str, Any]) -> None:
        self.decision.lost.append(Lost(candidate.row, code, figures))

    def _decide(self, first: bool = False) -> Decision:
        request = self._request
        if self._grouped:
            with self._api_db.read() as connection:
                group = server_groups.group_of(connection, request.instance_uuid)
            request = replace(request, server_group=group)
        cell_uuid = self._context.cell_uuid
        if not first or cell_uuid is not None:
            return self._scheduler.select(replace(request, cell=cell_uuid), cell_uuid, self._full)
        batch = int(self._context.operation.args.get(BATCH, 1))
        return self._scheduler.select_of(request, self._row["reservation_id"], batch)

    def _may_use(self, candidate: Candidate) -> bool:
        if not self._grouped:
            return True
        uuid, host = self._request.instance_uuid, candidate.view.host
        with self._api_db.write() as connection:
            if server_groups.claim(connection, uuid, host):
                return True
            others = server_groups.holders(connection, uuid, host)
        self._lose(candidate, "group.taken", {"to": [{"kind": "instance", "uuid": each} for each in others]})
        return False


def leave_group(connection: sa.Connection, instance_uuid: str) -> None:
    """Give back, in a transaction of the API database, the host that an instance which found none at last had claimed
    in its group's name; nothing if it is in no group."""
    server_groups.release(connection, instance_uuid)
