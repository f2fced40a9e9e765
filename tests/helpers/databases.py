"""A database that can be made slow, or go away."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import sqlalchemy as sa

from tenter import errors
from tenter.store.engine import Database

SLOWEST = 20.0


class MoodyDatabase(Database):
    """A real database behind a bad line: ``away`` refuses, ``hang`` lets every use wait until ``recover``."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.away = False
        self.uses = 0
        self._open = threading.Event()
        self._open.set()

    @staticmethod
    def made_of(db: Database) -> MoodyDatabase:
        """Give a database that is in use, and all who use it, a bad line."""
        db.__class__ = MoodyDatabase
        assert isinstance(db, MoodyDatabase)
        db.away, db.uses, db._open = False, 0, threading.Event()
        db._open.set()
        return db

    def hang(self) -> None:
        """Answer nobody any more."""
        self._open.clear()

    def recover(self) -> None:
        """Be as every database."""
        self.away = False
        self._open.set()

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """See Database."""
        self._suffer()
        with super().read() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """See Database."""
        self._suffer()
        with super().write() as connection:
            yield connection

    def _suffer(self) -> None:
        self.uses += 1
        if self.away:
            raise errors.Unavailable("The database cannot be reached.")
        assert self._open.wait(SLOWEST)
