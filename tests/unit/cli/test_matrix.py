"""tenter plugin matrix: reports in, tables out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenter.cli import main, matrix
from tenter.testing import plugin


def report(path: Path, name: str, **outcomes: str) -> str:
    """Write a report of a driver whose checks had these outcomes; ``pause_…`` are of that power."""
    checks = {
        f"virt.{check}": {
            "capability": "pause" if check.startswith("pause") else "",
            "outcome": outcome,
            "reason": "" if outcome == "passed" else f"why {check}",
            "rule": f"Rule of *{check}*, and ``literal_``.",
        }
        for check, outcome in outcomes.items()
    }
    found = {"kind": "virt", "plugin": name, "contract": "virt 1.0", "distribution": "x 1", "date": "2026-01-31"}
    path.write_text(json.dumps({"format": 1, "plugins": {f"virt {name}": {**found, "checks": checks}}}))
    return str(path)


def printed(capsys: Any, *words: str) -> str:
    assert main.main(["plugin", "matrix", *words]) == 0
    return str(capsys.readouterr().out)


def as_json(capsys: Any, *reports: str) -> dict[str, Any]:
    return dict(json.loads(printed(capsys, "--format", "json", "--report", *reports))["kinds"]["virt"])


def test_reports_are_taken_together(tmp_path: Path, capsys: Any) -> None:
    good = report(tmp_path / "a", "good", spawn="passed", boots="skipped", pause_it="passed", pause_off="skipped")
    bad = report(tmp_path / "b", "bad", spawn="failed", boots="passed", pause_it="failed", pause_off="passed")
    poor = report(tmp_path / "c", "poor", spawn="passed", boots="passed", pause_it="skipped", pause_off="skipped")
    virt = as_json(capsys, good, bad, poor)
    assert [driver["name"] for driver in virt["drivers"]] == ["bad", "good", "poor"]
    assert list(virt["capabilities"]) == ["core", "pause"]
    core, pause = ({name: cell["support"] for name, cell in row.items()} for row in virt["capabilities"].values())
    assert core == {"bad": "1 of 2, 1 failed", "good": "1 of 2, 1 not seen", "poor": "2 of 2"}
    assert pause == {"bad": "no", "good": "yes", "poor": "-"}
    cell = virt["capabilities"]["pause"]["bad"]
    assert cell["reasons"] == ["virt.pause_it: why pause_it"]
    assert cell["checks"]["virt.pause_it"] == {"outcome": "failed", "reason": "why pause_it"}


def test_a_later_run_counts_and_what_was_not_run_is_no_support(tmp_path: Path, capsys: Any) -> None:
    one = report(tmp_path / "a", "one", spawn="failed", pause_it="passed")
    again = report(tmp_path / "b", "one", spawn="passed")
    other = report(tmp_path / "c", "other", spawn="passed", pause_it="passed", pause_new="passed", boots="failed")
    cells = as_json(capsys, one, again, other)["capabilities"]
    assert cells["core"]["one"]["support"] == "1 of 2, 1 not run"
    assert cells["core"]["other"]["support"] == "1 of 2, 1 failed"
    assert cells["pause"]["one"]["support"] == "no"
    assert cells["pause"]["one"]["reasons"] == ["virt.pause_new: not run"]


def test_cells_are_linked_to_the_checks(tmp_path: Path, capsys: Any) -> None:
    text = printed(capsys, "--report", report(tmp_path / "a", "one", spawn="passed", pause_it="skipped"))
    assert "- `1 of 1 <conformance-virt-core_>`__" in text and "- `- <conformance-virt-pause_>`__" in text
    assert ".. _conformance-virt-core:\n" in text and ".. _conformance-virt-pause:\n" in text
    assert "Rule of \\*pause\\_it\\*, and ``literal_``." in text
    assert "- skipped: why pause\\_it" in text


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 2, "plugins": {}}', '{"format": 1, "plugins": {"x": {}}}', None]
)
def test_what_is_no_report_is_one_line(tmp_path: Path, capsys: Any, text: str | None) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    assert main.main(["plugin", "matrix", "--report", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tenter: ") and str(path) in line


RUBBISH = [
    {"kind": 5}, {"kind": "a\nb"}, {"plugin": None}, {"plugin": "a``b"}, {"contract": 5}, {"date": []},
    {"checks": {"C.a": {"rule": None}}}, {"checks": {"C.a": {"reason": 5}}}, {"checks": {"C.a": {"outcome": "banana"}}},
    {"checks": {"C.a": {"outcome": ["passed"]}}}, {"checks": {"C.a": {"capability": 5}}},
    {"checks": {"C.a": {"capability": "x\n\n.. raw:: html"}}}, {"checks": {"C`a": {}}},
]  # fmt: skip
ABOUT = {"kind": "virt", "plugin": "a", "contract": "virt 1.0", "distribution": "a 1", "date": "2026-01-31"}
CHECK = {"capability": None, "rule": "r", "outcome": "passed", "reason": ""}


def of(**changes: Any) -> str:
    checks = {name: {**CHECK, **each} for name, each in changes.pop("checks", {"C.a": {}}).items()}
    return json.dumps({"format": 1, "plugins": {"x": {**ABOUT, "checks": checks, **changes}}})


@pytest.mark.parametrize("text", [of(**each) for each in RUBBISH] + ["[" * 200_000], ids=range(len(RUBBISH) + 1))
def test_rubbish_in_a_report_is_one_line(tmp_path: Path, capsys: Any, text: str) -> None:
    test_what_is_no_report_is_one_line(tmp_path, capsys, text)


def test_no_report_writes_directives(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "x"
    bad = "a\n\n.. raw:: html\n\n   <script>"
    path.write_text(of(distribution=bad, checks={"C.a": {"rule": bad}, "C.b": {"outcome": "failed", "reason": bad}}))
    for line in printed(capsys, "--report", str(path)).splitlines():
        assert not line.strip().startswith(".. raw")


def test_what_is_written_is_what_is_read() -> None:
    assert matrix.FORMAT == plugin.FORMAT
