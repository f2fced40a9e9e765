"""The skeleton of a plugin, made from its contract, so that it is never older than that."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import inspect
import sys
import textwrap
import typing
from collections.abc import Iterator, Mapping
from types import ModuleType

from tenter.contracts.base import Driver, Plugin, Power

INDENT = "    "
UNWRITTEN = 'raise errors.CapabilityMissing("{name}() is not written yet")'
WIDTH = 88
"""Of lines: what ruff and Black take by default."""
Imports = dict[str, set[str]]


def class_body(base: type[Plugin], bodies: Mapping[str, str], imports: Imports) -> str:
    """Return the methods that a plugin of a contract must write, as source below ``class …:``.

    ``bodies``: what stands in a method, by its name; any other raises CapabilityMissing, so that the conformance run
    says what is missing. What the source needs is added to ``imports`` (names by module).
    """
    methods = []
    for name, home in _duties(base):
        body = bodies.get(name)
        if body is None:
            body = UNWRITTEN.format(name=name)
            imports.setdefault("tenter", set()).add("errors")
        methods.append(_method(name, base, home, body, imports))
    return "".join(f"\n{textwrap.indent(method, INDENT)}" for method in methods).rstrip("\n")


def _duties(base: type[Plugin]) -> Iterator[tuple[str, type]]:
    """Yield the abstract methods in the order in which they stand, each with the class that says its signature last."""
    seen = set()
    for cls in reversed(base.__mro__):
        for name in vars(cls):
            if name in getattr(base, "__abstractmethods__", ()) and name not in seen:
                seen.add(name)
                yield name, next(each for each in base.__mro__ if name in vars(each))


def _method(name: str, base: type, home: type, body: str, imports: Imports) -> str:
    method = getattr(base, name)
    signature = inspect.signature(method)
    for annotation in (signature.return_annotation, *(each.annotation for each in signature.parameters.values())):
        _need(annotation, home, imports)
    text = str(signature).replace("'", "")
    head = f"def {name}{text}:"
    if len(head) > WIDTH - len(INDENT):
        inner, _, returned = text[1:].rpartition(") -> ")
        head = f"def {name}(\n    {inner}\n) -> {returned}:"
    sentence = _first_sentence(method)
    doc = textwrap.wrap(f'"""{sentence}"""', WIDTH - 2 * len(INDENT))
    return "\n".join([head, *(f"    {line}" for line in (*doc, *body.splitlines()))]) + "\n"


def _first_sentence(method: object) -> str:
    words = " ".join((inspect.getdoc(method) or "").split("\n\n")[0].split())
    end = words.find(". ")
    return words if end < 0 else words[: end + 1]


def _need(annotation: object, home: type, imports: Imports) -> None:
    """Add what an annotation (a string: the contracts postpone their evaluation) names to the imports."""
    if not isinstance(annotation, str):
        return
    for node in ast.walk(ast.parse(annotation, mode="eval")):
        if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
            imports.setdefault(_module_of(node.id, home), set()).add(node.id)


def _module_of(name: str, home: type) -> str:
    module_of_home = sys.modules[home.__module__]
    if not hasattr(module_of_home, name):
        return _imported_for_types(name, module_of_home)
    value = getattr(module_of_home, name)
    for module in (collections.abc, typing):
        if getattr(module, name, None) is value:
            return module.__name__
    where = getattr(value, "__module__", "")
    return where if where.startswith("tenter.") else home.__module__


def _imported_for_types(name: str, home: ModuleType) -> str:
    """Return where a module has a name from that it imports only where types are checked."""
    imports = [node for node in ast.walk(ast.parse(inspect.getsource(home))) if isinstance(node, ast.ImportFrom)]
    return next(str(node.module) for node in imports if name in [each.name for each in node.names])


def import_lines(imports: Imports) -> str:
    """Return the imports as source, as isort sorts them: standard library, other distributions, the plugin's own."""
    blocks: list[list[str]] = [[], [], []]
    for module, names in sorted(imports.items()):
        top = module.partition(".")[0]
        place = 0 if top in sys.stdlib_module_names else 1 if top in ("tenter", "numpy") else 2
        line = f"from {module} import {', '.join(sorted(names, key=_case_order))}"
        if len(line) > WIDTH:
            listed = "".join(f"    {name},\n" for name in sorted(names, key=_case_order))
            line = f"from {module} import (\n{listed})"
        blocks[place].append(line)
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _case_order(name: str) -> tuple[int, str]:
    """isort's order of names: constants, classes, the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name.lower()


def powers(base: type[Plugin]) -> tuple[str, ...]:
    """Return the names of the optional powers that stand beside a contract."""
    beside = vars(sys.modules[base.__module__]).values()
    return tuple(
        each.__name__
        for each in beside
        if inspect.isclass(each) and issubclass(each, Power) and each.__module__ == base.__module__
    )


def describes(base: type[Plugin], name: str, imports: Imports) -> dict[str, str]:
    """Return the body of ``describe`` for a driver: it says its name, and no power; nothing for other plugins."""
    if not issubclass(base, Driver):
        return {}
    returned = str(inspect.signature(base.describe).return_annotation)
    _need(returned, next(each for each in base.__mro__ if "describe" in vars(each)), imports)
    more = f', hypervisor_type="{name}"' if returned == "DriverInfo" else ""
    return {"describe": f'return {returned}(name="{name}"{more})'}
