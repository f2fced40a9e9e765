"""The checks of the power ``identity_api``, part of the conformance kit of identity drivers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenter import errors
from tenter.contracts.identity import (
    Assignment,
    AssignmentQuery,
    AuthRequest,
    EntityQuery,
    Kind,
    Scope,
    SupportsIdentityApi,
    Token,
    ValidateRequest,
)
from tenter.testing.base import needs
from tenter.testing.general import contents, kept_quiet

PASSWORD, NEW = "correct horse battery staple", "Tr0ub4dor&3 é"
UNKNOWN = "0" * 32


def administrator(driver: Any) -> Token:
    """Return a token of the first administrator, whose password is set anew."""
    boot = driver.bootstrap(reset_password=True)
    return login(driver, boot.password, boot.user, Scope(project_name=boot.project))


def login(driver: Any, password: str, name: str = "ann", scope: Scope | None = None) -> Token:
    """Return a token for a name and a password."""
    request = AuthRequest(scope or Scope(default=True), user_name=name, user_domain="default", password=password)
    token: Token = driver.authenticate(request)
    return token


def _refused(driver: Any, token: str) -> bool:
    try:
        driver.validate(ValidateRequest(token))
    except errors.Unauthorized:
        return True
    return False


class Ann:
    """A user who is a member of a project, with a token for it."""

    def __init__(self, driver: Any) -> None:
        driver.bootstrap()
        self.project = driver.create(Kind.PROJECT, {"name": "red"}).id
        self.user = driver.create(Kind.USER, {"name": "ann", "password": PASSWORD}).id
        (self.role,) = (role.id for role in driver.list(EntityQuery(Kind.ROLE, name="member")))
        self.assignment = Assignment(self.user, self.project, self.role)
        driver.assign(self.assignment)
        self.scope = Scope(project_id=self.project)
        self.token = login(driver, PASSWORD, scope=self.scope).secret


class IdentityApiChecks:
    """What must hold of an identity driver that is the identity service of an embedded fabric."""

    @pytest.fixture
    def ann(self, request: pytest.FixtureRequest) -> Ann:
        """A user."""
        return Ann(request.getfixturevalue("ready"))

    @needs(SupportsIdentityApi)
    def test_bootstrap(self, ready: Any) -> None:
        """The first administrator is made once, and the password told once: it lets in, with the role admin; a new
        one is told when it is asked for, and ends what the old one let in."""
        first, second = ready.bootstrap(), ready.bootstrap()
        assert first.password and second.password is None
        scope = Scope(project_name=first.project)
        token = login(ready, first.password, first.user, scope).secret
        assert ready.validate(ValidateRequest(token)).is_admin
        reset = ready.bootstrap(reset_password=True)
        assert reset.password and reset.password != first.password
        assert _refused(ready, token), "a token of the old password is still good"
        with pytest.raises(errors.Unauthorized):
            login(ready, first.password, first.user, scope)
        assert login(ready, reset.password, first.user, scope)

    @needs(SupportsIdentityApi)
    def test_wrong_credentials(self, ready: Any, ann: Ann) -> None:
        """Whatever of the credentials is wrong, Unauthorized says the same."""
        foreign = ready.create(Kind.PROJECT, {"name": "blue"}).id
        wrong = (
            AuthRequest(ann.scope, user_name="ann", user_domain="default", password="wrong"),
            AuthRequest(ann.scope, user_name="nobody", user_domain="default", password=PASSWORD),
            AuthRequest(ann.scope, user_name="ann", user_domain="elsewhere", password=PASSWORD),
            AuthRequest(ann.scope, user_id=UNKNOWN, password=PASSWORD),
            AuthRequest(Scope(project_id=foreign), user_id=ann.user, password=PASSWORD),
            AuthRequest(Scope(project_id=UNKNOWN), user_id=ann.user, password=PASSWORD),
        )
        said = set()
        for request in wrong:
            with pytest.raises(errors.Unauthorized) as refused:
                ready.authenticate(request)
            said.add(str(refused.value))
        assert len(said) == 1, f"the messages tell what was wrong: {said}"

    @needs(SupportsIdentityApi)
    def test_scopes(self, ready: Any, ann: Ann) -> None:
        """A token is for the project that was asked for, with the user's roles on it; for none if none was."""
        scoped = ready.validate(ValidateRequest(ann.token))
        assert (scoped.project_id, scoped.roles) == (ann.project, {"member", "reader"})
        unscoped = ready.validate(ValidateRequest(login(ready, PASSWORD, scope=Scope()).secret))
        assert (unscoped.project_id, unscoped.roles) == (None, frozenset())

    @needs(SupportsIdentityApi)
    def test_token_for_a_token(self, ready: Any, ann: Ann) -> None:
        """A token that was got for another is of the same user and lives no longer."""
        first = ready.describe_token(ann.token)
        second = ready.authenticate(AuthRequest(ann.scope, token=ann.token))
        assert second.secret != first.secret and second.user.id == ann.user
        assert second.expires_at <= first.expires_at

    @needs(SupportsIdentityApi)
    def test_describe_token(self, ready: Any, ann: Ann) -> None:
        """A token is described as what it is; one that is not valid raises Unauthorized."""
        token = ready.describe_token(ann.token)
        identity = ready.validate(ValidateRequest(ann.token))
        assert token.project is not None
        assert (token.user.id, token.project.id, token.expires_at) == (ann.user, ann.project, identity.expires_at)
        assert {role.name for role in token.roles} == identity.roles
        with pytest.raises(errors.Unauthorized):
            ready.describe_token(ann.token + "x")

    @needs(SupportsIdentityApi)
    def test_change_password_ends_tokens(self, ready: Any, ann: Ann) -> None:
        """A changed password lets in, the old one no more, and tokens of before are no longer valid; who does not
        know the old one changes nothing."""
        with pytest.raises(errors.Unauthorized):
            ready.change_password(ann.user, "wrong", NEW)
        assert not _refused(ready, ann.token)
        ready.change_password(ann.user, PASSWORD, NEW)
        assert _refused(ready, ann.token), "a token of before the change is still valid"
        with pytest.raises(errors.Unauthorized):
            login(ready, PASSWORD)
        assert not _refused(ready, login(ready, NEW).secret)

    @needs(SupportsIdentityApi)
    def test_disabled_user(self, ready: Any, ann: Ann) -> None:
        """A user that is disabled, or whose password was set anew, has no valid token; a disabled one gets none."""
        ready.update(Kind.USER, ann.user, {"enabled": False})
        assert _refused(ready, ann.token)
        with pytest.raises(errors.Unauthorized):
            login(ready, PASSWORD)
        ready.update(Kind.USER, ann.user, {"enabled": True})
        token = login(ready, PASSWORD).secret
        ready.update(Kind.USER, ann.user, {"password": NEW})
        assert _refused(ready, token)

    @needs(SupportsIdentityApi)
    def test_revoke(self, ready: Any, ann: Ann, make: Callable[..., Any]) -> None:
        """A revoked token is not valid, here and after a restart; the user's others are."""
        other = login(ready, PASSWORD, scope=ann.scope).secret
        ready.revoke(ann.token)
        assert _refused(ready, ann.token) and not _refused(ready, other)
        anew = make()
        assert _refused(anew, ann.token) and not _refused(anew, other)
        with pytest.raises(errors.Unauthorized):
            ready.revoke(ann.token)

    @needs(SupportsIdentityApi)
    def test_deleted_user(self, ready: Any, ann: Ann) -> None:
        """A deleted user has no valid token and no assignment, and cannot be shown or deleted again."""
        ready.delete(Kind.USER, ann.user)
        assert _refused(ready, ann.token)
        assert not list(ready.assignments(AssignmentQuery(user_id=ann.user)))
        for use in (ready.show, ready.delete):
            with pytest.raises(errors.NotFound):
                use(Kind.USER, ann.user)

    @needs(SupportsIdentityApi)
    def test_entities(self, ready: Any, ann: Ann) -> None:
        """What is made is shown and listed by name; a name that is taken raises Conflict, an unknown id NotFound."""
        made = ready.create(Kind.PROJECT, {"name": "blue é", "description": "of many words"})
        assert ready.show(Kind.PROJECT, made.id) == made
        assert [each.id for each in ready.list(EntityQuery(Kind.PROJECT, name="blue é"))] == [made.id]
        names = [each.name for each in ready.list(EntityQuery(Kind.PROJECT))]
        assert {"red", "blue é"} <= set(names) and names == sorted(names)
        with pytest.raises(errors.Conflict):
            ready.create(Kind.PROJECT, {"name": "red"})
        with pytest.raises(errors.Conflict):
            ready.update(Kind.PROJECT, made.id, {"name": "red"})
        for kind in (Kind.PROJECT, Kind.USER):
            with pytest.raises(errors.NotFound):
                ready.show(kind, UNKNOWN)
            with pytest.raises(errors.NotFound):
                ready.update(kind, UNKNOWN, {"description": "none"})

    @needs(SupportsIdentityApi)
    def test_assignments(self, ready: Any, ann: Ann) -> None:
        """To assign twice is no error; what is not there cannot be taken away (NotFound); ``effective`` adds what a
        role implies; the projects of a user are those with an assignment."""
        ready.assign(ann.assignment)
        query = AssignmentQuery(user_id=ann.user)
        assert list(ready.assignments(query)) == [ann.assignment]
        assert len(list(ready.assignments(AssignmentQuery(user_id=ann.user, effective=True)))) == 2
        assert [each.id for each in ready.list(EntityQuery(Kind.PROJECT, user_id=ann.user))] == [ann.project]
        ready.assign(ann.assignment, present=False)
        assert not list(ready.assignments(query))
        for assignment in (ann.assignment, Assignment(UNKNOWN, ann.project, ann.role)):
            with pytest.raises(errors.NotFound):
                ready.assign(assignment, present=False)
        with pytest.raises(errors.NotFound):
            ready.assign(Assignment(ann.user, UNKNOWN, ann.role))

    @needs(SupportsIdentityApi)
    def test_secrets_are_not_kept(
        self, ready: Any, ann: Ann, state_dir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No password and no token stands in clear in what the driver stores, logs or shows."""
        caplog.set_level("DEBUG")
        token = login(ready, PASSWORD, scope=ann.scope)
        for held in contents(state_dir).values():
            for secret in (PASSWORD, token.secret):
                assert secret.encode() not in held, "a secret is stored in clear"
        kept_quiet(caplog, PASSWORD, token.secret)
        shown = repr(token) + repr(ready.show(Kind.USER, ann.user))
        assert PASSWORD not in shown and token.secret not in shown
