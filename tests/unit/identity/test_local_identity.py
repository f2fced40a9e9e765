"""The identity driver ``local``: what a token is worth, and for how long."""

import multiprocessing
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tenter import errors, plugins
from tenter.conf import new_conf
from tenter.contracts.identity import (
    Assignment,
    AssignmentQuery,
    AuthRequest,
    EntityQuery,
    IdentityDriver,
    Kind,
    Scope,
    ValidateRequest,
)
from tenter_plugins.identity.local import LocalIdentity, passwords


def make(directory, **options):
    conf = new_conf(files=[], state_dir=directory)
    conf.register_opts(list(LocalIdentity.options), group="local_identity")
    for name, value in options.items():
        conf.set_override(name, value, group="local_identity")
    return plugins.load("identity", "local", IdentityDriver, conf, directory)


@pytest.fixture
def driver(tmp_path):
    found = make(tmp_path)
    yield found
    found.close()


@pytest.fixture
def password(driver):
    return driver.bootstrap().password


def login(driver, password, name="admin", scope=None):
    scope = scope or Scope(project_name="admin", domain_id="default")
    return driver.authenticate(AuthRequest(scope, user_name=name, user_domain="default", password=password))


class Member:
    """A user ``ann`` who is a member of the project ``red``, with a token."""

    def __init__(self, driver):
        self.project = driver.create(Kind.PROJECT, {"name": "red"}).id
        self.user = driver.create(Kind.USER, {"name": "ann", "password": "first"}).id
        (self.role,) = (role.id for role in driver.list(EntityQuery(Kind.ROLE, name="member")))
        self.assignment = Assignment(self.user, self.project, self.role)
        driver.assign(self.assignment)
        self.token = login(driver, "first", "ann", Scope(project_id=self.project)).secret


@pytest.fixture
def member(driver):
    return Member(driver)


def test_the_first_start_makes_an_administrator_whose_password_is_told_once(driver):
    first, second = driver.bootstrap(), driver.bootstrap()
    assert (first.user, first.project, second.password) == ("admin", "admin", None)
    assert len(first.password) >= 20
    assert login(driver, first.password).project.name == "admin"
    assert first.password not in repr(first)


def test_a_lost_password_can_be_replaced_and_old_tokens_end(driver, password):
    token = login(driver, password).secret
    new = driver.bootstrap(reset_password=True).password
    assert login(driver, new)
    for use in (lambda: login(driver, password), lambda: driver.validate(ValidateRequest(token))):
        with pytest.raises(errors.Unauthorized):
            use()


def test_secrets_are_neither_readable_by_others_nor_in_clear_on_disk(driver, password, tmp_path):
    token = login(driver, password).secret
    driver.revoke(token)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
        assert password.encode() not in path.read_bytes()
        assert token.encode() not in path.read_bytes()


def test_a_token_says_who_asks_with_implied_roles(driver, password, member):
    identity = driver.validate(ValidateRequest(login(driver, password).secret))
    assert (identity.user_name, identity.project_name, identity.is_admin) == ("admin", "admin", True)
    assert identity.roles == {"admin", "manager", "member", "reader"}
    identity = driver.validate(ValidateRequest(member.token))
    assert identity.roles == {"member", "reader"} and identity.project_id == member.project
    assert identity.expires_at == pytest.approx(time.time() + 8 * 3600, abs=60)


def test_tokens_outlive_a_restart(driver, password, tmp_path):
    token = login(driver, password).secret
    driver.close()
    again = make(tmp_path)
    assert again.validate(ValidateRequest(token)).user_name == "admin"
    again.close()


def test_what_was_not_issued_here_is_refused(driver, password, tmp_path):
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other")
    foreign = login(other, other.bootstrap().password).secret
    other.close()
    good = login(driver, password).secret
    middle = len(good) // 2
    forged = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
    for token in (foreign, forged, good[:-4], good + "A", "", "x", "é" * 40, "A" * 100_000, "gAAAAA==", "\0"):
        with pytest.raises(errors.Unauthorized):
            driver.validate(ValidateRequest(token))
    assert driver.validate(ValidateRequest(good))


def test_a_token_expires(driver, password, monkeypatch):
    token = login(driver, password).secret
    driver.validate(ValidateRequest(token))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 3600 + 1)
    with pytest.raises(errors.Unauthorized):
        driver.validate(ValidateRequest(token))


