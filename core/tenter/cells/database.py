"""A cell's database as other processes see it: it may be away when they start, and come and go."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors
from tenter.store import migrate
from tenter.store.engine import Database

LOG = logging.getLogger(__name__)


class CellDatabase(Database):
    """Opened, and brought up to date, at its first use. While that fails, it is tried again every ``retry`` seconds;
    in between every use raises Unavailable at once, so that nobody waits for a cell that is away."""

    def __init__(
        self, name: str, url: str, pool_size: int = 32, retry: float = 5.0, patience: float = 30.0
    ) -> None:
        self.name = name
        self.url = sa.make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._pool_size, self._retry, self._patience = pool_size, retry, patience
        self._real: Database | None = None
        self._opening = threading.Lock()
        self._tried = 0.0
        self._why = ""

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """See Database."""
        with self.opened().read() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """See Database."""
        with self.opened().write() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        if self._real is not None:
            self._real.close()

    def opened(self) -> Database:
        """Return the database. Raises Unavailable, with the reason, while it cannot be opened."""
        if self._real is not None:
            return self._real
        if time.monotonic() - self._tried < self._retry and self._why:
            raise self._away()
        # Who comes while another thread tries does not wait for what may take a connection's whole time-out.
        if not self._opening.acquire(blocking=not self._why):
            raise self._away()
        try:
            if self._real is None:
                self._open()
        finally:
            self._opening.release()
        assert self._real is not None
        return self._real

    def _open(self) -> None:
        if self._why and time.monotonic() - self._tried < self._retry:
            raise self._away()
        before, self._why = self._why, ""
        try:
            self._real = self._connected()
        except errors.TenterError as exc:
            self._why = exc.message
        except db_exception.DBError as exc:
            self._why = f"it cannot be used ({type(exc).__name__})"
        except Exception as exc:
            LOG.debug("Cell %s cannot be opened", self.name, exc_info=True)
            self._why = f"it cannot be opened ({type(exc).__name__})"
        self._tried = time.monotonic()
        if self._real is not None:
            if before:
                LOG.info("The database of cell %s is back", self.name)
            return
        if self._why != before:
            LOG.warning(
                "The database of cell %s is away: %s It is tried again every %.0f s.", self.name, self._why, self._retry
            )
        raise self._away()

    def _connected(self) -> Database:
        url = self.url.render_as_string(hide_password=False)
        db = Database(url, self._pool_size, create=False, patience=self._patience)
        try:
            if migrate.current(db) is None:
                raise errors.Unavailable("It has none of the tables that the cell's servers are in.")
            migrate.upgrade(db, "cell")
        except BaseException:
            db.close()
            raise
        return db

    def _away(self) -> errors.Unavailable:
        return errors.Unavailable(f"Cell {self.name} cannot be reached now: {self._why or 'it is being opened.'}")
