"""What drivers report of their nodes, as rows: whatever cannot be is left out and complained of, never an error."""

from __future__ import annotations

import functools
import math
import re
import uuid as uuidlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import os_resource_classes
import os_traits

from tenter.contracts.scheduling import MAX_UNIT, Resource
from tenter.contracts.virt import Inventory, NodeInventory, ProviderInventory

_CUSTOM = re.compile(r"CUSTOM_[A-Z0-9_]{1,248}")
_NAME = 255
_LARGEST = 2**63 - 1
Key = tuple[str, str]
"""A provider's UUID and a resource class."""


@dataclass
class Reported:
    """A node and its parts: columns of ``inventories`` by provider and class, columns of ``providers`` by UUID."""

    node_uuid: str
    traits: list[str]
    metrics: dict[str, float]
    inventories: dict[Key, dict[str, Any]] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """What was left out, and why: sentences."""


def is_resource_class(name: object) -> bool:
    """Return whether this is the name of a standard or custom resource class."""
    return isinstance(name, str) and (name in os_resource_classes.STANDARDS or bool(_CUSTOM.fullmatch(name)))


def is_trait(name: object) -> bool:
    """Return whether this is the name of a standard or custom trait."""
    return isinstance(name, str) and (name in _standard_traits() or bool(_CUSTOM.fullmatch(name)))


@functools.cache
def _standard_traits() -> frozenset[str]:
    return frozenset(os_traits.get_traits())


def check(node: NodeInventory, ratios: Mapping[str, float]) -> Reported:
    """Return what a node has. ``ratios`` are allocation ratios by resource class where the driver says none."""
    complaints: list[str] = []
    found = Reported(node.uuid, _traits(node.traits, "", complaints), _metrics(node.metrics, complaints))
    found.complaints = complaints
    ratios = {**ratios, **node.allocation_ratios}
    plain = {"VCPU": node.vcpus, "MEMORY_MB": node.memory_mib, "DISK_GB": node.disk_gib}
    stocks = {**{name: Inventory(total) for name, total in plain.items()}, **node.inventories}
    _stock(found, node.uuid, "", stocks, ratios, node.reserved)
    for part in node.providers:
        _part(found, part, ratios)
    for uuid, columns in found.parts.items():
        if not _reaches_node(found, uuid):
            complaints.append(f"part {columns['name']} is a part of one that is not reported, and taken for the node's")
            columns["parent_uuid"] = node.uuid
    return found


def _part(found: Reported, part: ProviderInventory, ratios: Mapping[str, float]) -> None:
    what = f"part {str(part.name)[:_NAME]}"
    trouble = None
    if not _is_uuid(part.uuid):
        trouble = "its uuid is none"
    elif part.uuid == found.node_uuid or part.uuid in found.parts:
        trouble = f"something else of the node has its uuid {part.uuid}"
    elif not isinstance(part.name, str) or not 0 < len(part.name) <= _NAME:
        trouble = f"its name has not 1 to {_NAME} characters"
    if trouble:
        found.complaints.append(f"{what} is left out: {trouble}")
        return
    found.parts[part.uuid] = {
        "parent_uuid": part.parent or found.node_uuid,
        "name": part.name,
        "traits": _traits(part.traits, f" of {what}", found.complaints),
    }
    _stock(found, part.uuid, f" of {what}", part.inventories, ratios, {})


def _reaches_node(found: Reported, uuid: str) -> bool:
    seen = {uuid}
    while (uuid := found.parts[uuid]["parent_uuid"]) != found.node_uuid:
        if uuid in seen or uuid not in found.parts:
            return False
        seen.add(uuid)
    return True


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(uuidlib.UUID(value)) == value
    except ValueError:
        return False


def _traits(names: Iterable[str], of: str, complaints: list[str]) -> list[str]:
    known = {name for name in names if is_trait(name)}
    strange = [str(name) for name in set(names) - known]
    complaints += [f"trait {name}{of} is left out: it is neither known nor CUSTOM_…" for name in sorted(strange)]
    return sorted(known)


def _metrics(values: Mapping[str, float], complaints: list[str]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(name, str) and len(name) <= _NAME and _is_number(value) and math.isfinite(value):
            metrics[name] = float(value)
        else:
            complaints.append(f"metric {str(name)[:_NAME]} is left out: it is no number")
    return metrics


def _stock(
    found: Reported, provider_uuid: str, of: str, stocks: Mapping[str, Inventory], ratios: Mapping[str, float],
    reserved: Mapping[str, int],
) -> None:  # fmt: skip
    for name, stock in stocks.items():
        if not is_resource_class(name):
            found.complaints.append(f"resource class {name}{of} is left out: it is neither known nor CUSTOM_…")
            continue
        ratio = ratios.get(name, 1.0) if stock.ratio is None else stock.ratio
        kept = stock.reserved or reserved.get(name, 0)
        trouble = _trouble(stock, ratio, kept)
        if trouble:
            found.complaints.append(f"{name}{of} is left out: {trouble}")
            continue
        kept = min(kept, stock.total)
        found.inventories[provider_uuid, name] = {
            "total": stock.total, "reserved": kept, "ratio": float(ratio),
            "capacity": Resource(stock.total, 0, kept, ratio).capacity,
            "step_size": stock.step_size, "min_unit": stock.min_unit, "max_unit": stock.max_unit,
        }  # fmt: skip


def _trouble(stock: Inventory, ratio: float, reserved: int) -> str | None:
    for name, value, least in (
        ("total", stock.total, 0), ("reserved", reserved, 0), ("step_size", stock.step_size, 1),
        ("min_unit", stock.min_unit, 1), ("max_unit", stock.max_unit, 1),
    ):  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_UNIT:
            return f"its {name} {value!r} is no number from {least} to {MAX_UNIT}"
    if not _is_number(ratio) or not 0 < ratio < math.inf or stock.total * ratio > _LARGEST:
        return f"its allocation ratio {ratio!r} cannot be"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
