"""Decide what ``tenter-runtime`` carries, and write it down: run it where the packages are built for.

For each requirement of ``setup.cfg``: if the Debian package is new enough, it becomes a dependency. If not, the
distribution is carried, and what it requires is looked at in turn. What Debian has is not used if something that it
requires itself is carried: Debian's builds know only of their own versions.

Writes beside this file ``carried-ARCH.txt`` (a requirements file with hashes, for ``pip install --no-deps``),
``build-ARCH.txt`` (the same for what a build needs) and ``debian.txt`` (a line a dependency: ``runtime`` or the extra
that asks for it, and the package as in a Depends field).

Usage, on the Debian release and architecture in question, with the network and the library "packaging"::

    python3 packaging/runtime/update.py
"""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLUGINS = ("libvirt",)
"""Extras whose plugins are packaged too."""
BUILDING = ("packaging",)
"""Extras of what a build needs."""
BUILD = ("setuptools >= 68", "wheel")
"""The build backend of pyproject.toml."""
NAMES = {"attrs": "attr", "pyyaml": "yaml", "libvirt-python": "libvirt", "python-dateutil": "dateutil"}
"""Debian packages that are not called ``python3-`` and the distribution's name."""
HEADER = "# Written by packaging/runtime/update.py; {what}.\n"


def requirements(extras: Iterable[str], base: bool = True) -> list[Requirement]:
    """Return what setup.cfg asks for, without ``tenter`` itself."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options"]["install_requires"].splitlines() if base else []
    for extra in extras:
        lines += parser["options.extras_require"][extra].splitlines()
    return [Requirement(line) for line in lines if line.strip()]


def resolve(wanted: Iterable[Requirement | str], only_wheels: bool = True) -> dict[str, dict[str, Any]]:
    """Return pip's choice: name, metadata and archive of each distribution. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--only-binary", ":all:"] if only_wheels else []
        subprocess.run([*command, "--report", str(report), *map(str, wanted)], check=True)
        found = json.loads(report.read_text())["install"]
    return {canonicalize_name(entry["metadata"]["name"]): entry for entry in found}


def needs(entry: dict[str, Any]) -> Iterator[Requirement]:
    """Yield what a distribution requires here, without its extras."""
    environment: dict[str, str] = {**default_environment(), "extra": ""}  # type: ignore[dict-item]
    for line in entry["metadata"].get("requires_dist", []):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


def debian_name(name: str) -> str:
    """Return the name that the Debian package of a distribution would have."""
    return "python3-" + NAMES.get(canonicalize_name(name), name.lower().replace("_", "-"))


def debian_version(package: str) -> Version | None:
    """Return the upstream version that apt would install, None if there is none."""
    output = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Candidate: (?:\d+:)?([0-9][^-+~\s]*)", output)
    try:
        return Version(found[1]) if found else None
    except InvalidVersion:
        return None


class Choice:
    """Which distributions are carried, and which come from Debian."""

    def __init__(self, wanted: list[Requirement]) -> None:
        self._wanted = wanted
        # libvirt-python has no wheels, so pip is not asked about it; Debian's is the one to use.
        self.chosen = resolve(r for r in wanted if canonicalize_name(r.name) not in ("libvirt-python",))
        self.names = {key: entry["metadata"]["name"] for key, entry in self.chosen.items()}
        self.versions: dict[str, Version | None] = {}
        self.carried: set[str] = set()
        while (more := self._too_old()) - self.carried:
            self.carried |= more

    def version(self, name: str) -> Version | None:
        """Return Debian's version of a distribution."""
        if name not in self.versions:
            self.versions[name] = debian_version(debian_name(self.names.get(name, name)))
        return self.versions[name]

    def asked(self) -> Iterator[Requirement]:
        """Yield what is required by us and by what is carried."""
        yield from self._wanted
        yield from self.below()

    def below(self) -> Iterator[Requirement]:
        """Yield what is required by what is carried."""
        for name in sorted(self.carried):
            yield from needs(self.chosen[name])

    def debian(self, asked: Iterable[Requirement]) -> list[str]:
        """Return the Debian packages that requirements become, as in a Depends field."""
        found: dict[str, str] = {}
        for requirement in asked:
            name = canonicalize_name(requirement.name)
            if name not in self.carried:
                lowest = [part.version for part in requirement.specifier if part.operator in (">=", "~=", ">")]
                package = debian_name(self.names.get(name, requirement.name))
                found[package] = max([found.get(package, ""), *lowest], key=lambda version: Version(version or "0"))
        return [f"{package} (>= {lowest})" if lowest else package for package, lowest in sorted(found.items())]

    def _too_old(self) -> set[str]:
        found: set[str] = set()
        for requirement in self.asked():
            name = canonicalize_name(requirement.name)
            version = self.version(name)
            enough = version is not None and requirement.specifier.contains(version, prereleases=True)
            if not enough or self._below(name) & self.carried:
                found.add(name)
        return found

    def _below(self, name: str, seen: frozenset[str] = frozenset()) -> set[str]:
        """Return everything that a distribution requires, directly or not."""
        if name in seen or name not in self.chosen:
            return set()
        direct = {canonicalize_name(requirement.name) for requirement in needs(self.chosen[name])}
        return direct.union(*(self._below(below, seen | {name}) for below in direct))


def pinned(entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a line of a requirements file for each distribution."""
    for entry in sorted(entries, key=lambda entry: canonicalize_name(entry["metadata"]["name"])):
        about, digest = entry["metadata"], entry["download_info"]["archive_info"]["hashes"]["sha256"]
        yield f"{canonicalize_name(about['name'])}=={about['version']} --hash=sha256:{digest}\n"


def main() -> None:
    """Write the three files."""
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    asked = {"runtime": requirements([]), **{extra: requirements([extra], base=False) for extra in PLUGINS}}
    choice = Choice([requirement for group in asked.values() for requirement in group])
    asked["runtime"] += choice.below()
    carried = HEADER.format(what="what tenter-runtime carries, because Debian's is too old or there is none")
    carried += "".join(pinned(choice.chosen[name] for name in choice.carried))
    (HERE / f"carried-{arch}.txt").write_text(carried)
    debian = HEADER.format(what="who asks for which Debian packages that are new enough")
    debian += "".join(f"{group} {line}\n" for group in asked for line in choice.debian(asked[group]))
    (HERE / "debian.txt").write_text(debian)
    needed = resolve([*BUILD, *requirements(BUILDING)], only_wheels=False)
    building = HEADER.format(what="what building the packages needs besides")
    building += "".join(pinned(entry for name, entry in needed.items() if name not in choice.carried))
    (HERE / f"build-{arch}.txt").write_text(building)


if __name__ == "__main__":
    main()
