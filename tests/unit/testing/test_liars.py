"""The kits bite: for each plugin that lies a named check fails, which holds for the honest one of its kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.testing.liars.cases import KITS, LIARS

CASES = Path(__file__).parent / "liars" / "cases.py"
CHECKS = sorted({(kind, check) for kind, _, check in LIARS})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of just the checks in question found, by plugin."""
    report = tmp_path_factory.mktemp("report") / "conformance.json"
    chosen = {(liar, check) for _, liar, check in LIARS} | {(KITS[kind][1], check) for kind, check in CHECKS}
    nodes = sorted(f"{CASES}::Test{plugin.__name__}::test_{check}" for plugin, check in chosen)
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider"]
    command += ["--conformance-report", str(report), *nodes]
    run = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert run.returncode == 1, run.stdout + run.stderr
    plugins: dict[str, Any] = json.loads(report.read_text())["plugins"]
    return plugins


@pytest.mark.parametrize(("kind", "liar", "check"), LIARS, ids=lambda value: getattr(value, "__name__", value))
def test_a_named_check_fails(found: dict[str, Any], kind: str, liar: type, check: str) -> None:
    result = found[f"{kind} {liar.__name__}"]["checks"][f"{kind}.{check}"]
    assert result["outcome"] == "failed" and result["rule"]


@pytest.mark.parametrize(("kind", "check"), CHECKS)
def test_the_same_check_holds_for_an_honest_one(found: dict[str, Any], kind: str, check: str) -> None:
    result = found[f"{kind} {KITS[kind][1].__name__}"]["checks"][f"{kind}.{check}"]
    assert result["outcome"] == "passed", result["reason"]
