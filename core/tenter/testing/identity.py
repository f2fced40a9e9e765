"""The conformance kit of identity drivers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from tenter import errors
from tenter.contracts.identity import Identity, IdentityDriver, SupportsIdentityApi, ValidateRequest
from tenter.testing.general import DriverConformance, kept_quiet
from tenter.testing.identity_api import IdentityApiChecks, administrator

IMPLIED = ("admin", "manager", "member", "reader")


class IdentityConformance(DriverConformance, IdentityApiChecks):
    """What must hold of an identity driver::

        class TestAcme(IdentityConformance):
            plugin = AcmeIdentity
            short_lived = {"token_lifetime": 2}

    ``short_lived``: options with which tokens are valid for at most two seconds; without them nothing is said about
    expiry. A driver that has the power ``identity_api`` gets its token through it; any other needs ``get_token``.
    """

    kind: ClassVar[str] = "identity"
    base = IdentityDriver
    short_lived: ClassVar[Mapping[str, object]] = {}

    def get_token(self, driver: Any) -> str:
        """Return a valid token, for a user who has a role on a project."""
        if not isinstance(driver, SupportsIdentityApi):
            pytest.fail("override get_token(): without the power identity_api the kit cannot get a valid token")
        return administrator(driver).secret

    def test_valid_token(self, ready: IdentityDriver) -> None:
        """A valid token says who holds it: user, project, and roles with what they imply; asked again, it says the
        same."""
        token = self.get_token(ready)
        identity = ready.validate(ValidateRequest(token))
        assert isinstance(identity, Identity) and identity.user_id and identity.user_name and identity.roles
        assert identity.expires_at > time.time(), "expires_at is in the past"
        held = [role for role in IMPLIED if role in identity.roles]
        assert not held or held == list(IMPLIED[IMPLIED.index(held[0]) :]), f"{held} lacks roles that it implies"
        assert ready.validate(ValidateRequest(token)) == identity

    def test_forged_token(self, ready: IdentityDriver) -> None:
        """A token in which any character was changed, left out or added raises Unauthorized."""
        token = self.get_token(ready)
        for forged in _forgeries(token):
            _assert_refused(ready, forged)
        ready.validate(ValidateRequest(token))

    def test_malformed_token(self, ready: IdentityDriver) -> None:
        """Whatever is no token at all raises Unauthorized: nothing, blanks, odd characters, a mebibyte."""
        for token in ("", " ", "None", "\x00", "é\u2028\U0001f600", "../../etc/passwd", "'; --", "a" * (1 << 20)):
            _assert_refused(ready, token)

    def test_expired_token(self, make: Callable[..., Any]) -> None:
        """A token raises Unauthorized as soon as it has expired, also one that was validated before."""
        if not self.short_lived:
            pytest.skip("set short_lived to options with which tokens are valid for at most two seconds")
        driver = make(**self.short_lived)
        token = self.get_token(driver)
        end = driver.validate(ValidateRequest(token)).expires_at
        assert end - time.time() <= 2, "with short_lived a token must be valid for at most two seconds"
        time.sleep(max(end - time.time(), 0) + 0.05)
        _assert_refused(driver, token)

    def test_token_after_a_restart(self, make: Callable[..., Any]) -> None:
        """After a restart a token is as good as before."""
        before = make()
        token = self.get_token(before)
        identity = before.validate(ValidateRequest(token))
        before.close()
        assert make().validate(ValidateRequest(token)) == identity

    def test_validate_in_threads(self, ready: IdentityDriver) -> None:
        """Several threads may validate at once; each gets the answer to its own token."""
        token = self.get_token(ready)
        identity = ready.validate(ValidateRequest(token))

        def ask(number: int) -> bool:
            if number % 2:
                return ready.validate(ValidateRequest(token)) == identity
            _assert_refused(ready, f"{token}{number}")
            return True

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(ask, range(60)))

    def test_tokens_are_not_logged(self, ready: IdentityDriver, caplog: pytest.LogCaptureFixture) -> None:
        """No token stands in the log or in the message of an error."""
        caplog.set_level("DEBUG")
        token = self.get_token(ready)
        ready.validate(ValidateRequest(token))
        with pytest.raises(errors.Unauthorized) as refused:
            ready.validate(ValidateRequest(token + "x"))
        assert token not in str(refused.value) + repr(refused.value.details)
        kept_quiet(caplog, token)


def _assert_refused(driver: IdentityDriver, token: str) -> None:
    try:
        identity = driver.validate(ValidateRequest(token))
    except errors.Unauthorized:
        return
    pytest.fail(f"a token that is not valid ({token[:80]!r}) lets in {identity.user_name}")


def _forgeries(token: str) -> Iterator[str]:
    """Yield tokens that differ in one place: the first and last characters and some between."""
    places = {*range(4), *range(len(token) - 4, len(token)), *range(0, len(token), max(len(token) // 24, 1))}
    for place in sorted(place for place in places if 0 <= place < len(token)):
        for other in {"A", "B", "="} - {token[place]}:
            yield token[:place] + other + token[place + 1 :]
        yield token[:place] + token[place + 1 :]
    yield from (token[: len(token) // 2], token + "A", token + "=", token + "\n", " " + token, token * 2)
    if token.swapcase() != token:
        yield token.swapcase()
