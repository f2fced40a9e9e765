"""A key belongs to one process at a time."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.operations import membership
from tenter.operations.membership import Member
from tenter.store import hosts, migrate
from tenter.store.cell_schema import services
from tenter.store.engine import Database, sqlite_url

BINARY = "tenter-compute"


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = Database(sqlite_url(tmp_path / "cell.sqlite"))
    migrate.upgrade(database, "cell")
    return database


def _member(db: Database, directory: Path, host: str = "h1", down_after: float = 0.6) -> Member:
    directory.mkdir(exist_ok=True)
    return Member(db, services, directory, BINARY, host, 0.2, down_after, hosts.rename)


def _hosts(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.execute(sa.select(services.c.host)).scalars())


def _copy(directory: Path) -> Path:
    copied = directory.with_name(directory.name + "-copy")
    shutil.copytree(directory, copied)
    return copied


def test_a_restart_on_the_same_directory_takes_over_at_once(db: Database, tmp_path: Path) -> None:
    first = _member(db, tmp_path / "a", down_after=3600)
    first.join()
    second = _member(db, tmp_path / "a", down_after=3600)  # the first was killed: its lock is free
    second.join()
    second.report()
    with pytest.raises(errors.Conflict, match="in use by another"):
        first.report()
    assert _hosts(db) == ["h1"]


def test_a_copied_directory_is_refused_while_the_first_lives(db: Database, tmp_path: Path) -> None:
    first = _member(db, tmp_path / "a")
    first.join()
    over = threading.Event()

    def live() -> None:
        while not over.wait(0.1):
            first.report()

    thread = threading.Thread(target=live)
    thread.start()
    try:
        copy = _member(db, _copy(tmp_path / "a"), "h2")
        with pytest.raises(errors.Conflict, match=r"in use by another tenter-compute \(host 'h1'\)"):
            copy.join()
    finally:
        over.set()
        thread.join()
    first.report()
    assert _hosts(db) == ["h1"]


def test_a_moved_directory_takes_over_when_the_first_is_silent(db: Database, tmp_path: Path) -> None:
    first = _member(db, tmp_path / "a")
    first.join()
    moved = _member(db, _copy(tmp_path / "a"), "h1")
    moved.join()
    moved.report()
    with pytest.raises(errors.Conflict):
        first.report()


def test_after_an_orderly_end_a_copy_begins_at_once(db: Database, tmp_path: Path) -> None:
    first = _member(db, tmp_path / "a", down_after=3600)
    first.join()
    first.leave()
    _member(db, _copy(tmp_path / "a"), down_after=3600).join()


def test_of_two_that_start_at_once_one_wins(db: Database, tmp_path: Path) -> None:
    _member(db, tmp_path / "a").join()
    members = [_member(db, tmp_path / "a") for _ in range(6)]
    results: list[str] = []

    def join(member: Member) -> None:
        try:
            member.join()
            results.append("in")
        except errors.Conflict:
            results.append("refused")

    threads = [threading.Thread(target=join, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    able = 0
    for member in members:
        try:
            member.report()
            able += 1
        except errors.Conflict:
            pass
    assert able == 1 and len(results) == 6


def test_a_name_that_another_host_has(db: Database, tmp_path: Path) -> None:
    _member(db, tmp_path / "a").join()
    with pytest.raises(errors.Conflict, match="already served by tenter-compute"):
        _member(db, tmp_path / "b").join()
    other = _member(db, tmp_path / "c", "h2")
    other.join()
    other.leave()
    with pytest.raises(errors.Conflict, match="already served by tenter-compute"):
        _member(db, tmp_path / "c", "h1").join()
    assert sorted(_hosts(db)) == ["h1", "h2"]


def test_a_deleted_service_registers_itself_anew(db: Database, tmp_path: Path) -> None:
    member = _member(db, tmp_path / "a")
    member.join()
    with db.write() as connection:
        connection.execute(sa.delete(services))
    member.report()
    assert _hosts(db) == ["h1"]


def test_a_key_file_that_holds_no_key(tmp_path: Path) -> None:
    (tmp_path / f"{BINARY}.id").write_text("nonsense\n")
    with pytest.raises(errors.Unavailable, match=r"tenter-compute\.id"):
        membership.service_uuid(tmp_path, BINARY)
