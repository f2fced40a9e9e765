"""A process as a member of the fabric: known by a key that it made itself, never by its name.

The row of a key belongs to one session. A process that starts takes the row over by compare-and-swap, and each of its
signs of life checks that it still has it. So of two processes with the same key, whose state directory was copied or
whose machine was cloned, one is refused.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import uuid as uuidlib
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tenter import errors
from tenter.store import presence
from tenter.store.engine import Database

LOG = logging.getLogger(__name__)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
Renamed = Callable[[sa.Connection, str, str], None]


def service_uuid(state_dir: Path, binary: str) -> str:
    """Return this host's key for a service, making it at the first start (file ``BINARY.id`` in the state dir).

    Raises Unavailable if the file is damaged: another key would make this another host.
    """
    path = state_dir / f"{binary}.id"
    if path.exists():
        try:
            return str(uuidlib.UUID(path.read_text().strip()))
        except ValueError:
            raise errors.Unavailable(
                f"{path} is damaged: it must hold this host's UUID, as the services table of its cell has it; "
                "put the right file back, or remove it to be a new host."
            ) from None
    key = str(uuidlib.uuid4())
    new = path.with_suffix(".new")
    new.write_text(key + "\n")
    os.replace(new, path)
    return key


def origin(state_dir: Path) -> str:
    """Return what tells this state directory on this running machine from every copy of it.

    Only one process at a time runs on it (it holds the directory's lock): who finds a session of the same origin knows
    that the process which had it is dead.
    """
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "-"
    at = state_dir.stat()
    return f"{boot}:{at.st_dev}:{at.st_ino}"


class Member:
    """One service's row in ``table``. ``interval``: seconds between two reports; ``down_after``: seconds without one
    after which a service counts as down; ``renamed(connection, before, now)`` is called when the host's name is new."""

    def __init__(
        self,
        db: Database,
        table: sa.Table,
        state_dir: Path,
        binary: str,
        host: str,
        interval: float,
        down_after: float,
        renamed: Renamed | None = None,
    ) -> None:
        self._db, self._table, self._binary, self._host = db, table, binary, host
        self._patience = min(2.5 * interval + 1, down_after)
        self._renamed = renamed
        self.uuid = service_uuid(state_dir, binary)
        self._origin = origin(state_dir)
        self._session = f"{secrets.token_hex(8)}@{self._origin}"

    def join(self, stopped: threading.Event | None = None) -> None:
        """Take the row, or add it.

        Where the key's last session was another machine's or directory's and may be alive, its next sign of life is
        waited for. Raises Conflict if it gives one, or if another key has this host's name.
        """
        known = presence.look(self._db, self._table, self.uuid)
        if known is None:
            if not presence.insert(self._db, self._table, self.uuid, self._host, self._binary, self._session):
                raise self._name_taken()
            return
        if known.session is not None and not known.session.endswith("@" + self._origin):
            known = self._watch(known, stopped or threading.Event())
        if known.host != self._host and self._renamed and self._holder() not in (None, self.uuid):
            raise self._name_taken()
        with self._db.write() as connection:
            if not presence.take(connection, self._table, self.uuid, known.session, self._session):
                raise self._taken(known)
            if known.host != self._host:
                change = sa.update(self._table).where(self._table.c.uuid == self.uuid)
                connection.execute(change.values(host=self._host))
                if self._renamed is not None:
                    self._renamed(connection, known.host, self._host)

    def report(self) -> None:
        """Give a sign of life. Raises Conflict if another process has taken the row, or somebody removed it."""
        if presence.report(self._db, self._table, self.uuid, self._session):
            return
        known = presence.look(self._db, self._table, self.uuid)
        if known is None:  # the service was deleted by an administrator; a process that runs registers itself anew
            if presence.insert(self._db, self._table, self.uuid, self._host, self._binary, self._session):
                return
            raise self._name_taken()
        if known.session is None and self._took_back():
            return
        raise self._taken(known)

    def leave(self) -> None:
        """Give the row up in good order. Never raises."""
        try:
            presence.leave(self._db, self._table, self.uuid, self._session)
        except Exception as exc:
            LOG.warning("Cannot sign off: %s", exc)

    def _took_back(self) -> bool:
        with self._db.write() as connection:
            return presence.take(connection, self._table, self.uuid, None, self._session)

    def _watch(self, known: presence.Presence, stopped: threading.Event) -> presence.Presence:
        """Return the row once its session has been silent for long enough. Raises Conflict if it is not."""
        waited, first = 0.0, known.last_seen
        while waited < self._patience and not stopped.wait(0.2):
            waited += 0.2
            seen = presence.look(self._db, self._table, self.uuid)
            if seen is None or (seen.session == known.session and seen.last_seen == first):
                continue
            if seen.session is None:
                return seen
            raise self._taken(seen)
        return known

    def _holder(self) -> str | None:
        return presence.holder_of(self._db, self._table, self._host, self._binary)

    def _name_taken(self) -> errors.Conflict:
        return errors.Conflict(
            f"Host {self._host!r} is already served by {self._binary} {self._holder()}; give this one another "
            "[DEFAULT] host, or put its identity file back into the state directory."
        )

    def _taken(self, known: presence.Presence) -> errors.Conflict:
        return errors.Conflict(
            f"The identity {self.uuid} is in use by another {self._binary} (host {known.host!r}); this state directory "
            "seems to be a copy. A host of its own needs a state directory of its own that is empty at its first start."
        )
