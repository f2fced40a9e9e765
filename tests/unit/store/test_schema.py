"""Migrations, transactions, and several writers at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import autogenerate, command
from alembic.config import Config
from alembic.migration import MigrationContext

from tenter import errors
from tenter.store import api_schema, cell_schema, cells, migrate
from tenter.store.engine import Database, now, sqlite_url

SCHEMAS = {"api": api_schema.metadata, "cell": cell_schema.metadata}


@pytest.mark.parametrize("which", SCHEMAS)
def test_migrations_make_what_the_tables_say(tmp_path: Path, which: str) -> None:
    db = Database(sqlite_url(tmp_path / "db"))
    migrate.upgrade(db, which)
    migrate.upgrade(db, which)
    assert migrate.current(db) == migrate.HEADS[which]
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert autogenerate.compare_metadata(context, SCHEMAS[which]) == []
    db.close()


@pytest.mark.parametrize("which", SCHEMAS)
def test_rows_of_the_first_release_are_kept(tmp_path: Path, which: str) -> None:
    db = Database(sqlite_url(tmp_path / "db"))
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations" / which))
    config.attributes["engine"] = db.engine
    command.upgrade(config, f"{which}001")
    rows = {
        "api": "INSERT INTO places (instance_uuid, project_id, user_id, state, created_at) "
        "VALUES ('i', 'p', 'u', 'placed', 1)",
        "cell": "INSERT INTO services (uuid, host, binary, version, disabled, forced_down, last_seen, created_at) "
        "VALUES ('s', 'h', 'tenter-compute', 1, 0, 0, 1, 1)",
    }
    with db.write() as connection:
        connection.exec_driver_sql(rows[which])
    migrate.upgrade(db, which)
    with db.read() as connection:
        if which == "api":
            place = connection.execute(sa.select(api_schema.places)).one()
            assert (place.vcpus, place.memory_mb, place.brief, place.delete_wanted) == (0, 0, None, None)
        else:
            assert connection.execute(sa.select(cell_schema.services)).one().session is None
    db.close()


@pytest.mark.parametrize("which", SCHEMAS)
def test_a_newer_schema_is_refused_in_one_sentence(tmp_path: Path, which: str) -> None:
    db = Database(sqlite_url(tmp_path / "db"))
    migrate.upgrade(db, which)
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'future'")
    with pytest.raises(errors.Conflict, match=f"The {which} database has schema future, which this release does not"):
        migrate.upgrade(db, which)
    assert migrate.current(db) == "future"
    db.close()


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    db = Database(sqlite_url(tmp_path / "missing" / "db"))
    with pytest.raises(errors.Unavailable), db.read():
        pass


def _cell(name: str) -> sa.Insert:
    return sa.insert(api_schema.cells).values(uuid=name, name=name, created_at=now())


def _count(db: Database) -> int:
    with db.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(api_schema.cells)).scalar_one())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_transaction_that_raises_leaves_nothing(api_db: Database, error: type[BaseException]) -> None:
    with pytest.raises(error), api_db.write() as connection:
        connection.execute(_cell("a"))
        raise error
    assert _count(api_db) == 0
    with api_db.write() as connection:
        connection.execute(_cell("b"))
    assert _count(api_db) == 1


DYING = """
import os, sys
import sqlalchemy as sa
from tenter.store import cells, migrate
from tenter.store.engine import Database
db, left = Database(sys.argv[1]), [int(sys.argv[3])]
@sa.event.listens_for(db.engine, "before_cursor_execute")
def die(connection, cursor, statement, *rest):
    if "CREATE TABLE" in statement:
        left[0] -= 1
        if not left[0]:
            os._exit(9)
migrate.upgrade(db, sys.argv[2])
"""


@pytest.mark.parametrize("which", SCHEMAS)
def test_a_first_start_that_is_killed_is_made_good_by_the_next(tmp_path: Path, which: str) -> None:
    url = sqlite_url(tmp_path / "db")
    done = subprocess.run([sys.executable, "-c", DYING, url, which, "4"], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    db = Database(url)
    migrate.upgrade(db, which)
    assert migrate.current(db) == migrate.HEADS[which]
    with db.engine.connect() as connection:
        assert autogenerate.compare_metadata(MigrationContext.configure(connection), SCHEMAS[which]) == []
    db.close()


def test_cells_are_made_once(api_db: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda n: cells.ensure_cell(api_db, "cell1").uuid, range(16)))
    assert len(found) == 1


WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
import sqlalchemy as sa
from tenter.store.engine import Database
db = Database(sys.argv[1])
def add(n):
    with db.write() as connection:
        value = connection.exec_driver_sql("SELECT n FROM counter").scalar()
        connection.exec_driver_sql(f"UPDATE counter SET n = {value + 1}")
with ThreadPoolExecutor(8) as pool:
    list(pool.map(add, range(150)))
"""


def test_two_processes_of_eight_threads_lose_nothing(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "db")
    db = Database(url)
    with db.write() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (n INTEGER)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for writer in writers:
        _, err = writer.communicate(timeout=60)
        assert writer.returncode == 0, err
    with db.read() as connection:
        assert connection.exec_driver_sql("SELECT n FROM counter").scalar() == 300
    db.close()
