"""Quotas at their limit: nobody ever gets more, nothing leaks, and what was damaged is found."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.conf import new_conf
from tenter.store import api_schema, instances, keypairs, quota
from tenter.store.engine import Database, sqlite_url
from tests.helpers.creates import USER, Creator

PROJECT = quota.Owner(quota.PROJECT, "p")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "api.sqlite"))
    api_schema.metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def creator(db: Database) -> Creator:
    return Creator(db)


def used(db: Database, project: str = "p") -> tuple[int, int, int]:
    usage = quota.Quotas(db, new_conf()).usage(project)
    return usage["instances"], usage["cores"], usage["ram"]


def places(db: Database) -> int:
    with db.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(api_schema.places)).scalar_one())


def test_a_server_more_than_allowed_is_refused_in_the_words_of_nova(creator: Creator, db: Database) -> None:
    creator.limit(instances=10)
    creator.create(10)
    with pytest.raises(errors.QuotaExceeded) as caught:
        creator.create()
    assert str(caught.value) == "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"
    assert (places(db), used(db)) == (10, (10, 20, 10 * 512))
    creator.create(project="other")


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"cores": 3}, "cores: Requested 4, but already used 0 of 3 cores"),
        ({"ram": 1023}, "ram: Requested 1024, but already used 0 of 1023 ram"),
        ({"cores": 0, "ram": 0}, "cores, ram: Requested 4, 1024, but already used 0, 0 of 0, 0 cores, ram"),
    ],
)
def test_what_servers_are_made_of_is_limited_too(
    creator: Creator, db: Database, limits: dict[str, int], sentence: str
) -> None:
    creator.limit(**limits)
    with pytest.raises(errors.QuotaExceeded, match=sentence):
        creator.create(2)
    assert (places(db), used(db)) == (0, (0, 0, 0))


def test_as_many_as_fit_are_made_if_they_are_enough(creator: Creator, db: Database) -> None:
    creator.limit(cores=9)
    assert len(creator.create(2, 50).uuids) == 4
    assert used(db) == (4, 8, 2048)
    with pytest.raises(errors.QuotaExceeded, match="cores: Requested 2, but already used 8 of 9 cores"):
        creator.create(1, 50)


def test_a_quota_that_is_overdrawn_refuses_and_never_falls_below_nothing(creator: Creator, db: Database) -> None:
    made = creator.create(3)
    creator.limit(instances=1)
    with pytest.raises(errors.QuotaExceeded, match="Requested 1, but already used 3 of 1 instances"):
        creator.create()
    for uuid in made.uuids[:2]:
        creator.delete(uuid)
    with pytest.raises(errors.QuotaExceeded, match="already used 1 of 1"):
        creator.create()
    with db.write() as connection:
        quota.give_back(connection, PROJECT, {"instances": 5, "cores": 1})
    assert used(db) == (0, 1, 512)


def test_a_place_is_given_back_once(creator: Creator, db: Database) -> None:
    uuid = creator.create().uuids[0]
    creator.create()
    with db.write() as connection:
        assert instances.swap_place(connection, uuid, "cell")
        assert not instances.forget_place(connection, uuid, unplaced=True)
    assert used(db)[0] == 2
    with db.write() as connection:
        assert instances.forget_place(connection, uuid)
        assert not instances.forget_place(connection, uuid)
    assert used(db) == (1, 2, 512)
    assert quota.recount(db) == []


def test_what_is_rolled_back_was_not_counted(creator: Creator, db: Database) -> None:
    uuid = creator.create().uuids[0]
    with pytest.raises(RuntimeError), db.write() as connection:
        instances.forget_place(connection, uuid)
        raise RuntimeError("killed")
    assert (used(db)[0], quota.recount(db)) == (1, [])


def race(threads: int, work: object, times: int) -> Counter[str]:
    """Do it ``times`` in so many threads; count what came of it."""

    def once(number: int) -> str:
        try:
            return str(work(number))  # type: ignore[operator]
        except errors.QuotaExceeded:
            return "refused"

    with ThreadPoolExecutor(threads) as pool:
        return Counter(pool.map(once, range(times)))


def test_a_thousand_parallel_creates_make_what_is_allowed(creator: Creator, db: Database) -> None:
    creator.limit(instances=337)
    outcomes = race(16, lambda number: len(creator.create(1, 1 + number % 3).uuids), 1000)
    assert places(db) == 337 == used(db)[0]
    assert outcomes["1"] + 2 * outcomes["2"] + 3 * outcomes["3"] == 337
    assert quota.recount(db) == []


def test_creates_and_deletes_at_once_never_exceed_the_limit(creator: Creator, db: Database) -> None:
    creator.limit(cores=10)
    ended, seen = threading.Event(), []

    def watch() -> None:
        while not ended.is_set():
            seen.append((places(db), used(db)[1]))
            ended.wait(0.003)

    def once(number: int) -> str:
        creator.delete(creator.create().uuids[0])
        return "made"

    watcher = threading.Thread(target=watch)
    watcher.start()
    outcomes = race(12, once, 300)
    ended.set()
    watcher.join()
    assert outcomes["made"] > 5
    assert max(count for count, _ in seen) <= 5 and max(cores for _, cores in seen) <= 10
    assert (places(db), used(db), quota.recount(db)) == (0, (0, 0, 0), [])


def test_two_processes_share_one_limit(creator: Creator, db: Database, tmp_path: Path) -> None:
    creator.limit(ram=150 * 512)
    command = [sys.executable, "-m", "tests.helpers.creates", str(tmp_path / "api.sqlite"), "250"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    assert [worker.stdout.readline() for worker in workers if worker.stdout] == ["ready\n"] * 2
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    made = [int(worker.communicate(timeout=120)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sum(made) == 150 == places(db) and min(made) > 0
    assert (used(db), quota.recount(db)) == ((150, 300, 150 * 512), [])


def test_key_pairs_at_their_limit(db: Database) -> None:
    def make(number: int) -> str:
        keypairs.create_keypair(db, USER, f"k{number}", "ssh", "ssh-ed25519 A", "ff", limit=7)
        return "made"

    assert race(8, make, 40) == {"made": 7, "refused": 33}
    names = [row["name"] for row in keypairs.list_keypairs(db, USER)]
    with pytest.raises(errors.NotFound):
        keypairs.delete_keypair(db, USER, "none")
    keypairs.delete_keypair(db, USER, names[0])
    with pytest.raises(errors.Conflict):
        keypairs.create_keypair(db, USER, names[1], "ssh", "ssh-ed25519 A", "ff", limit=7)
    make(99)
    assert quota.recount(db) == []


def test_damage_is_found_and_corrected(creator: Creator, db: Database) -> None:
    creator.create(3)
    keypairs.create_keypair(db, USER, "k", "ssh", "ssh-ed25519 A", "ff")
    table = api_schema.quota_usages
    with db.write() as connection:
        connection.execute(sa.update(table).where(table.c.resource == "cores").values(used=99))
        connection.execute(sa.update(table).where(table.c.resource == "ram").values(used=0))
        connection.execute(sa.delete(table).where(table.c.resource.in_(["instances", "key_pairs"])))
        connection.execute(sa.insert(table).values(owner_kind="project", owner="gone", resource="cores", used=5))
    found = quota.recount(db)
    assert [(d.owner.id, d.resource, d.recorded, d.counted) for d in found] == [
        ("gone", "cores", 5, 0), ("p", "cores", 99, 6), ("p", "instances", 0, 3), ("p", "ram", 0, 1536),
        (USER, "key_pairs", 0, 1),
    ]  # fmt: skip
    assert str(found[1]) == "quota of project p: 99 cores recorded, 6 found"
    assert all(quota.correct(db, difference) for difference in found)
    assert quota.recount(db) == []
    assert not quota.correct(db, found[0])
    assert used(db) == (3, 6, 1536)


def test_nothing_in_motion_is_taken_for_damage(creator: Creator, db: Database) -> None:
    ended, found = threading.Event(), []

    def look() -> None:
        while not ended.is_set():
            found.extend(quota.recount(db))
            ended.wait(0.003)

    looker = threading.Thread(target=look)
    looker.start()
    race(6, lambda number: creator.delete(creator.create().uuids[0]), 150)
    ended.set()
    looker.join()
    assert found == []


def test_a_correction_takes_account_of_what_came_since(creator: Creator, db: Database) -> None:
    uuid = creator.create().uuids[0]
    table = api_schema.quota_usages
    with db.write() as connection:
        connection.execute(sa.update(table).values(used=0))
    found = quota.recount(db)
    creator.delete(uuid)
    assert not any(quota.correct(db, difference) for difference in found)
    assert used(db) == (0, 0, 0)
