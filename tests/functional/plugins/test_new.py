"""A plugin from an empty folder: ``tenter plugin new``, ``pip install -e``, its tests, ``tenter plugin list``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tenter


def pip_install(target: Path, *what: object) -> None:
    """Install into a directory with pip, which fetches nothing."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    pip += ["--no-build-isolation", "--target", target, *what]
    done = subprocess.run([str(word) for word in pip], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def editable(distribution: Path, target: Path) -> dict[str, str]:
    """Install a distribution editable, as an author does, into a directory; return the variables that find it."""
    pip_install(target, "-e", distribution)
    # --target is no site directory, so Python does not read the .pth file that an editable install is
    parts = [str(target), str(distribution), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, parts))}


class Author:
    """An empty folder, and who works in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = dict(os.environ)

    def run(self, *command: str, cwd: str = ".") -> subprocess.CompletedProcess[str]:
        """Run a Python module in the folder."""
        argv = [sys.executable, "-m", *command]
        return subprocess.run(
            argv, cwd=self.folder / cwd, env=self.env, capture_output=True, text=True, timeout=240, check=False
        )

    def tenter(self, *arguments: str) -> str:
        """Run ``tenter`` and return what it says; it must not fail."""
        done = self.run("tenter.cli.main", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def new(self, kind: str, name: str) -> None:
        """Write a plugin and make it known."""
        self.tenter("plugin", "new", kind, name)
        self.env = editable(self.folder / f"tenter-{name}", self.folder / f"site-{name}")


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path)


def test_a_driver_is_told_what_it_lacks(author: Author) -> None:
    author.new("image", "acme")
    tests = author.run("pytest", "-q", "-p", "no:cacheprovider", cwd="tenter-acme")
    assert tests.returncode == 1, tests.stdout + tests.stderr
    assert "conformance of image AcmeImages (image 1.0)" in tests.stdout
    assert "4 of 25 checks hold, 15 skipped" in tests.stdout
    assert "missing: image.show_by_project: An image is shown to its owner" in tests.stdout
    assert "\nshow() is not written yet: 1 check waits for it\n" in tests.stdout
    assert "override put_image(): without the power image_api" in tests.stdout
    assert "missing: image.contract_is_declared" not in tests.stdout
    listed = author.tenter("plugin", "list", "--kind", "image", "--state-dir", "state")
    (line,) = [line for line in listed.splitlines() if " acme " in line]
    assert line.split()[:5] == ["image", "acme", "tenter-acme", "0.1.0", "image"]
    shown = author.tenter("plugin", "show", "image", "acme", "--state-dir", "state")
    assert "tenter_acme.driver:AcmeImages" in shown and "image 1.0" in shown


@pytest.mark.parametrize("kind", ["filter", "weigher"])
def test_an_extension_holds_its_contract_at_once_and_its_drop_in_enables_it(author: Author, kind: str) -> None:
    author.new(kind, "acme")
    tests = author.run("pytest", "-q", "-p", "no:cacheprovider", cwd="tenter-acme")
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "9 of 11 checks hold, 2 skipped" in tests.stdout
    listed = author.tenter("plugin", "list", "--state-dir", "state", "--config-dir", "tenter-acme")
    (line,) = [line for line in listed.splitlines() if " acme " in line]
    assert "enabled" in line


def test_a_virt_driver_is_known_told_what_it_lacks_and_liked_by_mypy(author: Author) -> None:
    author.new("virt", "acme")
    shown = author.tenter("plugin", "show", "virt", "acme", "--state-dir", "state")
    assert "AcmeDriver" in shown and "broken" not in shown
    tests = author.run("pytest", "-p", "no:cacheprovider", cwd="tenter-acme")
    assert tests.returncode == 1, tests.stdout + tests.stderr
    assert "conformance of virt AcmeDriver (virt 1.0)" in tests.stdout
    assert tests.stdout.count("init_host() is not written yet") == 1, tests.stdout
    assert len(tests.stdout.splitlines()) < 24, "the first run fits on a screen"
    author.env["MYPYPATH"] = str(Path(tenter.__file__).parents[1])
    pytest.importorskip("mypy")
    strictly = ("--disallow-untyped-defs", "--ignore-missing-imports")
    checked = author.run("mypy", *strictly, "tenter_acme", cwd="tenter-acme")
    assert checked.returncode == 0, checked.stdout + checked.stderr
