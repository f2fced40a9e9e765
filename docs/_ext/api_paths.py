"""Directive ``api-paths``: the paths that one of our APIs serves, read from its route table.

``.. api-paths:: compute`` (or identity, image, network, actions).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from falcon.constants import COMBINED_METHODS

import tenter_api.identity
import tenter_api.image
import tenter_api.network
from tenter_api.compute import routes
from tenter_api.compute.server_actions import ServerActions
from tenter_plugins.identity.local import LocalIdentity
from tenter_plugins.image.local import LocalImages
from tenter_plugins.network.local.driver import LocalNetwork

Row = tuple[str, str, str]


class Recorder:
    """Stands in for the application, and keeps what is mounted on it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add_route(self, path: str, resource: object, suffix: str | None = None) -> None:
        """Keep a row for each method that the resource has."""
        for method in COMBINED_METHODS:
            name = f"on_{method.lower()}" + (f"_{suffix}" if suffix else "")
            if handler := getattr(resource, name, None):
                self.rows.append((method, path, _first_sentence(handler)))


def _first_sentence(item: Any) -> str:
    words = " ".join((item.__doc__ or "").split("\n\n")[0].split())
    return words.partition(". ")[0].rstrip(".")


def _compute() -> list[Row]:
    recorder = Recorder()
    for path, resource in routes.table(MagicMock()).items():
        recorder.add_route(path, resource)
    return recorder.rows


def _small(name: str) -> list[Row]:
    recorder = Recorder()
    package = {"identity": tenter_api.identity, "image": tenter_api.image, "network": tenter_api.network}[name]
    driver = {"identity": LocalIdentity, "image": LocalImages, "network": LocalNetwork}[name]
    package.add_routes(recorder, f"/{name}", MagicMock(spec=driver))
    return recorder.rows


def _actions() -> list[Row]:
    found = []
    for name in dir(ServerActions):
        member = getattr(ServerActions, name)
        if alias := getattr(member, "action_name", None):
            found.append((alias, "", _first_sentence(member)))
    return sorted(found)


class ApiPaths(Directive):
    """A table of methods, paths and what they do."""

    required_arguments = 1

    def run(self) -> list[Any]:
        """Return the table as parsed reStructuredText."""
        name = self.arguments[0]
        rows = _actions() if name == "actions" else _compute() if name == "compute" else _small(name)
        text = StringList(list(self._lines(rows)), source=f"routes of {name}")
        node = self._container()
        self.state.nested_parse(text, self.content_offset, node)
        return list(node.children)

    @staticmethod
    def _container() -> Any:
        from docutils import nodes

        return nodes.container()

    @staticmethod
    def _lines(rows: list[Row]) -> Iterator[str]:
        yield from (".. list-table::", "   :widths: auto", "")
        for method, path, words in rows:
            request = f"``{method} {path}``" if path else f"``{method}``"
            yield f"   * - {request}"
            yield f"     - {words}"


def setup(app: Any) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    app.add_directive("api-paths", ApiPaths)
    return {"parallel_read_safe": True}