ENDINGS = {
    "revoked": lambda driver, member: driver.revoke(member.token),
    "user disabled": lambda driver, member: driver.update(Kind.USER, member.user, {"enabled": False}),
    "user deleted": lambda driver, member: driver.delete(Kind.USER, member.user),
    "password set": lambda driver, member: driver.update(Kind.USER, member.user, {"password": "second"}),
    "password changed": lambda driver, member: driver.change_password(member.user, "first", "second"),
    "project disabled": lambda driver, member: driver.update(
        Kind.PROJECT, member.project, {"enabled": False}
    ),
    "project deleted": lambda driver, member: driver.delete(Kind.PROJECT, member.project),
    "role removed": lambda driver, member: driver.assign(member.assignment, present=False),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_token_ends_at_once(driver, member, ending):
    assert driver.validate(ValidateRequest(member.token))
    ending(driver, member)
    for use in (lambda token: driver.validate(ValidateRequest(token)), driver.describe_token, driver.revoke):
        with pytest.raises(errors.Unauthorized):
            use(member.token)


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_token_ends_in_other_processes_within_the_interval(driver, member, ending, tmp_path):
    other = make(tmp_path, refresh_interval=0.1)
    assert other.validate(ValidateRequest(member.token))
    ending(driver, member)
    time.sleep(0.2)
    with pytest.raises(errors.Unauthorized):
        other.validate(ValidateRequest(member.token))
    other.close()


def test_revoking_one_token_leaves_the_others(driver, member):
    second = login(driver, "first", "ann", Scope(project_id=member.project)).secret
    driver.revoke(member.token)
    assert driver.validate(ValidateRequest(second))


def test_a_role_given_later_counts_for_a_token_there_is(driver, member):
    assert not driver.validate(ValidateRequest(member.token)).is_admin
    (admin,) = driver.list(EntityQuery(Kind.ROLE, name="admin"))
    driver.assign(Assignment(member.user, member.project, admin.id))
    assert driver.validate(ValidateRequest(member.token)).is_admin


def test_validation_reads_no_row_and_takes_no_time(driver, password, monkeypatch):
    token = login(driver, password).secret
    monkeypatch.setattr(driver._store, "_interval", 3600)
    driver.validate(ValidateRequest(token))
    monkeypatch.setattr(driver._store, "reading", None)
    monkeypatch.setattr(driver._store._database, "reading", None)
    started = time.process_time()
    for _ in range(1000):
        driver.validate(ValidateRequest(token))
    assert (time.process_time() - started) / 1000 < 0.0003


def test_the_memory_of_tokens_is_bounded(tmp_path):
    driver = make(tmp_path, token_cache_size=4)
    secret = driver.bootstrap().password
    first = login(driver, secret).secret
    scope = Scope(project_name="admin")
    tokens = [driver.authenticate(AuthRequest(scope, token=first)).secret for _ in range(20)]
    assert all(driver.validate(ValidateRequest(token)) for token in tokens)
    assert len(driver._cache._known) == 4
    driver.close()


def wrong(member):
    return {
        "password": {"user_name": "ann", "password": "wrong"},
        "empty password": {"user_name": "ann", "password": ""},
        "user": {"user_name": "nobody", "password": "first"},
        "id": {"user_id": "nobody", "password": "first"},
        "domain": {"user_name": "ann", "user_domain": "elsewhere", "password": "first"},
        "disabled": {"user_name": "eve", "password": "first"},
        "no password kept": {"user_name": "bot", "password": "first"},
    }


def test_wrong_credentials_cannot_be_told_apart(driver, member, monkeypatch):
    driver.create(Kind.USER, {"name": "eve", "password": "first", "enabled": False})
    driver.create(Kind.USER, {"name": "bot"})
    passwords._nobody()
    calls = []
    real = passwords._scrypt
    monkeypatch.setattr(passwords, "_scrypt", lambda *args: calls.append(args) or real(*args))
    told = set()
    for credentials in wrong(member).values():
        calls.clear()
        with pytest.raises(errors.Unauthorized) as caught:
            driver.authenticate(AuthRequest(Scope(), **credentials))
        told.add(str(caught.value))
        assert [args[2:] for args in calls] == [(2**14, 8, 1)]
    assert len(told) == 1


def test_a_scope_that_is_not_the_users_is_refused(driver, member):
    blue = driver.create(Kind.PROJECT, {"name": "blue"}).id
    for scope in (Scope(blue), Scope(None, "blue"), Scope("none"), Scope(None, "red", "elsewhere")):
        with pytest.raises(errors.Unauthorized):
            login(driver, "first", "ann", scope)
    with pytest.raises(errors.Unauthorized):
        driver.authenticate(AuthRequest(Scope(blue), token=member.token))


def test_without_a_scope_the_default_project_is_taken_if_there_is_one(driver, member):
    assert login(driver, "first", "ann", Scope(default=True)).project is None
    driver.update(Kind.USER, member.user, {"default_project_id": member.project})
    assert login(driver, "first", "ann", Scope(default=True)).project.id == member.project
    assert login(driver, "first", "ann", Scope()).project is None
    driver.assign(member.assignment, present=False)
    assert login(driver, "first", "ann", Scope(default=True)).project is None


def test_a_token_for_a_token_lives_no_longer(driver, member, monkeypatch):
    first = driver.describe_token(member.token)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    second = driver.authenticate(AuthRequest(Scope(), token=member.token))
    assert second.expires_at == first.expires_at and second.issued_at > first.issued_at
    assert second.methods == ("password", "token")
    assert second.audit_ids[1] == first.audit_ids[0] and second.audit_ids[0] != first.audit_ids[0]


def test_names_are_unique_also_for_two_at_once(driver):
    def create(_):
        try:
            return driver.create(Kind.PROJECT, {"name": "one"})
        except errors.Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = [found for found in pool.map(create, range(8)) if found]
    assert len(made) == 1 == len(driver.list(EntityQuery(Kind.PROJECT)))


def test_what_the_fabric_relies_on_cannot_be_removed(driver, password):
    (admin,) = driver.list(EntityQuery(Kind.ROLE, name="admin"))
    for use in (
        lambda: driver.delete(Kind.ROLE, admin.id),
        lambda: driver.update(Kind.ROLE, admin.id, {"name": "boss"}),
        lambda: driver.delete(Kind.DOMAIN, "default"),
        lambda: driver.create(Kind.DOMAIN, {"name": "second"}),
    ):
        with pytest.raises(errors.Forbidden):
            use()
    assert driver.validate(ValidateRequest(login(driver, password).secret)).is_admin


def test_what_is_unknown_is_not_found(driver, member):
    for kind in Kind:
        with pytest.raises(errors.NotFound):
            driver.show(kind, "none")
    for assignment in (
        Assignment("none", member.project, member.role),
        Assignment(member.user, "none", member.role),
        Assignment(member.user, member.project, "none"),
    ):
        with pytest.raises(errors.NotFound):
            driver.assign(assignment)
    driver.assign(member.assignment)
    driver.assign(member.assignment, present=False)
    with pytest.raises(errors.NotFound):
        driver.assign(member.assignment, present=False)


def test_effective_assignments_hold_what_is_implied(driver, member):
    names = {role.id: role.name for role in driver.list(EntityQuery(Kind.ROLE))}
    plain = driver.assignments(AssignmentQuery(user_id=member.user))
    effective = driver.assignments(AssignmentQuery(user_id=member.user, effective=True))
    assert [names[found.role_id] for found in plain] == ["member"]
    assert {names[found.role_id] for found in effective} == {"member", "reader"}


def _start(directory, results):
    driver = make(directory)
    results.put((driver.bootstrap().password, driver._sealer._keys))
    driver.close()


def test_many_first_starts_at_once_agree(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    starts = [context.Process(target=_start, args=(tmp_path, results)) for _ in range(4)]
    for each in starts:
        each.start()
    found = [results.get(timeout=60) for _ in starts]
    for each in starts:
        each.join(60)
    told = [secret for secret, _ in found if secret]
    assert len(told) == 1 and len({tuple(keys) for _, keys in found}) == 1
    driver = make(tmp_path)
    assert login(driver, told[0])
    driver.close()


def test_a_file_of_a_newer_release_is_not_touched(driver, tmp_path):
    import sqlite3

    driver.close()
    (path,) = tmp_path.rglob("identity.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(errors.Unavailable, match="newer release"):
        make(tmp_path)
