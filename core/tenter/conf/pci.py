"""Section pci: devices of hosts that flavors ask for."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import os_resource_classes
from oslo_config import cfg, types

_ID = re.compile(r"[0-9a-fA-F]{4}")
_WORDS = {
    "capability_type": ("pci",),
    "device_type": ("type-PCI", "type-PF", "type-VF"),
    "numa_policy": ("required", "preferred", "legacy", "socket"),
}
_TEXTS = ("name", "vendor_id", "product_id", "resource_class", "traits", "live_migratable", *_WORDS)


@dataclass(frozen=True)
class PciAlias:
    """What one device of an alias is: a unit of a resource class, from a provider that has the traits."""

    name: str
    resource_class: str
    traits: frozenset[str] = frozenset()


def pci_alias(text: str) -> PciAlias:
    """Return the alias that a text of JSON describes. Raises ValueError, whose sentence says what is wrong with it."""
    try:
        spec: Any = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"It is no JSON: {exc}") from None
    if not isinstance(spec, dict):
        raise ValueError("It is no JSON object.")
    for key, value in spec.items():
        if key not in _TEXTS:
            raise ValueError(f"There is no key {key!r} in an alias.")
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{key} must be a text that is not empty.")
        if key in _WORDS and value not in _WORDS[key]:
            raise ValueError(f"{key} must be one of {', '.join(_WORDS[key])}.")
        if key in ("vendor_id", "product_id") and not _ID.fullmatch(value):
            raise ValueError(f"{key} must be four hexadecimal digits.")
    name = spec.get("name", "").strip()
    if not name or set(name) & set(":,"):
        raise ValueError("name is missing, or has a colon or a comma in it.")
    traits = frozenset(_trait(word.strip()) for word in spec.get("traits", "").split(",") if word.strip())
    return PciAlias(name, _resource_class(spec), traits)


def _resource_class(spec: dict[str, str]) -> str:
    if "resource_class" in spec:
        name = spec["resource_class"].strip().upper()
        return name if name in os_resource_classes.STANDARDS else _custom(name)
    if "vendor_id" not in spec or "product_id" not in spec:
        raise ValueError("Either vendor_id and product_id or resource_class must be there.")
    return f"CUSTOM_PCI_{spec['vendor_id']}_{spec['product_id']}".upper()


def _custom(name: str) -> str:
    return "CUSTOM_" + re.sub(r"[^A-Z0-9_]+", "_", name.upper().removeprefix("CUSTOM_"))


def _trait(name: str) -> str:
    import os_traits  # here, for it looks for its modules, which takes a while, and most have no alias

    return name.upper() if name.upper() in os_traits.get_traits() else _custom(name)


class _AliasType(types.ConfigType):
    """An alias as JSON."""

    def __init__(self) -> None:
        super().__init__(type_name="JSON value")

    def __call__(self, value: object) -> Any:
        if isinstance(value, list):  # the default as a whole
            return [self(each) for each in value]
        return value if isinstance(value, PciAlias) else pci_alias(str(value))

    def __repr__(self) -> str:
        return "JSON"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AliasType)

    __hash__ = None  # type: ignore[assignment]

    def _formatter(self, value: object) -> str:
        return str(value)


OPTS = [
    cfg.MultiOpt(
        "alias", item_type=_AliasType(), default=[],
        help="A name for devices that flavors ask for (pci_passthrough:alias=NAME:COUNT), as a JSON object: name, and "
             "vendor_id and product_id (a device is then a unit of resource class CUSTOM_PCI_VENDOR_PRODUCT), or "
             "resource_class; traits, separated by commas, that the device must have. device_type, numa_policy and "
             "live_migratable may stand there, and do nothing to where servers go. May be repeated for more aliases; "
             "of two with one name the last counts.",
    ),
]  # fmt: skip
