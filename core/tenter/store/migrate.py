"""Bringing a database's schema up to date with alembic. A database that is already there costs one query."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors
from tenter.store.engine import Database

LOG = logging.getLogger(__name__)
HEADS = {"api": "api003", "cell": "cell003"}
_PLACES = Path(__file__).parent / "migrations"
_PATIENCE = 30.0
"""Seconds that another process is given to bring the same database up to date."""


def current(db: Database) -> str | None:
    """Return the schema version of a database, None if it has none yet."""
    version = sa.table("alembic_version", sa.column("version_num"))
    with db.read() as connection:
        if not sa.inspect(connection).has_table(version.name):
            return None
        return connection.execute(sa.select(version.c.version_num)).scalar()


def upgrade(db: Database, which: str) -> None:
    """Bring the ``api`` or ``cell`` database up to date. Raises Conflict if it is newer than this release."""
    if current(db) == HEADS[which]:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_PLACES / which))
    config.attributes["engine"] = db.engine
    LOG.info("Bringing the %s database up to %s", which, HEADS[which])
    try:
        command.upgrade(config, "head")
    except (sa.exc.SQLAlchemyError, db_exception.DBError):
        if not _other_did(db, which):
            raise
    except CommandError as exc:
        raise errors.Conflict(
            f"The {which} database has schema {current(db)}, which this release does not know; "
            "use the release that wrote it, or a newer one."
        ) from exc


def _other_did(db: Database, which: str) -> bool:
    """Return whether another process, which was at it first, has brought the database up to date; waits for it."""
    until = time.monotonic() + _PATIENCE
    while current(db) != HEADS[which]:
        if time.monotonic() > until or not _has_tables(db):
            return False
        time.sleep(0.1)
    return True


def _has_tables(db: Database) -> bool:
    return bool(sa.inspect(db.engine).get_table_names())
