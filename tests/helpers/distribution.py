"""Distributions as pip leaves them on disk: a module, and beside it the metadata with its entry points."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path


def install(site: Path, name: str, source: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Write distribution ``name`` 1.0 into the directory ``site``, which is to be on the path of modules.

    ``source`` is that of its one module, called as the distribution is with underscores; ``entry_points`` are the
    names in that module by group and name.
    """
    module = name.replace("-", "_")
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(textwrap.dedent(source))
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{point} = {module}:{target}" for point, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
