"""Removing what instances left on this host that went, or moved on, while it was away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from tenter.compute.guests import Guests
from tenter.operations import faults
from tenter.store import instances, leftovers
from tenter.store.engine import Database

LOG = logging.getLogger(__name__)


class Reaper:
    """Reaps the leftovers of one host (:class:`tenter.operations.model.Guard`)."""

    def __init__(self, db: Database, service_uuid: str, host: str, guests: Guests) -> None:
        self._db, self._service, self._host, self._guests = db, service_uuid, host, guests
        self._lock = threading.Lock()
        self._told: dict[str, str] = {}
        # Kept for good: a step that was claimed before may begin at any time after, and nobody else would tell it that
        # what it was about to make is no longer looked for here. A UUID each; to be told in vain costs it one write.
        self._reaped: set[str] = set()

    def reap(self, busy: Callable[[str], bool] = lambda uuid: False) -> int:
        """Remove all leftovers but those of instances that this process still works on; return how many went."""
        reaped = 0
        for row in leftovers.of_service(self._db, self._service):
            if busy(row["instance_uuid"]):
                continue
            try:
                reaped += self._reap(row["instance_uuid"])
                self._told.pop(row["instance_uuid"], None)
            except Exception as exc:
                if self._told.get(row["instance_uuid"]) != str(exc):
                    LOG.warning("What instance %s left cannot be removed now: %s", row["instance_uuid"], exc)
                self._told[row["instance_uuid"]] = str(exc)
        return reaped

    def begin(self, instance_uuid: str) -> bool:
        """Remove what the instance left here earlier, and return whether there was any; what that raises is raised."""
        self._reap(instance_uuid)
        return instance_uuid in self._reaped

    def disown(self, instance_uuid: str) -> None:
        """Remove the guest that a step made which no longer counts, if the instance is gone, elsewhere or nowhere; if
        that fails it becomes a leftover. What is of this host still is the next step's to make right, or a delete's."""
        try:
            if not instances.is_gone_from(self._db, instance_uuid, self._host):
                return
            try:
                with self._lock:
                    self._guests.remove(instance_uuid, None, ())
            except Exception as exc:
                leftovers.note(self._db, self._service, instance_uuid, "made too late", faults.sentence(exc))
                raise
        except Exception as exc:
            LOG.warning("What a step that no longer counts made for %s may be left: %s", instance_uuid, exc)

    def _reap(self, instance_uuid: str) -> int:
        found = leftovers.of_service(self._db, self._service, instance_uuid)
        if not found:
            return 0
        with self._lock:
            # Looked for again: since then another thread may have removed it, and a new guest may be there.
            found = leftovers.of_service(self._db, self._service, instance_uuid)
            for row in found:
                self._remove(row)
        return len(found)

    def _remove(self, row: dict[str, Any]) -> None:
        LOG.info("Removing what instance %s left (%s)", row["instance_uuid"], row["reason"])
        try:
            self._guests.remove(row["instance_uuid"], row["handle"], row["vifs"])
        except Exception as exc:
            leftovers.failed(self._db, row["uuid"], faults.sentence(exc))
            raise
        self._reaped.add(row["instance_uuid"])
        leftovers.reaped(self._db, row["uuid"])
