"""The public face of the contracts, one line for each thing that a plugin may rely on."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType

import tenter.contracts


def modules() -> Iterator[ModuleType]:
    """Yield the modules of contracts."""
    for found in pkgutil.iter_modules(tenter.contracts.__path__):
        yield importlib.import_module(f"tenter.contracts.{found.name}")


def signatures() -> dict[str, str]:
    """Return what stands where: ``network.VIF.mtu`` is ``: int = 1500 (8)``, the eighth field."""
    return {name: text for module in modules() for name, text in _module(module)}


def _module(module: ModuleType) -> Iterator[tuple[str, str]]:
    short = module.__name__.rpartition(".")[2]
    for name, value in vars(module).items():
        if name.startswith("_") or inspect.ismodule(value):
            continue
        if inspect.isclass(value):
            if value.__module__ == module.__name__:
                yield from _class(f"{short}.{name}", value)
        elif inspect.isfunction(value):
            if value.__module__ == module.__name__:
                yield f"{short}.{name}", _signature(value)
        elif name.isupper() and isinstance(value, str):
            yield f"{short}.{name}", f" = {value!r}"


def _class(name: str, cls: type) -> Iterator[tuple[str, str]]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    frozen = "frozen " if dataclasses.is_dataclass(cls) else ""
    yield name, f" is a {frozen}class" + (f" of {bases}" if bases else "")
    if issubclass(cls, enum.Enum):
        yield from ((f"{name}.{member.name}", f" = {member.value!r}") for member in cls)
        return
    fields = {field.name: field for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    place = {field: number for number, field in enumerate(fields, 1)}
    for attribute, annotation in vars(cls).get("__annotations__", {}).items():
        if not attribute.startswith("_"):
            default = _default(fields[attribute], place[attribute]) if attribute in fields else ""
            yield f"{name}.{attribute}", f": {annotation}{default}"
    for attribute, value in vars(cls).items():
        function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        if attribute.startswith("_"):
            continue
        if inspect.isfunction(function):
            yield f"{name}.{attribute}", _signature(function) + _abstract(value)
        elif isinstance(value, property) and value.fget is not None:
            yield f"{name}.{attribute}", f": {inspect.signature(value.fget).return_annotation} (computed)"
        elif attribute in ("capability", "event_type"):
            yield f"{name}.{attribute}", f" = {value!r}"


def _default(field: dataclasses.Field[object], place: int) -> str:
    where = "" if field.kw_only else f" ({place})"
    if field.default is not dataclasses.MISSING:
        return (" = ..." if callable(field.default) else f" = {field.default!r}") + where
    return (" = ..." if field.default_factory is not dataclasses.MISSING else "") + where


def _signature(function: object) -> str:
    return str(inspect.signature(function)).replace("'", "")  # type: ignore[arg-type]


def _abstract(value: object) -> str:
    return " must be written" if getattr(value, "__isabstractmethod__", False) else ""


@dataclass(frozen=True)
class Change:
    """One difference. ``breaks``: a plugin that was written before may no longer work."""

    where: str
    what: str
    breaks: bool


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """Return what differs. The versions themselves (``CONTRACT``) are no change."""
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new or name.endswith(".CONTRACT"):
            continue
        if new is None:
            found.append(Change(name, f"removed: {name}{old}", True))
        elif old is not None:
            found.append(Change(name, f"changed: {name}{old}  became  {name}{new}", True))
        else:
            found.append(Change(name, f"added: {name}{new}", _new_duty(name, new, before)))
    return found


def _new_duty(name: str, new: str, before: Mapping[str, str]) -> bool:
    """Return whether an addition asks something of who knew the class before it."""
    parent = name.rpartition(".")[0]
    if parent not in before:
        return False
    field = "frozen" in before[parent] and new.startswith(":") and " = " not in new and "(computed)" not in new
    return field or new.endswith(" must be written")


def concerned(change: Change) -> list[str]:
    """Return the contracts (``network 1.0``) that a change is a change of: the module's own, or of all that use it."""
    home = f"tenter.contracts.{change.where.partition('.')[0]}"
    loaded = list(modules())
    own = [module.CONTRACT for module in loaded if module.__name__ == home and hasattr(module, "CONTRACT")]
    return own or sorted(
        module.CONTRACT
        for module in loaded
        if hasattr(module, "CONTRACT") and any(_home(value) == home for value in vars(module).values())
    )


def _home(value: object) -> str | None:
    return value.__module__ if inspect.isclass(value) else None


def advice(found: list[Change]) -> str:
    """Return, for whoever made the changes, what they mean and which number to raise."""
    lines = []
    for change in found:
        kind = "breaks" if change.breaks else "adds"
        for contract in concerned(change) or ["(no contract uses it)"]:
            lines.append(f"{kind} {contract}: {change.what}{_raise(contract, change.breaks)}")
    return "\n".join(lines)


def _raise(contract: str, breaks: bool) -> str:
    kind, _, number = contract.partition(" ")
    major, _, minor = number.partition(".")
    if not minor.isdigit():
        return ""
    higher = f"{int(major) + 1}.0" if breaks else f"{major}.{int(minor) + 1}"
    return f"\n    raise CONTRACT to '{kind} {higher}' if {contract} was in a release (docs/contracts.rst)"
