"""The kit of virt drivers bites: every lying driver fails the check that it names, and the honest one passes it."""

from __future__ import annotations

import inspect

import pytest

from tenter_plugins.virt.fake import FakeDriver
from tests.helpers.biting import Case, Verdict, judge
from tests.helpers.fake_guests import FakeGuests
from tests.unit.testing import virt_liars, virt_liars_faults, virt_liars_powers, virt_liars_processes


def _liars() -> list[type]:
    found = []
    for module in (virt_liars, virt_liars_faults, virt_liars_powers, virt_liars_processes):
        classes = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == module.__name__]
        found += [cls for cls in classes if getattr(cls, "caught_by", "")]
    return found


def _honest(liar: type) -> type:
    base = next(each for each in liar.__mro__[1:] if not getattr(each, "caught_by", ""))
    return FakeDriver if base is virt_liars.Liar else base


LIARS = _liars()


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[type, Verdict]:
    """What was found of every liar."""
    cases = [Case(FakeGuests, _honest(liar), liar, liar.caught_by) for liar in LIARS]  # type: ignore[attr-defined]
    return dict(zip(LIARS, judge(tmp_path_factory.mktemp("biting"), cases), strict=True))


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: f"{liar.__name__}-{liar.caught_by}")
def test_every_liar_is_caught(verdicts: dict[type, Verdict], liar: type) -> None:
    verdict = verdicts[liar]
    assert (verdict.honest, verdict.liar) == ("passed", "failed"), verdict
    assert liar.words in verdict.reason  # type: ignore[attr-defined]


def test_every_check_catches_a_liar() -> None:
    checks = {name.removeprefix("test_") for name in dir(FakeGuests) if name.startswith("test_")}
    assert checks - {liar.caught_by for liar in LIARS} == set()  # type: ignore[attr-defined]
