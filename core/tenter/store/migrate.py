"""Bringing a database's schema up to date with alembic. A database that is already there costs one query."""

from __future__ import annotations

import logging
import uuid as uuidlib
from pathlib import Path

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors
from tenter.store.api_schema import cells
from tenter.store.engine import Database, now

LOG = logging.getLogger(__name__)
HEADS = {"api": "api001", "cell": "cell001"}
_PLACES = Path(__file__).parent / "migrations"


def current(db: Database) -> str | None:
    """Return the schema version of a database, None if it has none yet."""
    version = sa.table("alembic_version", sa.column("version_num"))
    try:
        with db.read() as connection:
            return connection.execute(sa.select(version.c.version_num)).scalar()
    except db_exception.DBError as exc:
        if isinstance(exc, db_exception.DBConnectionError):
            raise
        return None


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
    except CommandError as exc:
        raise errors.Conflict(
            f"The {which} database has schema {current(db)}, which this release does not know; "
            "use the release that wrote it, or a newer one."
        ) from exc


def cell_named(db: Database, name: str) -> str | None:
    """Return the UUID of the cell ``name``, None if there is none."""
    with db.read() as connection:
        return connection.execute(sa.select(cells.c.uuid).where(cells.c.name == name)).scalar()


def ensure_cell(db: Database, name: str) -> str:
    """Return the UUID of the cell ``name``, adding it if it is new."""
    with db.write() as connection:
        uuid = connection.execute(sa.select(cells.c.uuid).where(cells.c.name == name)).scalar()
        if uuid is None:
            uuid = str(uuidlib.uuid4())
            connection.execute(sa.insert(cells).values(uuid=uuid, name=name, created_at=now()))
    return str(uuid)
