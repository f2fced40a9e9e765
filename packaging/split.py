"""Split an installed image into packages, each with a distribution (dist-info) of its own for its entry points.

So an entry point is known just as long as its package is installed. The table is split.toml.

Usage: split.py IMAGE OUTPUT    moves everything below IMAGE to OUTPUT/PACKAGE/…
"""

from __future__ import annotations

import configparser
import email.parser
import email.policy
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

TABLE = Path(__file__).resolve().parent / "split.toml"
SCRIPTS = "console_scripts"
EntryPoints = dict[str, dict[str, str]]
"""Targets by group and name."""


@dataclass(frozen=True)
class Package:
    """One package of the table. ``rest``: it takes what no other does. ``extra``: that of setup.cfg that it needs."""

    name: str
    files: list[str] = field(default_factory=list)
    rest: bool = False
    summary: str = ""
    extra: str = ""


class Table:
    """Who gets what. Raises ValueError if something belongs to two packages."""

    def __init__(self, packages: Iterable[Package]) -> None:
        self.packages = tuple(packages)
        (self.rest,) = (package for package in self.packages if package.rest)

    @classmethod
    def read(cls, path: Path = TABLE) -> Table:
        """Return the table of a file."""
        return cls(Package(name, **values) for name, values in tomllib.loads(path.read_text()).items())

    def owner(self, path: str) -> Package:
        """Return the package of an installed file, given by its absolute path."""
        found = [package for package in self.packages if any(fnmatchcase(path, pattern) for pattern in package.files)]
        if len(found) > 1:
            raise ValueError(f"{path} belongs to {' and '.join(package.name for package in found)}")
        return found[0] if found else self.rest

    def split(self, entry_points: EntryPoints) -> dict[str, EntryPoints]:
        """Return the entry points of each package that has any."""
        found: dict[str, EntryPoints] = {}
        for group, entries in entry_points.items():
            for name, target in entries.items():
                # "[extra]" behind a target names an extra of the whole; a package's own distribution needs it anyway.
                bare = target.partition("[")[0].strip()
                place = f"/bin/{name}" if group == SCRIPTS else f"/{bare.partition(':')[0].replace('.', '/')}/"
                package = self.owner(place)
                found.setdefault(package.name, {}).setdefault(group, {})[name] = target if package.rest else bare
        return found


def _parser() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    return parser


def read_entry_points(path: Path) -> EntryPoints:
    """Return what an ``entry_points.txt`` says."""
    parser = _parser()
    parser.read_string(path.read_text())
    return {group: dict(parser[group]) for group in parser.sections()}


def write_entry_points(path: Path, entry_points: EntryPoints) -> None:
    """Write an ``entry_points.txt``."""
    parser = _parser()
    parser.read_dict(entry_points)
    with path.open("w") as file:
        parser.write(file)


def metadata(package: Package, whole: str) -> str:
    """Return the ``METADATA`` of a package's own distribution, given that of the whole (see PyPA's core metadata)."""
    about = email.parser.Parser(policy=email.policy.compat32).parsestr(whole, headersonly=True)
    mark = f'; extra == "{package.extra}"'
    needs = [line.removesuffix(mark) for line in about.get_all("Requires-Dist", []) if line.endswith(mark)]
    lines = {key: about[key] for key in ("Metadata-Version", "Version", "Author", "License", "Requires-Python")}
    lines |= {"Name": package.name, "Summary": package.summary}
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    required = [f"tenter=={about['Version']}", *needs]
    return text + "".join(f"Requires-Dist: {line}\n" for line in required)


def split(image: Path, output: Path, table: Table) -> None:
    """Move all files of an image to their packages' directories, and give entry points their own dist-info."""
    (info,) = image.rglob("tenter-*.dist-info")
    entry_points = table.split(read_entry_points(info / "entry_points.txt"))
    whole = (info / "METADATA").read_text()
    # RECORD lists files for pip, which is not to remove what a package manager installed.
    (info / "RECORD").unlink(missing_ok=True)
    for package in table.packages:
        mine = entry_points.get(package.name, {})
        if package.rest:
            write_entry_points(info / "entry_points.txt", mine)
        elif mine:
            version = info.name.removeprefix("tenter-")
            own = output / package.name / info.parent.relative_to(image) / f"{package.name.replace('-', '_')}-{version}"
            own.mkdir(parents=True)
            (own / "METADATA").write_text(metadata(package, whole))
            (own / "INSTALLER").write_text((info / "INSTALLER").read_text())
            write_entry_points(own / "entry_points.txt", mine)
    for path in sorted(image.rglob("*")):
        if path.is_file() or path.is_symlink():
            relative = path.relative_to(image)
            target = output / table.owner(str(PurePosixPath("/") / relative)).name / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


def main() -> None:
    """Do what the command line says."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    split(Path(sys.argv[1]), Path(sys.argv[2]), Table.read())


if __name__ == "__main__":
    main()
