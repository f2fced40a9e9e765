"""What the options say that the fake host has besides CPUs, memory and disk: resource classes, traits and parts."""

from __future__ import annotations

import dataclasses
import uuid as uuidlib
from collections.abc import Mapping
from typing import Any

import orjson

from tenter import errors
from tenter.contracts.virt import Inventory, ProviderInventory

_STOCK = {field.name for field in dataclasses.fields(Inventory)}
_PART = {"name", "parent", "inventories", "traits"}


def inventories(text: str, option: str = "[fake] inventories") -> dict[str, Inventory]:
    """Return what JSON says by resource class: ``{"VGPU": 4, "PCPU": {"total": 8, "step_size": 2}}``. Raises Invalid,
    which names the option."""
    return _stocks(_parsed(text or "{}", option), option)


def providers(text: str, node_uuid: str) -> tuple[ProviderInventory, ...]:
    """Return the parts of which JSON gives the names, and for each what it likes of ``parent`` (a name),
    ``inventories`` and ``traits``. Their UUIDs follow from the node's and the name. Raises Invalid."""
    option = "[fake] providers"
    parsed = _parsed(text or "[]", option)
    if not isinstance(parsed, list):
        raise errors.Invalid(f"{option} is no list.")
    return tuple(_part(one, node_uuid, f"{option}[{number}]") for number, one in enumerate(parsed))


def _part(one: Any, node_uuid: str, where: str) -> ProviderInventory:
    _check_keys(one, _PART, where)
    name, parent, traits = one.get("name"), one.get("parent"), one.get("traits", [])
    if not isinstance(name, str) or not isinstance(parent, str | None):
        raise errors.Invalid(f"{where} has no name, or its parent is no name.")
    if not isinstance(traits, list) or not all(isinstance(trait, str) for trait in traits):
        raise errors.Invalid(f"{where}: its traits are no list of names.")
    stocks = _stocks(one.get("inventories", {}), f"{where}: its inventories")
    above = None if parent is None else _uuid(node_uuid, parent)
    return ProviderInventory(_uuid(node_uuid, name), name, stocks, frozenset(traits), above)


def _stocks(parsed: Any, where: str) -> dict[str, Inventory]:
    if not isinstance(parsed, dict):
        raise errors.Invalid(
            f"{where} must give an amount for each resource class, or what Placement's inventories have."
        )
    return {name: _stock(value, f"{where}: {name}") for name, value in parsed.items()}


def _stock(value: Any, where: str) -> Inventory:
    if isinstance(value, int) and not isinstance(value, bool):
        return Inventory(value)
    _check_keys(value, _STOCK, where)
    if "total" not in value:
        raise errors.Invalid(f"{where} has no total.")
    return Inventory(**value)


def _check_keys(value: Any, known: set[str], where: str) -> None:
    if not isinstance(value, Mapping):
        raise errors.Invalid(f"{where} is no JSON object.")
    if strange := sorted(value.keys() - known):
        raise errors.Invalid(f"{where} has {strange[0]!r}; there are {', '.join(sorted(known))}.")


def _parsed(text: str, option: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise errors.Invalid(f"{option} is no JSON: {exc}.") from None


def _uuid(node_uuid: str, name: str) -> str:
    return str(uuidlib.uuid5(uuidlib.UUID(node_uuid), name))
