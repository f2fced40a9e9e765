"""Tiny distributions, as an installer leaves them behind: modules and metadata in a directory of the path."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

EntryPoints = Mapping[str, Mapping[str, str]]


def install(
    directory: Path,
    name: str,
    entry_points: EntryPoints,
    modules: Mapping[str, str] | None = None,
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> None:
    """Install the distribution ``name`` into a directory.

    ``entry_points``: values by name by group. ``modules``: sources by path, such as ``acme/driver.py``; packages get
    their ``__init__.py``. ``requires``: requirements as in ``Requires-Dist``.
    """
    for path, source in (modules or {}).items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        for parent in file.relative_to(directory).parents:
            if parent != Path("."):
                (directory / parent / "__init__.py").touch()
        file.write_text(dedent(source))
    info = _info(directory, name, version)
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    groups = ([f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
              for group, entries in entry_points.items())  # fmt: skip
    (info / "entry_points.txt").write_text("\n".join("\n".join(group) for group in groups) + "\n")


def remove(directory: Path, name: str, version: str = "1.0") -> None:
    """Take a distribution's metadata away, as an uninstaller does; its modules stay."""
    shutil.rmtree(_info(directory, name, version))


def environment(*directories: Path) -> dict[str, str]:
    """Return the variables of a process that is to find what is installed in the directories."""
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([*map(str, directories), *([inherited] if inherited else [])])}


def _info(directory: Path, name: str, version: str) -> Path:
    return directory / f"{name.replace('-', '_')}-{version}.dist-info"
