"""What is shown of recorded decisions: by count for everybody, host by host for administrators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tenter.contracts.scheduling import PlacementRequest
from tenter.scheduler.packing import plain, understood
from tenter.scheduler.reasons import reasons
from tenter.scheduler.recorded import Finalist, Recorded, Unreadable

HOSTS = 100
"""How many hosts are shown of a decision if nothing else is asked."""

Time = Callable[[float], Any]


def for_members(decision: Recorded, time: Time = float) -> dict[str, Any]:
    """Return a decision without anything that names a host or another's instance. ``time`` says how times are shown.

    One that cannot be read has ``error``, a sentence, and nothing else of what was decided.
    """
    return _readable(decision, time, lambda: _by_count(decision))


def for_administrators(
    decision: Recorded, time: Time = float, limit: int | None = HOSTS, host: str | None = None
) -> dict[str, Any]:
    """Return the same with all that is known: of at most ``limit`` hosts, or of the one of a name, why not."""
    return _readable(decision, time, lambda: {**_by_count(decision), **_by_host(decision, limit, host)})


def _readable(decision: Recorded, time: Time, show: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    head = {
        "id": decision.uuid, "operation": decision.operation_uuid, "server": decision.instance_uuid,
        "made_at": _at(decision, time),
    }  # fmt: skip
    try:
        with understood():
            return {**head, **show()}
    except Unreadable as exc:
        return {**head, "error": exc.message}


def _at(decision: Recorded, time: Time) -> Any:
    """Return when a decision was made; None if that is no time."""
    try:
        with understood():
            return time(decision.made_at)
    except Unreadable:
        return None


def _by_count(decision: Recorded) -> dict[str, Any]:
    scope = decision.scope
    return {
        "placed": decision.chosen is not None,
        "hosts": decision.seen,
        "hosts_left": decision.left,
        "filters": [
            {"name": one.name, "hosts_in": one.seen, "hosts_out": one.passed, "misbehaved": bool(one.trouble)}
            for one in decision.stages
        ],
        "reasons": reasons(decision.refusals, decision.request),
        "claims_lost": [
            {"code": code, "claims": count} for code, count in Counter(one.code for one in decision.lost).items()
        ],
        "cells": {"asked": scope.cells, "away": len(scope.away), "disabled": scope.disabled},
    }


def _by_host(decision: Recorded, limit: int | None, host: str | None) -> dict[str, Any]:
    names = [decision.host(row) for row in range(len(decision.snapshot))]
    refused = [*_refused(decision, names, limit, host)]
    total = sum(len(one.rows) for one in decision.refusals)
    of_one = {} if host is None else {"host": _of(decision, names, host, bool(refused))}
    return {
        **of_one,
        "host_table": "whole" if decision.snapshot.whole else "not whole: hosts are named by the UUIDs of their nodes",
        "request": asked(decision.request),
        "filters_in_force": list(decision.filters),
        "weighers_in_force": list(decision.weighers),
        "troubles": {**{one.name: one.trouble for one in decision.stages if one.trouble}, **decision.troubles},
        "refused": refused,
        "refused_not_shown": max(0, total - len(refused)) if host is None else 0,
        "finalists": [_finalist(decision, one) for one in decision.finalists],
        "chosen": None if decision.chosen is None else _finalist(decision, decision.chosen),
        "lost_on": [
            {"host": decision.host(one.row), "code": one.code, "figures": dict(one.figures)} for one in decision.lost
        ],
        "cells_away": list(decision.scope.away),
    }


def _of(decision: Recorded, names: Sequence[str], host: str, refused: bool) -> str:
    """Return what became of a host: ``refused``, ``passed``, ``not looked at`` or ``unknown``."""
    rows = [row for row, name in enumerate(names) if host in (name, decision.snapshot.uuid(row))]
    if refused or not rows:
        return "refused" if refused else "unknown"
    return "passed" if any(decision.looked_at()[row] for row in rows) else "not looked at"


def _refused(decision: Recorded, names: Sequence[str], limit: int | None, host: str | None) -> Iterator[dict[str, Any]]:
    left = limit if limit is not None else len(names)
    for refusal in decision.refusals:
        for place, row in enumerate(refusal.rows.tolist()):
            if host is not None and host not in (names[row], decision.snapshot.uuid(row)):
                continue
            if left <= 0:
                return
            left -= 1
            figures = plain(refusal.of(place))
            yield {"host": names[row], "filter": refusal.filter, "code": refusal.code, "figures": figures}


def _finalist(decision: Recorded, one: Finalist) -> dict[str, Any]:
    return {
        "host": decision.host(one.row), "node_uuid": decision.snapshot.uuid(one.row), "weight": one.weight,
        "weights": dict(one.parts),
    }  # fmt: skip


def asked(request: PlacementRequest) -> dict[str, Any]:
    """Return what was asked: what is not empty of a request."""
    found: dict[str, Any] = plain(request)
    return {name: value for name, value in found.items() if value not in (None, "", [], {}, False)}
