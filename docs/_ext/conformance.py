"""Directive ``conformance-matrix``: which driver supports what, from the reports that lie in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from tenter.cli import matrix


class ConformanceMatrix(Directive):
    """What ``tenter plugin matrix`` prints: ``.. conformance-matrix:: DIRECTORY``, relative to the documentation."""

    required_arguments = 1

    def run(self) -> list[Any]:
        """Return the tables as parsed reStructuredText."""
        environment = self.state.document.settings.env
        paths = sorted(Path(environment.srcdir, self.arguments[0]).glob("*.json"))
        for path in paths:
            environment.note_dependency(str(path))
        lines = matrix.as_rest(matrix.read(paths)).splitlines()
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source="conformance reports"), self.content_offset, node)
        return list(node.children)


def setup(app: Any) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    app.add_directive("conformance-matrix", ConformanceMatrix)
    return {"parallel_read_safe": True}
