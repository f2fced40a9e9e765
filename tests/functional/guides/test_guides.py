"""The examples of the author's guides: from an empty folder to a conformance run in which nothing is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tests
from tests.conftest import MakeCloud
from tests.functional.plugins.test_new import Author, pip_install

EXAMPLES = Path(tests.__file__).parents[1] / "docs" / "guides" / "examples"
WRITTEN = [
    ("image", "folder", "10 of 25 checks hold, 15 skipped"),
    ("feature", "compress", "11 of 12 checks hold, 1 skipped"),
    ("notifier", "spool", "8 of 8 checks hold"),
    ("notifier", "webhook", "8 of 8 checks hold"),
    ("hook", "inventory", "4 of 4 checks hold"),
    ("extension", "greeter", "4 of 4 checks hold"),
    ("filter --mask", "roomy", "11 of 11 checks hold"),
]
"""Kind (and form) and name of what a guide has written by ``tenter plugin new`` and then filled in, and how the kit
finds it."""


@pytest.mark.parametrize(("kind", "name", "found"), WRITTEN, ids=lambda value: value.split()[0])
def test_a_skeleton_is_filled_in_as_the_guide_says(tmp_path: Path, kind: str, name: str, found: str) -> None:
    author = Author(tmp_path)
    author.tenter("plugin", "new", *kind.split(), name)
    distribution = tmp_path / f"tenter-{name}"
    for file in (EXAMPLES / name).iterdir():
        shutil.copy(file, distribution / ("tests" if file.name.startswith("test_") else f"tenter_{name}"))
    author.env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(distribution), os.environ.get("PYTHONPATH", "")])}
    run = author.run("pytest", "-q", "-p", "no:cacheprovider", cwd=f"tenter-{name}")
    assert run.returncode == 0, run.stdout + run.stderr
    assert found in run.stdout


def test_the_filter_of_another_distribution_takes_25_lines_and_decides(
    tmp_path: Path, make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shutil.copytree(EXAMPLES / "tenter-quiet", tmp_path / "tenter-quiet")
    files = [file for file in source.rglob("*") if file.is_file()]
    lines = [line for file in files for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) <= 25, f"{len(lines)} lines"
    pip_install(tmp_path / "site", source)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    cloud = make_cloud(scheduler={"extra_filters": "quiet"})
    cloud.active(cloud.create())
    row = cloud.settled(cloud.create(hints={"quiet": "please"}))
    assert row["vm_state"] == "error" and "quiet.missing" in row["fault"]["message"]

    without = make_cloud()
    without.active(without.create(hints={"quiet": "please"}))


def test_the_filter_of_another_distribution_holds_its_contract(tmp_path: Path) -> None:
    source = shutil.copytree(EXAMPLES / "tenter-quiet", tmp_path / "tenter-quiet")
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(pytest_command, cwd=source, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0 and "9 of 11 checks hold, 2 skipped" in run.stdout, run.stdout + run.stderr
