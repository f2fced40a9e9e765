"""The reports from which the support matrix is made are of the checks that there are now."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

import tenter.testing
from tenter.testing import Conformance

REPORTS = sorted((Path(__file__).parents[3] / "docs" / "conformance").glob("*.json"))


def _plugins() -> list[Any]:
    return [
        pytest.param(found, id=f"{path.stem}-{name}")
        for path in REPORTS
        for name, found in json.loads(path.read_text())["plugins"].items()
    ]


def _rules(kind: str) -> dict[str, str]:
    """Return the checks of all kits of one kind and their rules, as reports say them."""
    rules = {}
    for name in tenter.testing.__all__:
        kit = getattr(tenter.testing, name)
        if not inspect.isclass(kit) or not issubclass(kit, Conformance) or getattr(kit, "kind", "") != kind:
            continue
        for check, function in inspect.getmembers(kit, inspect.isfunction):
            if check.startswith("test_"):
                rule = " ".join(inspect.cleandoc(function.__doc__ or "").split())
                rules[f"{kind}.{check.removeprefix('test_')}"] = rule
    return rules


@pytest.mark.parametrize("found", _plugins())
def test_a_report_is_of_the_checks_that_there_are(found: dict[str, Any]) -> None:
    again = "the checks have changed: run tools/conformance and commit docs/conformance"
    assert {name: check["rule"] for name, check in found["checks"].items()} == _rules(found["kind"]), again


@pytest.mark.parametrize("found", _plugins())
def test_shipped_plugins_hold_all_checks(found: dict[str, Any]) -> None:
    assert [name for name, check in found["checks"].items() if check["outcome"] == "failed"] == []


def test_every_rule_is_a_sentence() -> None:
    rules = _rules("virt")
    assert rules
    assert [name for name, rule in rules.items() if not rule.endswith(".")] == []
