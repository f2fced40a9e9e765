"""Proof that conformance checks bite: each is run for an honest plugin and for a lying one, in a pytest of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """``liar`` must fail the check ``check`` (without ``test_``) of ``kit``, which ``honest`` passes."""

    kit: type
    honest: type
    liar: type
    check: str


@dataclass(frozen=True)
class Verdict:
    """What the check found of the honest plugin and of the liar (passed, skipped or failed), and why of the liar."""

    honest: str
    liar: str
    reason: str


def judge(directory: Path, cases: Sequence[Case], timeout: float = 240.0) -> list[Verdict]:
    """Run all cases, in one process with a pytest of its own in ``directory``; return a verdict for each."""
    path, report = directory / "test_biting.py", directory / "report.json"
    sides = sorted({(case.kit, plugin) for case in cases for plugin in (case.honest, case.liar)}, key=_name)
    path.write_text("".join(map(_source, sides)), encoding="utf-8")
    nodes = {f"{path}::{_name(side)}::test_{case.check}" for case in cases for side in _both(case)}
    options = ["-q", "--tb=native", "-p", "tenter.testing.plugin", "--conformance-report", report]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *sorted(nodes)],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert report.exists(), done.stdout + done.stderr
    found = json.loads(report.read_text())["plugins"]
    return [_verdict(found, case) for case in cases]


def _both(case: Case) -> tuple[tuple[type, type], tuple[type, type]]:
    return (case.kit, case.honest), (case.kit, case.liar)


def _name(side: tuple[type, type]) -> str:
    return f"Test{side[0].__name__}{side[1].__name__}"


def _source(side: tuple[type, type]) -> str:
    kit, plugin = side
    return (
        f"from {kit.__module__} import {kit.__name__}\n"
        f"from {plugin.__module__} import {plugin.__name__}\n"
        f"class {_name(side)}({kit.__name__}):\n"
        f"    __test__, plugin, name = True, {plugin.__name__}, {_name(side)!r}\n"
    )


def _verdict(found: dict[str, Any], case: Case) -> Verdict:
    kind = case.kit.kind  # type: ignore[attr-defined]
    honest, liar = (found[f"{kind} {_name(side)}"]["checks"][f"{kind}.{case.check}"] for side in _both(case))
    return Verdict(honest["outcome"], liar["outcome"], liar["reason"])
