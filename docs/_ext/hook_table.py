"""Directive ``hooks``: every hook, when it fires and what its events hold, read from their specification.

``.. hooks:: shared`` has the fields that several kinds of events have.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from tenter.contracts.hooks import HOOKS, Event, HookSpecs, MigrationEvent, ServerEvent, ServiceEvent

BASES: tuple[type[Event], ...] = (MigrationEvent, ServiceEvent, ServerEvent, Event)
"""Classes whose fields are told once, the most special first."""


class Hooks(Directive):
    """A definition list of the hooks; with the argument ``shared``, of what their events have in common."""

    optional_arguments = 1

    def run(self) -> list[Any]:
        """Return the list as parsed reStructuredText."""
        lines = _shared() if self.arguments == ["shared"] else _hooks()
        node = nodes.container()
        self.state.nested_parse(StringList(list(lines), source="tenter.contracts.hooks"), self.content_offset, node)
        return list(node.children)


def _shared() -> Iterator[str]:
    for cls in reversed(BASES):
        above = cls.__mro__[1]
        also = f"all of ``{above.__name__}``, and " if issubclass(above, Event) else ""
        yield from (f"``{cls.__name__}``", f"   {also}{_fields(cls, above)}", "")


def _hooks() -> Iterator[str]:
    for name, event in HOOKS.items():
        base = next(each for each in BASES if issubclass(event, each))
        yield f"``{name}(event: {event.__name__})``"
        yield f"   {_words(getattr(HookSpecs, name))}"
        yield ""
        own = _fields(event, base)
        fields = f"those of ``{base.__name__}``" + (f", and {own}" if own else "")
        yield f"   *Notification* ``{event.event_type}``. *Fields*: {fields}."
        yield ""


def _fields(cls: type[Event], above: type) -> str:
    inherited = {each.name for each in dataclasses.fields(above)} if dataclasses.is_dataclass(above) else set()
    hints = typing.get_type_hints(cls)
    return ", ".join(
        f"``{each.name}`` ({_type(hints[each.name])})" for each in dataclasses.fields(cls) if each.name not in inherited
    )


def _type(hint: Any) -> str:
    name = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    for prefix in ("collections.abc.", "tenter.contracts.hooks.", "typing."):
        name = name.replace(prefix, "")
    return name


def _words(item: Any) -> str:
    return " ".join((item.__doc__ or "").split())


def setup(app: Any) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    app.add_directive("hooks", Hooks)
    return {"parallel_read_safe": True}
