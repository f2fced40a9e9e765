"""Directive ``contract``: the methods of a plugin contract, read from its class: ``.. contract:: module:Class``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList


class Contract(Directive):
    """A table of abstract methods and the first sentence on each."""

    required_arguments = 1

    def run(self) -> list[Any]:
        """Return the table as parsed reStructuredText."""
        module, _, name = self.arguments[0].partition(":")
        cls = getattr(importlib.import_module(module), name)
        node = nodes.container()
        self.state.nested_parse(StringList(list(_lines(cls)), source=name), self.content_offset, node)
        return list(node.children)


def _lines(cls: type) -> Iterator[str]:
    yield from (".. list-table::", "   :widths: auto", "")
    order = {name: number for number, name in enumerate(vars(cls))}
    for name in sorted(cls.__abstractmethods__, key=lambda each: order.get(each, 0)):
        method = getattr(cls, name)
        parameters = ", ".join(list(inspect.signature(method).parameters)[1:])
        words = " ".join((method.__doc__ or "").split("\n\n")[0].split())
        yield f"   * - ``{name}({parameters})``"
        yield f"     - {words}"


def setup(app: Any) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    app.add_directive("contract", Contract)
    return {"parallel_read_safe": True}
