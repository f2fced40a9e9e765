"""The table that splits an installation into packages, and what it makes of entry points."""

from __future__ import annotations

import configparser
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


def load(name: str) -> ModuleType:
    """Return a module of packaging/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"packaging_{name}", ROOT / "packaging" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


split = load("split")
METADATA = """\
Metadata-Version: 2.1
Name: tenter
Version: 1.2
Author: Somebody
License: Apache-2.0
Requires-Python: >=3.11
Requires-Dist: falcon>=4.0
Provides-Extra: libvirt
Requires-Dist: libvirt-python>=9.0; extra == "libvirt"
Requires-Dist: sphinx; extra == "docs"
"""
ENTRY_POINTS = """\
[console_scripts]
tenter = tenter.cli.main:main
tenter-api = tenter.cli.main:api

[tenter.virt]
fake = tenter_plugins.virt.fake:FakeDriver
libvirt = tenter_plugins.virt.libvirt.driver:LibvirtDriver [libvirt]
"""


def setup_entry_points() -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "setup.cfg")
    found = {}
    for group, lines in parser["options.entry_points"].items():
        pairs = [line.partition("=") for line in lines.splitlines() if line.strip()]
        found[group] = {name.strip(): target.strip() for name, _, target in pairs}
    return found


def test_every_entry_point_goes_to_one_package() -> None:
    everything = setup_entry_points()
    parts = split.Table.read().split(everything)
    given = [(group, name) for part in parts.values() for group, names in part.items() for name in names]
    assert sorted(given) == sorted((group, name) for group, names in everything.items() for name in names)


def test_every_pattern_of_the_table_matches_something() -> None:
    """A module that was renamed would go to another package unnoticed."""
    here = [f"/usr/lib/python3/dist-packages/{path.relative_to(ROOT / root)}"
            for root in ("core", "plugins", "api") for path in (ROOT / root).rglob("*.py")]  # fmt: skip
    here += [f"/lib/systemd/system/{name}.service" for name in load("generate").UNITS]
    here += [f"/etc/tenter/conf.d/{path.name}" for path in (ROOT / "packaging/etc/conf.d").iterdir()]
    table = split.Table.read()
    owners = {table.owner(path).name for path in here}
    assert owners == {package.name for package in table.packages}


def test_the_packages_are_those_of_debian() -> None:
    control = (ROOT / "packaging/debian/control").read_text()
    described = {line.partition(" ")[2] for line in control.splitlines() if line.startswith("Package: ")}
    assert {package.name for package in split.Table.read().packages} | {"tenter-runtime"} == described


def test_what_two_packages_claim_is_an_error() -> None:
    table = split.Table([
        split.Package("all", rest=True), split.Package("a", ["*/one/*"]), split.Package("b", ["*/two.py"]),
    ])  # fmt: skip
    assert table.owner("/lib/one/three.py").name == "a"
    assert table.owner("/lib/four.py").name == "all"
    with pytest.raises(ValueError, match="a and b"):
        table.owner("/lib/one/two.py")


def test_a_plugin_gets_a_distribution_of_its_own(tmp_path: Path) -> None:
    image, output = tmp_path / "image", tmp_path / "out"
    modules = image / "usr/lib/python3/dist-packages"
    info = modules / "tenter-1.2.dist-info"
    driver = modules / "tenter_plugins/virt/libvirt/driver.py"
    for path, text in {
        info / "METADATA": METADATA, info / "entry_points.txt": ENTRY_POINTS, info / "INSTALLER": "pip\n",
        info / "RECORD": "", driver: "", modules / "tenter_plugins/virt/fake.py": "", image / "usr/bin/tenter-api": "",
    }.items():  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    split.split(image, output, split.Table.read())
    place = "usr/lib/python3/dist-packages"
    own = output / "tenter-plugin-libvirt" / place
    assert (own / "tenter_plugins/virt/libvirt/driver.py").exists()
    assert split.read_entry_points(own / "tenter_plugin_libvirt-1.2.dist-info/entry_points.txt") == {
        "tenter.virt": {"libvirt": "tenter_plugins.virt.libvirt.driver:LibvirtDriver"}
    }
    assert (own / "tenter_plugin_libvirt-1.2.dist-info/METADATA").read_text().splitlines()[-4:] == [
        "Name: tenter-plugin-libvirt", "Summary: The libvirt driver of Tenter",
        "Requires-Dist: tenter==1.2", "Requires-Dist: libvirt-python>=9.0",
    ]  # fmt: skip
    assert split.read_entry_points(output / "tenter-common" / place / "tenter-1.2.dist-info/entry_points.txt") == {
        "console_scripts": {"tenter": "tenter.cli.main:main"},
        "tenter.virt": {"fake": "tenter_plugins.virt.fake:FakeDriver"},
    }
    assert (output / "tenter-api/usr/bin/tenter-api").exists()
    assert [path for path in image.rglob("*") if path.is_file()] == []
