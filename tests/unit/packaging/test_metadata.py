"""What setup.cfg says of the distribution, and what the packages' files repeat of it."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tenter import plugins
from tests.unit.packaging.test_split import load, setup_entry_points

ROOT = Path(__file__).parents[3]
PLUGINS = ROOT / "plugins" / "tenter_plugins"
RUNTIME = ROOT / "packaging" / "runtime"
OTHER_GROUPS = {"console_scripts", "oslo.config.opts", "pytest11", "tenter.servers"}


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def _requirements(text: str) -> dict[str, Requirement]:
    found = [Requirement(line) for line in text.splitlines() if line.strip()]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def _extras() -> dict[str, dict[str, Requirement]]:
    return {name: _requirements(text) for name, text in _setup()["options.extras_require"].items()}


def test_an_entry_point_is_of_a_known_group() -> None:
    """A group that is misspelt would be looked into by nobody. (tests/unit/test_house.py imports what they name.)"""
    assert set(setup_entry_points()) - OTHER_GROUPS - set(plugins.GROUPS.values()) == set()


def test_the_documentation_shows_the_options_of_every_plugin() -> None:
    text = (ROOT / "docs" / "configuration.rst").read_text()
    shown = text.partition(".. show-options::")[2].split()
    assert shown == sorted(setup_entry_points()["oslo.config.opts"])


def _imported(directory: Path) -> Iterator[str]:
    """Yield the top-level modules that the sources of a directory import."""
    for path in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


def _plugin_directories() -> list[Path]:
    return sorted(path for kind in PLUGINS.iterdir() if kind.is_dir() for path in kind.iterdir()
                  if (path / "__init__.py").exists())  # fmt: skip


@pytest.mark.parametrize("directory", _plugin_directories(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_plugin_that_needs_a_library_has_an_extra_that_brings_it(directory: Path) -> None:
    known = metadata.packages_distributions()
    base = set(_requirements(_setup()["options"]["install_requires"]))
    extra = set(_extras().get(directory.name, {}))
    ours = {"tenter", "tenter_plugins", "__future__"}
    for module in set(_imported(directory)) - set(sys.stdlib_module_names) - ours:
        distributions = {canonicalize_name(name) for name in known.get(module, [module])}
        assert distributions & (base | extra), f"{directory.name}: {module}"


def test_the_extra_all_brings_every_plugin() -> None:
    extras = _extras()
    (everything,) = extras["all"].values()
    plugins_with_needs = {path.name for path in _plugin_directories()} & set(extras)
    assert everything.name == "tenter" and everything.extras == plugins_with_needs != set()


def test_what_setup_asks_for_comes_from_debian_or_is_carried() -> None:
    """packaging/runtime/update.py must be run anew when requirements change."""
    debian = dict(re.findall(r"^\w+ python3-(\S+)(?: \(>= (\S+)\))?$", (RUNTIME / "debian.txt").read_text(), re.M))
    names = {"libvirt-python": "libvirt", "pyyaml": "yaml", "attrs": "attr"}
    wanted = _requirements(_setup()["options"]["install_requires"]) | _extras()["libvirt"]
    for path in RUNTIME.glob("carried-*.txt"):
        carried = dict(re.findall(r"^([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}$", path.read_text(), re.M))
        assert len(carried) == len(path.read_text().splitlines()) - 1
        for name, requirement in wanted.items():
            version = carried.get(name) or debian.get(names.get(name, name))
            assert version is not None and requirement.specifier.contains(version), requirement
            assert not (name in carried and names.get(name, name) in debian)


def test_the_version_of_the_packages_is_that_of_the_distribution() -> None:
    first = (ROOT / "packaging/debian/changelog").read_text().splitlines()[0]
    assert re.fullmatch(r"tenter \((.*)-\d+\) .*", first).group(1) == _setup()["metadata"]["version"]  # type: ignore[union-attr]


def _units(directory: Path) -> list[Path]:
    load("generate").write_units(ROOT / "packaging/systemd/service.in", directory, "/usr/bin", "/etc")
    return sorted(directory.glob("*.service"))


def test_units_leave_guests_running_and_say_so_alike(tmp_path: Path) -> None:
    units = _units(tmp_path)
    own = re.compile(r"^(Description|Documentation|ExecStart)=.*\n", re.M)
    bodies = {own.sub("", unit.read_text()) for unit in units}
    assert len(units) == 4 and len(bodies) == 1
    body = bodies.pop()
    assert "\nKillMode=process\n" in body
    # Each of these means a mount namespace, in which the host would not see our network namespaces.
    mounting = r"^(Protect(System|Home|Kernel\w+|ControlGroups|Proc)|Private(Tmp|Devices|Mounts)|\w+Paths)="
    assert not re.search(mounting, body, re.M)


def test_a_service_that_cannot_start_is_given_up(tmp_path: Path) -> None:
    """Systemd starts a unit StartLimitBurst times within StartLimitIntervalSec at most; it must get that far."""
    for unit in _units(tmp_path):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read(unit)
        hours = re.fullmatch(r"(\d+)h", parser["Unit"]["StartLimitIntervalSec"])
        assert hours, unit.name
        a_try = int(parser["Service"]["RestartSec"]) + 60  # seconds, with what a start that fails may take
        waited = a_try * int(parser["Unit"]["StartLimitBurst"])
        assert 120 < waited < int(hours[1]) * 3600, unit.name


@pytest.mark.parametrize(("missing", "code"), [(["argparse_manpage", "shtab"], 1), ([], 0)])
def test_what_an_installation_lacks_is_said_in_one_line_before_it(
    tmp_path: Path, missing: list[str], code: int
) -> None:
    """By a Python whose only other libraries are those here."""
    for name in {*load("generate").NEEDED} - {*missing}:
        (tmp_path / f"{name}.py").touch()
    command = ["make", "-C", str(ROOT / "packaging"), "check", f"PYTHON={sys.executable} -S", f"PYTHONPATH={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]})
    assert (done.returncode != 0) == code
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == code
    assert all(f"lacks {', '.join(missing)}: " in line and "tenter[packaging]" in line for line in said)
