"""Directives that read the contracts themselves.

``.. contract:: module:Class`` shows the methods of a contract, ``.. contract-powers:: module`` the optional powers
beside it, and ``.. plugin-kinds::`` all kinds of plugins.
"""

from __future__ import annotations

import abc
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from tenter.contracts.base import Power
from tenter.plugins.kinds import KINDS


class Table(Directive, abc.ABC):
    """Base: lines of reStructuredText, parsed in place."""

    @abc.abstractmethod
    def lines(self) -> Iterator[str]:
        """Yield the lines."""

    def run(self) -> list[Any]:
        """Return the table as parsed reStructuredText."""
        node = nodes.container()
        self.state.nested_parse(StringList(list(self.lines()), source=self.name), self.content_offset, node)
        return list(node.children)


class Contract(Table):
    """A table of abstract methods and the first paragraph on each."""

    required_arguments = 1

    def lines(self) -> Iterator[str]:
        """Yield a row for each method."""
        module, _, name = self.arguments[0].partition(":")
        yield from (".. list-table::", "   :widths: auto", "")
        yield from _methods(getattr(importlib.import_module(module), name))


class ContractPowers(Table):
    """A table of the powers of a module, each with its methods."""

    required_arguments = 1

    def lines(self) -> Iterator[str]:
        """Yield a row for each power, and one for each of its methods."""
        module = importlib.import_module(self.arguments[0])
        yield from (".. list-table::", "   :widths: auto", "")
        for cls in vars(module).values():
            if inspect.isclass(cls) and issubclass(cls, Power) and cls.__module__ == module.__name__:
                yield f"   * - **{cls.__name__}**"
                yield f"     - {_first_paragraph(cls)}"
                yield from _methods(cls)


class PluginKinds(Table):
    """A table of all kinds: contract, entry point group, and the option that chooses or enables."""

    def lines(self) -> Iterator[str]:
        """Yield a row for each kind."""
        yield from (".. list-table::", "   :widths: auto", "   :header-rows: 1", "")
        yield from ("   * - kind", "     - contract", "     - entry point group", "     - chosen or enabled by")
        for kind in KINDS.values():
            base = kind.base()
            section, _, option = kind.options[-1].rpartition(".")
            yield f"   * - {kind.name}"
            yield f"     - ``{base.__module__}.{base.__name__}``, {base.contract}"
            yield f"     - ``{kind.group}``"
            yield f"     - ``[{section}] {option}``"


def _methods(cls: type) -> Iterator[str]:
    names = getattr(cls, "__abstractmethods__", frozenset())
    order = {name: number for number, name in enumerate(vars(cls))}
    for name in sorted(names, key=lambda each: order.get(each, 0)):
        method = getattr(cls, name)
        parameters = ", ".join(list(inspect.signature(method).parameters)[1:])
        yield f"   * - ``{name}({parameters})``"
        yield f"     - {_first_paragraph(method)}"


def _first_paragraph(what: object) -> str:
    return " ".join((inspect.getdoc(what) or "").split("\n\n")[0].split())


def setup(app: Any) -> dict[str, bool]:
    """Register the directives with Sphinx."""
    app.add_directive("contract", Contract)
    app.add_directive("contract-powers", ContractPowers)
    app.add_directive("plugin-kinds", PluginKinds)
    return {"parallel_read_safe": True}
