"""The source distribution and the wheel: whole, the same from each other, and clean for an index."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BACKEND = "import sys, setuptools.build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
NOT_SHIPPED = {".gitignore", "MANIFEST.in"}
OTHERS = "contrib_drivers/"
"""Below it is a directory for each distribution that is released by itself."""


def tracked() -> list[str]:
    """Return the names of the files that belong to the sources."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def build(kind: str, source: Path, output: Path) -> Path:
    """Build ``wheel`` or ``sdist`` from sources by their build backend, without the network; return the archive."""
    output.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BACKEND, f"build_{kind}", str(output)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return output / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the archives: ``sdist``, ``wheel`` from the sources, ``second`` a wheel from the sdist."""
    directory = tmp_path_factory.mktemp("dist")
    for name in tracked():
        target = directory / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
        target.chmod((ROOT / name).stat().st_mode)
    sdist = build("sdist", directory / "source", directory / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory / "unpacked", filter="data")
    (unpacked,) = (directory / "unpacked").iterdir()
    return {
        "sdist": sdist,
        "wheel": build("wheel", directory / "source", directory / "dist"),
        "second": build("wheel", unpacked, directory / "second"),
    }


def test_the_sdist_holds_all_sources(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    wanted = {name for name in tracked() if not name.startswith(OTHERS)}
    assert wanted - NOT_SHIPPED - held == set()
    assert not {name for name in held if "__pycache__" in name or name.endswith(".pyc")}


def test_the_wheel_from_the_sdist_is_the_same(built: dict[str, Path]) -> None:
    first, second = (
        {entry.filename: entry.CRC for entry in zipfile.ZipFile(built[name]).infolist()} for name in ("wheel", "second")
    )
    assert first == second and any(name.startswith("tenter_plugins/") for name in first)


def twine(*archives: Path) -> None:
    """Assert that an index would take archives without a warning."""
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, archives)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("PASSED") == len(archives), done.stdout + done.stderr


def test_twine_finds_no_fault(built: dict[str, Path]) -> None:
    twine(built["sdist"], built["wheel"])


@pytest.mark.parametrize("name", sorted({name.split("/")[1] for name in tracked() if name.startswith(OTHERS)}))
def test_twine_finds_no_fault_with_other_distributions(built: dict[str, Path], name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(built["sdist"].parents[1] / "source" / OTHERS / name, source)
    twine(*(build(kind, source, tmp_path / "dist") for kind in ("sdist", "wheel")))
