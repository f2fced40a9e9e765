"""Negotiating microversions, and declaring what holds at which."""

from __future__ import annotations

import pytest

from tenter import errors
from tenter_api.compute.resource import Chosen
from tenter_api.microversion import MAX_VERSION, ApiVersion, VersionNotAcceptable, negotiate


@pytest.mark.parametrize(
    ("header", "legacy", "expected"),
    [
        (None, None, (2, 1)),
        ("", "", (2, 1)),
        ("compute 2.7", None, (2, 7)),
        ("COMPUTE 2.7", None, (2, 7)),
        ("compute  latest", None, MAX_VERSION),
        ("volume 3.0 , compute 2.8", None, (2, 8)),
        ("compute 2.8 extra", "2.9", (2, 9)),
        ("2.8", "2.9", (2, 9)),
        (None, " 2.9 ", (2, 9)),
    ],
)
def test_negotiate(header: str | None, legacy: str | None, expected: tuple[int, int]) -> None:
    assert negotiate(header, legacy) == expected


@pytest.mark.parametrize("asked", ["2.0", "1.99", "3.0", "2.105", "2.999999999"])
def test_out_of_range(asked: str) -> None:
    with pytest.raises(VersionNotAcceptable) as caught:
        negotiate(f"compute {asked}", None)
    assert caught.value.status_code == 406


@pytest.mark.parametrize("asked", ["2", "2.", ".1", "2.1.1", "02.1", "2.01", "-2.1", "a.b", "2.9999999999", "LATEST"])
def test_malformed(asked: str) -> None:
    with pytest.raises(errors.Invalid):
        negotiate(f"compute {asked}", None)


def test_versions_are_shown_and_compared() -> None:
    assert str(ApiVersion(2, 10)) == "2.10"
    assert ApiVersion(2, 9) < ApiVersion(2, 10)


def test_chosen_is_the_newest_that_is_not_newer() -> None:
    first, second = {"type": "object"}, {"type": "array"}
    chosen = Chosen({55: second, 2: first})
    assert [chosen.at(minor) for minor in (1, 2, 54, 55, 104)] == [None, first, first, second, second]
