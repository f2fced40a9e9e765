"""Server groups: their policies hold whatever claims at once, and members come and go with their places."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import uuid as uuidlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter import errors
from tenter.conf import new_conf
from tenter.contracts.scheduling import ServerGroup
from tenter.store import api_schema, instances, quota
from tenter.store import server_groups as store
from tenter.store.engine import Database
from tests.helpers.creates import USER, Creator

MEMBERS = api_schema.server_group_members
POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")


@pytest.fixture
def creator(api_db: Database) -> Creator:
    made = Creator(api_db)
    made.limit(server_group_members=-1, server_groups=-1)
    return made


def make(db: Database, policy: str = "anti-affinity", most: int | None = None, project: str = "p") -> str:
    return store.create_group(db, project, USER, "g", policy, most).uuid


def claim(db: Database, instance: str, host: str) -> bool:
    with db.write() as connection:
        return store.claim(connection, instance, host)


def group_of(db: Database, instance: str) -> ServerGroup | None:
    with db.read() as connection:
        return store.group_of(connection, instance)


def hosts(db: Database) -> dict[str, str | None]:
    with db.read() as connection:
        return {row.instance_uuid: row.host for row in connection.execute(sa.select(MEMBERS))}


def is_kept(db: Database, policy: str, most: int | None) -> bool:
    """Return whether what is claimed is what a hard policy allows."""
    claimed = Counter(host for host in hosts(db).values() if host)
    if policy == "affinity":
        return len(claimed) <= 1
    return policy != "anti-affinity" or max(claimed.values(), default=0) <= (most or 1)


def test_anti_affinity(creator: Creator, api_db: Database) -> None:
    one, two, three = creator.create(3, group=make(api_db, most=2)).uuids
    assert claim(api_db, one, "h1") and claim(api_db, two, "h1")
    assert not claim(api_db, three, "h1")
    assert hosts(api_db)[three] is None
    with api_db.read() as connection:
        assert set(store.holders(connection, three, "h1")) == {one, two}
        assert store.holders(connection, three, "h2") == () == store.holders(connection, two, "h1")
    assert claim(api_db, one, "h1"), "what one has already, one gets again"
    assert claim(api_db, one, "h2") and claim(api_db, three, "h1")
    assert not claim(api_db, one, "h1") and hosts(api_db)[one] == "h2"


def test_anti_affinity_of_which_nothing_more_was_said_means_one(creator: Creator, api_db: Database) -> None:
    one, two = creator.create(2, group=make(api_db)).uuids
    assert claim(api_db, one, "h1") and not claim(api_db, two, "h1") and claim(api_db, two, "h2")
    assert group_of(api_db, one) == ServerGroup(group_of(api_db, two).uuid, "anti-affinity", 1, {"h2": 1})  # type: ignore[union-attr]


def test_affinity(creator: Creator, api_db: Database) -> None:
    one, two, three = creator.create(3, group=make(api_db, "affinity")).uuids
    assert claim(api_db, one, "h1")
    assert not claim(api_db, two, "h2") and claim(api_db, two, "h1")
    with api_db.read() as connection:
        assert set(store.holders(connection, three, "h2")) == {one, two}
        assert store.holders(connection, three, "h1") == ()
    assert not claim(api_db, one, "h2"), "the other is there still"
    with api_db.write() as connection:
        store.release(connection, two)
    assert claim(api_db, one, "h2") and not claim(api_db, three, "h1")


@pytest.mark.parametrize("policy", ["soft-affinity", "soft-anti-affinity"])
def test_soft_policies_refuse_nothing(creator: Creator, api_db: Database, policy: str) -> None:
    made = creator.create(4, group=make(api_db, policy)).uuids
    assert all(claim(api_db, uuid, f"h{index // 2}") for index, uuid in enumerate(made))
    found = group_of(api_db, made[0])
    assert found is not None and (found.policy, found.members) == (policy, {"h0": 1, "h1": 2})
    with api_db.read() as connection:
        assert store.holders(connection, made[0], "h1") == ()


def test_who_is_in_no_group_may_go_anywhere(creator: Creator, api_db: Database) -> None:
    alone = creator.create().uuids[0]
    assert claim(api_db, alone, "h1") and group_of(api_db, alone) is None and hosts(api_db) == {}
    with api_db.write() as connection:
        store.release(connection, alone)
        assert store.holders(connection, alone, "h1") == () and store.group_uuid_of(connection, alone) is None


def test_a_claim_that_is_rolled_back_was_never_made(creator: Creator, api_db: Database) -> None:
    one, two = creator.create(2, group=make(api_db)).uuids
    with pytest.raises(RuntimeError), api_db.write() as connection:
        assert store.claim(connection, one, "h1")
        raise RuntimeError("killed")
    assert claim(api_db, two, "h1")


def test_the_claim_goes_with_the_place(creator: Creator, api_db: Database) -> None:
    one, two = creator.create(2, group=make(api_db)).uuids
    assert claim(api_db, one, "h1")
    creator.delete(one)
    assert hosts(api_db) == {two: None} and claim(api_db, two, "h1")
    assert claim(api_db, one, "h1") and one not in hosts(api_db), "a build that goes on makes no member of what is gone"
    with api_db.write() as connection:
        instances.swap_place(connection, two, str(uuidlib.uuid4()))
        assert instances.forget_place(connection, two)
    assert hosts(api_db) == {}


def test_a_group_goes_without_its_servers(creator: Creator, api_db: Database) -> None:
    group, other = make(api_db), make(api_db)
    one, two = creator.create(2, group=group).uuids
    (kept,) = creator.create(group=other).uuids
    claim(api_db, one, "h1")
    store.delete_group(api_db, group)
    assert hosts(api_db) == {kept: None} and claim(api_db, two, "h1")
    assert instances.place_of(api_db, one) is not None
    creator.delete(one)
    for uuid in (group, str(uuidlib.uuid4()), "", "x"):
        with pytest.raises(errors.NotFound, match=f"Instance group {uuid} could not be found."):
            store.delete_group(api_db, uuid)
    assert quota.recount(api_db) == []


def test_groups_of_others_cannot_be_joined_nor_what_is_none(creator: Creator, api_db: Database) -> None:
    theirs = make(api_db, project="q")
    for group in (theirs, str(uuidlib.uuid4()), "nonsense"):
        with pytest.raises(errors.Invalid) as caught:
            creator.create(group=group)
        assert str(caught.value) == f"Instance group {group} could not be found."
    assert hosts(api_db) == {} and quota.recount(api_db) == []
    with api_db.read() as connection:
        assert connection.execute(sa.select(api_schema.places)).first() is None
        assert connection.execute(sa.select(api_schema.operations)).first() is None


def test_groups_are_listed_by_age_and_by_project(creator: Creator, api_db: Database) -> None:
    made = [make(api_db, project=project) for project in ("p", "q", "p")]
    members = creator.create(2, group=made[2]).uuids

    def listed(project: str | None, *page: int) -> list[str]:
        return [group.uuid for group in store.list_groups(api_db, project, *page)]

    assert listed(None) == made and listed("p") == [made[0], made[2]] and listed("none") == []
    assert listed(None, 2) == made[:2] and listed(None, 2, 2) == made[2:] and listed("p", 1, 1) == made[2:]
    assert listed(None, 5, 3) == []
    assert set(store.list_groups(api_db, "p")[1].members) == set(members)
    assert store.get_group(api_db, made[1], "q").members == ()
    with pytest.raises(errors.NotFound):
        store.get_group(api_db, made[1], "p")
    with pytest.raises(errors.NotFound):
        store.delete_group(api_db, made[1], "p")


@pytest.mark.parametrize(("hints", "group"), [
    (None, None), ({}, None), ({"group": None}, None), ({"group": ""}, None), ({"group": []}, None),
    ({"group": "g"}, "g"), ({"group": ["g"]}, "g"),
])  # fmt: skip
def test_which_group_is_meant(hints: dict[str, object] | None, group: str | None) -> None:
    assert store.hinted(hints) == group


def test_several_groups_are_refused() -> None:
    with pytest.raises(errors.Invalid, match="one server group only"):
        store.hinted({"group": ["a", "b"]})


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("claim", "claim", "claim", "release", "delete")), st.integers(0, 5), st.integers(0, 2)
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policy=st.sampled_from(POLICIES), most=st.none() | st.integers(1, 3), steps=STEPS)
def test_a_claim_is_given_exactly_if_the_policy_allows_it(
    creator: Creator, api_db: Database, policy: str, most: int | None, steps: list[tuple[str, int, int]]
) -> None:
    group = make(api_db, policy, most)
    uuids = creator.create(6, group=group).uuids
    model: dict[str, str | None] = dict.fromkeys(uuids)
    for what, who, where in steps:
        uuid, host = uuids[who], f"h{where}"
        if what == "delete":
            if model.pop(uuid, "gone") != "gone":
                creator.delete(uuid)
        elif uuid not in model:
            continue
        elif what == "release":
            with api_db.write() as connection:
                store.release(connection, uuid)
            model[uuid] = None
        else:
            others = [theirs for other, theirs in model.items() if other != uuid and theirs]
            allowed = {
                "affinity": set(others) <= {host}, "anti-affinity": others.count(host) < (most or 1),
            }.get(policy, True)  # fmt: skip
            with api_db.read() as connection:
                assert (store.holders(connection, uuid, host) == ()) is allowed
                found = store.group_of(connection, uuid)
            assert found == ServerGroup(group, policy, most or 1, Counter(others))
            assert claim(api_db, uuid, host) is allowed
            if allowed:
                model[uuid] = host
    with api_db.read() as connection:
        rows = connection.execute(sa.select(MEMBERS).where(MEMBERS.c.group_uuid == group)).all()
    assert {row.instance_uuid: row.host for row in rows} == model
    for uuid in model:
        creator.delete(uuid)
    store.delete_group(api_db, group)


@pytest.mark.parametrize(("policy", "most"), [("anti-affinity", None), ("anti-affinity", 3), ("affinity", None)])
def test_no_number_of_threads_breaks_a_policy(any_api_db: Database, policy: str, most: int | None) -> None:
    api_db, creator = any_api_db, Creator(any_api_db)
    creator.limit(server_group_members=-1)
    group = make(api_db, policy, most)
    uuids = creator.create(40, group=group).uuids
    ended, broken = threading.Event(), []

    def watch() -> None:
        while not ended.is_set():
            if not is_kept(api_db, policy, most):
                broken.append(hosts(api_db))
            ended.wait(0.003)

    def one(uuid: str) -> int:
        chance, got = random.Random(uuid), 0
        for _ in range(12):
            got += claim(api_db, uuid, f"h{chance.randrange(5)}")
            if chance.random() < 0.2:
                with api_db.write() as connection:
                    store.release(connection, uuid)
        if chance.random() < 0.3:
            creator.delete(uuid)
        return got

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(16) as pool:
        got = sum(pool.map(one, uuids))
    ended.set()
    watcher.join()
    assert broken == [] and is_kept(api_db, policy, most) and got > 10
    with api_db.read() as connection:
        left = set(connection.execute(sa.select(api_schema.places.c.instance_uuid)).scalars())
    assert set(hosts(api_db)) == left


def test_two_processes_fill_hosts_to_the_brim(creator: Creator, api_db: Database, tmp_path: Path) -> None:
    uuids = creator.create(30, group=make(api_db, most=2)).uuids
    code = (
        "import sys; from tenter.store import server_groups; from tenter.store.engine import Database, sqlite_url\n"
        "db = Database(sqlite_url(sys.argv[1])); sys.stdin.readline()\n"
        "def one(uuid, host):\n    with db.write() as c: return server_groups.claim(c, uuid, host)\n"
        "print(sum(any(one(uuid, f'h{n}') for n in range(10)) for uuid in sys.argv[2:]))\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "api.sqlite"), *half],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for half in (uuids[:15], uuids[15:])
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 20
    assert Counter(filter(None, hosts(api_db).values())) == Counter({f"h{n}": 2 for n in range(10)})


def outcomes(work: object, times: int) -> Counter[str]:
    def once(number: int) -> str:
        try:
            work(number)  # type: ignore[operator]
        except errors.TenterError as exc:
            return str(exc)
        return "made"

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(once, range(times)))


def test_groups_at_their_limit(any_api_db: Database) -> None:
    api_db, creator = any_api_db, Creator(any_api_db)
    creator.limit(server_group_members=-1, server_groups=-1)
    found = outcomes(lambda number: store.create_group(api_db, "p", USER, "g", "affinity", limit=7), 40)
    assert found["made"] == 7 and len(found) == 2
    usage = quota.Quotas(api_db, new_conf()).usage("p")
    assert usage["server_groups"] == 7 == len(store.list_groups(api_db, "p")) and quota.recount(api_db) == []
    assert quota.Quotas(api_db, new_conf()).usage("p", USER)["server_groups"] == 7
    assert quota.Quotas(api_db, new_conf()).usage("p", "other")["server_groups"] == 0
    store.delete_group(api_db, store.list_groups(api_db, "p")[0].uuid)
    store.create_group(api_db, "p", USER, "g", "affinity", limit=7)
    store.create_group(api_db, "q", USER, "g", "affinity", limit=1)


def test_members_at_their_limit(any_api_db: Database) -> None:
    api_db, creator = any_api_db, Creator(any_api_db)
    creator.limit(server_group_members=-1, server_groups=-1)
    creator.limit(server_group_members=7)
    group = make(api_db)
    found = outcomes(lambda number: creator.create(group=group), 30)
    assert found == {"made": 7, "Quota exceeded, too many servers in group": 23}
    assert len(hosts(api_db)) == 7 and quota.recount(api_db) == []
    with pytest.raises(errors.QuotaExceeded):
        creator.create(1, 8, group=make(api_db))
    creator.limit(server_group_members=7, instances=9)
    assert len(creator.create(1, 8, group=make(api_db)).uuids) == 2, "so many are in the project's quota"


def test_groups_deleted_while_they_are_joined_leave_nothing(any_api_db: Database) -> None:
    api_db, creator = any_api_db, Creator(any_api_db)
    creator.limit(server_group_members=-1, server_groups=-1)
    groups = [make(api_db) for _ in range(25)]

    def once(number: int) -> None:
        group = groups[number // 2]
        if number % 2:
            store.delete_group(api_db, group)
        else:
            creator.create(group=group)

    found = outcomes(once, 50)
    assert found["made"] >= 25 and hosts(api_db) == {}
    with api_db.read() as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(api_schema.places)).scalar_one()
    assert count == found["made"] - 25 and quota.recount(api_db) == []


def test_a_restored_place_is_in_its_group_again(creator: Creator, api_db: Database) -> None:
    group = make(api_db)
    uuid = creator.create(group=group).uuids[0]
    place = instances.place_of(api_db, uuid)
    assert place is not None
    row = {**place["record"], "host": "h1"}
    creator.delete(uuid)
    for wanted in (group, str(uuidlib.uuid4())):
        with api_db.write() as connection:
            instances.restore_place(connection, {**row, "hints": {"group": wanted}}, str(uuidlib.uuid4()))
        assert hosts(api_db) == ({uuid: "h1"} if wanted == group else {})
        with api_db.write() as connection:
            assert instances.forget_place(connection, uuid)
