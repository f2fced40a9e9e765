"""Would a server fit? The question that API and command line ask of the scheduler, without anything being made."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tenter import errors
from tenter.operations.fabric import Fabric
from tenter.operations.placement import hosts_of, imagined, placement_request
from tenter.scheduler.dry_run import DryRun, dry_run
from tenter.scheduler.loading import load_scheduler
from tenter.scheduler.pipeline import Scheduler
from tenter.store import server_groups


class Fitting:
    """Asks a scheduler of its own, which is made when it is needed first. Safe to be used by several threads."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._lock = threading.Lock()
        self._scheduler: Scheduler | None = None

    def ask(
        self, flavor: Mapping[str, Any], project_id: str, wanted: int | None = None, group_of: str | None = None,
        **more: Any,
    ) -> DryRun:  # fmt: skip
        """Return how many servers of a flavor would fit now, and why no more. ``more`` is what :func:`imagined` takes;
        a server group that the hints name must be of the project ``group_of`` (None: of any).

        Raises Invalid for what is malformed, Unavailable while a cell is away that has a server which the hints name.
        """
        fabric = self._fabric
        row = imagined(flavor, project_id, **more)
        hosts = hosts_of(fabric.api_db, fabric.cells, row["hints"])
        request = placement_request(row, aliases=fabric.conf.pci.alias, hosts_of=hosts)
        group = server_groups.hinted(row["hints"])
        if group is not None:
            try:
                view = server_groups.as_seen_by_new(fabric.api_db, group, group_of)
            except errors.NotFound as exc:
                raise errors.Invalid(str(exc)) from exc
            request = replace(request, server_group=view)
        return dry_run(self._made(), request, wanted)

    def _made(self) -> Scheduler:
        with self._lock:
            if self._scheduler is None:
                fabric = self._fabric
                self._scheduler = load_scheduler(
                    fabric.conf, fabric.cells, fabric.api_db, fabric.state_dir, records=False
                )
            return self._scheduler


def as_json(found: DryRun, hosts: bool) -> dict[str, Any]:
    """Return the answer as JSON; hosts are named only with ``hosts``."""
    answer: dict[str, Any] = {
        "wanted": found.wanted,
        "fits": found.fits,
        "at_least": found.at_least,
        "hosts_looked_at": found.last.seen,
        "cells_away": len(found.last.scope.away),
        "reasons": [] if found.at_least else found.last.counts(),
        "changes": [
            {"what": change.what, "sentence": change.sentence, "size": round(change.size, 4), **change.details}
            for change in found.changes
        ],
    }
    if hosts:
        answer["hosts"] = [{"host": host, "servers": count} for host, count in sorted(found.hosts.items())]
    return answer
