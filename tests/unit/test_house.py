"""The house: who may import whom, how large things are, and that the wheel holds all of it."""

from __future__ import annotations

import ast
import configparser
import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for root in ("core", "plugins", "api") for path in sorted((ROOT / root).rglob("*.py"))]
SOURCES += sorted(ROOT.glob("contrib_drivers/*/tenter_*/**/*.py"))
PYTHONPATH = "core:plugins:api:contrib_drivers/lxc"
LINES, FUNCTION = 500, 60


def test_nobody_imports_what_he_may_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": PYTHONPATH},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("library", "rooms"),
    [("stevedore", {"core/tenter/plugins/discovery.py"}), ("pluggy", {"core/tenter/plugins"})],
)
def test_few_know_how_plugins_are_found(library: str, rooms: set[str]) -> None:
    who = {str(path.relative_to(ROOT)) for path in SOURCES if library in _imported(path)}
    assert {path for path in who if not any(path.startswith(room) for room in rooms)} == set()


def test_one_module_reads_entry_points() -> None:
    who = {str(path.relative_to(ROOT)) for path in SOURCES if "entry_points" in _called(path)}
    assert who == set()
    who = {str(path.relative_to(ROOT)) for path in SOURCES if "distributions" in _called(path)}
    assert who == {"core/tenter/plugins/discovery.py"}


def _imported(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _called(path: Path) -> set[str]:
    """Return the names of the functions and methods that a module calls."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}


def test_files_are_short() -> None:
    long = {str(path.relative_to(ROOT)): n for path in SOURCES if (n := len(path.read_text().splitlines())) > LINES}
    assert long == {}


def test_functions_are_short() -> None:
    long = {}
    for path in SOURCES:
        if path.parent.name == "versions":  # a migration is one long table, written once
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}


def test_no_package_is_without_an_init() -> None:
    assert {str(path.parent) for path in SOURCES if not (path.parent / "__init__.py").exists()} <= {
        str(path) for root in ("core", "plugins", "api") for path in (ROOT / root).rglob("migrations/**")
    }


def _entry_points() -> list[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    groups = parser["options.entry_points"]
    return [line.partition("=")[2].strip() for name in groups for line in groups[name].splitlines() if line.strip()]


@pytest.mark.parametrize("entry_point", _entry_points())
def test_an_entry_point_can_be_imported(entry_point: str) -> None:
    module, _, name = entry_point.partition(" [")[0].partition(":")
    if not name:
        importlib.import_module(module)
        return
    if ".libvirt" in module:
        pytest.importorskip("libvirt")
        pytest.importorskip("lxml")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What is in a wheel built from a copy of the sources, without network or isolation."""
    pytest.importorskip("wheel")
    copy = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "core", "plugins", "api", "setup.*", "pyproject.toml",
         "README.rst", "LICENSE", "MANIFEST.in"], cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    code = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(copy)], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    built = next(copy.glob("*.whl"))
    return set(zipfile.ZipFile(built).namelist())


def test_the_wheel_holds_everything(wheel: set[str]) -> None:
    here = {
        str(path.relative_to(ROOT / root))
        for root in ("core", "plugins", "api")
        for path in (ROOT / root).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
        and not any(part.endswith(".egg-info") for part in path.parts)
    }  # fmt: skip
    assert here - wheel == set()


def test_the_wheel_has_the_entry_points(wheel: set[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel)
