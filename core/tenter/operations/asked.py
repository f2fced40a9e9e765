"""What a flavor's extra specs and an image's properties ask of a host: resource classes, traits and resource groups.

====================================  ==================================================================================
``resources:CLASS=N``                 That much of a class; in place of the flavor's own amount of VCPU, MEMORY_MB or
                                      DISK_GB, of which 0 is none
``resources{suffix}:CLASS=N``         The same, of one provider: all that have one suffix are a group
``trait:NAME=required|forbidden``     A trait that the host must have, or must not
``trait{suffix}:NAME=…``              The same, of the provider that serves the group
``group_policy=none|isolate``         Whether each group comes from another provider
``hw:numa_nodes`` and the like        See :mod:`tenter.operations.numa`
``pci_passthrough:alias=NAME:N,…``    Devices of an alias, each a group of its own
====================================  ==================================================================================

An image may have ``trait:`` and ``trait{suffix}:``, which add to the flavor's. Whatever is malformed raises Invalid
with a sentence that names the key, here and so for the API, which asks before anything is made.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import os_resource_classes

from tenter import errors
from tenter.conf.pci import PciAlias
from tenter.contracts.fit import MAX_GROUPS
from tenter.contracts.scheduling import MAX_UNIT, ResourceGroup
from tenter.operations import numa

KEY = re.compile(r"(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.*)", re.DOTALL)
"""The keys of resources and traits: which of both, the suffix of the group, and the name of the class or the trait."""

GROUP_POLICY, ALIAS = "group_policy", "pci_passthrough:alias"
REQUIRED, FORBIDDEN = "required", "forbidden"
_CUSTOM = re.compile(r"CUSTOM_[A-Z0-9_]+")
_AMOUNT = re.compile(r"[0-9]{1,20}", re.ASCII)
_SHOWN = 80


@dataclass(frozen=True)
class Asked:
    """What is asked of a host; the fields are those of a placement request."""

    resources: Mapping[str, int]
    required_traits: frozenset[str] = frozenset()
    forbidden_traits: frozenset[str] = frozenset()
    groups: tuple[ResourceGroup, ...] = ()
    isolate: bool = False


@dataclass
class _Part:
    """What has one suffix, as it is being read. Traits by their names, with the key and whether each is required."""

    resources: dict[str, int] = field(default_factory=dict)
    traits: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add_trait(self, name: str, wanted: str, key: str) -> None:
        known = self.traits.setdefault(name, (wanted, key))
        if known[0] != wanted:
            raise errors.Invalid(
                f"{key}: image and flavor contradict each other; one requires the trait, one forbids it."
            )

    def having(self, wanted: str) -> frozenset[str]:
        return frozenset(name for name, (word, _) in self.traits.items() if word == wanted)


def flavor_amounts(flavor: Mapping[str, Any]) -> dict[str, int]:
    """Return what a flavor says of each resource class without its extra specs; swap (MiB) is rounded up to GiB."""
    disk = flavor["root_gb"] + flavor["ephemeral_gb"] + -(-flavor["swap"] // 1024)
    return {"VCPU": flavor["vcpus"], "MEMORY_MB": flavor["memory_mb"], "DISK_GB": disk}


def asked(flavor: Mapping[str, Any], image_properties: Mapping[str, Any], aliases: Iterable[PciAlias] = ()) -> Asked:
    """Return what a flavor and an image ask of a host. Raises Invalid, which names the key that is malformed."""
    specs: Mapping[str, str] = flavor.get("extra_specs") or {}
    parts = _parts(specs, image_properties)
    whole = parts.pop("", _Part())
    resources = {name: amount for name, amount in _whole(flavor, whole, parts).items() if amount}
    groups = [_group(suffix, part) for suffix, part in parts.items() if any(part.resources.values()) or part.traits]
    policy = group_policy(specs.get(GROUP_POLICY))
    if policy is None and len(groups) > 1:
        raise errors.Invalid(f"{GROUP_POLICY} is missing: the flavor has {len(groups)} groups of resources, so it must "
                             "say whether each must come from another provider (isolate) or not (none).")  # fmt: skip
    groups += numa.groups(flavor, image_properties)
    groups += _devices(specs.get(ALIAS), aliases)
    if len(groups) > MAX_GROUPS:
        raise errors.Invalid(f"The flavor asks for {len(groups)} groups of resources, guest NUMA nodes and devices; at "
                             f"most {MAX_GROUPS} can be asked for.")  # fmt: skip
    return Asked(resources, whole.having(REQUIRED), whole.having(FORBIDDEN), tuple(groups), policy == "isolate")


def image_traits(properties: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the traits that an image requires and those that it forbids, of whatever provider. Raises Invalid."""
    traits: dict[str, set[str]] = {REQUIRED: set(), FORBIDDEN: set()}
    for part in _parts({}, properties).values():
        for name, (wanted, _) in part.traits.items():
            traits[wanted].add(name)
    return frozenset(traits[REQUIRED]), frozenset(traits[FORBIDDEN])


def _parts(specs: Mapping[str, str], image_properties: Mapping[str, Any]) -> dict[str, _Part]:
    """Return what is asked by suffix, that of the host as a whole by the empty one."""
    parts: dict[str, _Part] = {}
    for key, value in sorted(specs.items()):
        match = KEY.fullmatch(key)
        if match is None:
            continue
        part = parts.setdefault(match[2] or "", _Part())
        if match[1] == "resources":
            part.resources[resource_class(match[3], key)] = amount(value, key)
        else:
            part.add_trait(trait(match[3], key), trait_value(value, key), key)
    for key, value in sorted(image_properties.items()):
        match = KEY.fullmatch(key)
        if match is not None and match[1] == "trait":
            name = f"image property {key}"
            wanted = trait_value(value, name)
            parts.setdefault(match[2] or "", _Part()).add_trait(trait(match[3], name), wanted, name)
    return parts


def _whole(flavor: Mapping[str, Any], whole: _Part, parts: Mapping[str, _Part]) -> dict[str, int]:
    """Return the amounts of the host as a whole: the flavor's own, but for classes that an extra spec says anything of,
    with or without a suffix. Whoever asks for PCPU says what CPUs there are to be."""
    said = {name for part in (whole, *parts.values()) for name in part.resources}
    if "PCPU" in said:
        said.add("VCPU")
    found = {name: number for name, number in flavor_amounts(flavor).items() if name not in said}
    for name, number in found.items():
        if number > MAX_UNIT:
            raise errors.Invalid(f"The flavor asks for {number} of {name}; at most {MAX_UNIT} can be asked for.")
    return {**found, **whole.resources}


def _group(suffix: str, part: _Part) -> ResourceGroup:
    resources = {name: number for name, number in part.resources.items() if number}
    if not resources:
        key = next(iter(part.traits.values()))[1]
        raise errors.Invalid(f"{key}: there is no resources{suffix}:CLASS, which would say what is asked of the "
                             "provider that has the trait.")  # fmt: skip
    return ResourceGroup(suffix, resources, part.having(REQUIRED), part.having(FORBIDDEN))


def _devices(text: str | None, aliases: Iterable[PciAlias]) -> list[ResourceGroup]:
    known = {alias.name: alias for alias in aliases}
    groups: list[ResourceGroup] = []
    for name, count in devices(text):
        if name not in known:
            raise errors.Invalid(f"{ALIAS}: PCI alias {name[:_SHOWN]} is not defined.")
        alias = known[name]
        for _ in range(count):
            groups.append(ResourceGroup(f"pci{len(groups)}", {alias.resource_class: 1}, alias.traits))
    return groups


def devices(text: str | None) -> list[tuple[str, int]]:
    """Return the names of PCI aliases and how many devices of each, of ``NAME:COUNT,…``; no text is none.

    Raises Invalid if it is malformed, or for more than :data:`MAX_GROUPS` devices.
    """
    found = []
    for item in () if text is None else text.split(","):
        name, colon, count = (word.strip() for word in item.partition(":"))
        if not colon or not name or not _AMOUNT.fullmatch(count) or int(count) < 1:
            raise errors.Invalid(
                f"{ALIAS}: {item[:_SHOWN]!r} is not of the form NAME:COUNT, with a count of 1 or more."
            )
        found.append((name, int(count)))
    if sum(count for _, count in found) > MAX_GROUPS:
        raise errors.Invalid(f"{ALIAS}: more than {MAX_GROUPS} devices cannot be asked for.")
    return found


def amount(text: object, key: str) -> int:
    """Return an amount of a resource class. Raises Invalid, which names the key: it is none, or not 0 to 2**31-1."""
    digits = str(text).strip()
    if not _AMOUNT.fullmatch(digits) or int(digits) > MAX_UNIT:
        raise errors.Invalid(f"{key}: {digits[:_SHOWN]!r} is no amount; it must be an integer from 0 to {MAX_UNIT}.")
    return int(digits)


def resource_class(name: str, key: str) -> str:
    """Return the name if it is a resource class's, a standard or a custom one. Raises Invalid, which names the key."""
    if name in os_resource_classes.STANDARDS or _is_custom(name):
        return name
    raise errors.Invalid(f"{key}: {name[:_SHOWN]!r} is no resource class; there are the standard ones and CUSTOM_…, of "
                         "capital letters, digits and underscores.")  # fmt: skip


def trait(name: str, key: str) -> str:
    """Return the name if it is a trait's, a standard or a custom one. Raises Invalid, which names the key."""
    if name in _traits() or _is_custom(name):
        return name
    raise errors.Invalid(f"{key}: {name[:_SHOWN]!r} is no trait; there are the standard ones and CUSTOM_…, of capital "
                         "letters, digits and underscores.")  # fmt: skip


def trait_value(text: object, key: str) -> str:
    """Return ``required`` or ``forbidden``. Raises Invalid, which names the key."""
    return _word(text, key, REQUIRED, FORBIDDEN)


def group_policy(text: object) -> str | None:
    """Return ``none`` or ``isolate``, None if nothing is said. Raises Invalid."""
    return None if text is None else _word(text, GROUP_POLICY, "none", "isolate")


def _word(text: object, key: str, *words: str) -> str:
    if text not in words:
        raise errors.Invalid(f"{key}: {str(text)[:_SHOWN]!r} is not one of {', '.join(words)}.")
    return str(text)


def _is_custom(name: str) -> bool:
    return len(name) <= 255 and _CUSTOM.fullmatch(name) is not None


@functools.cache
def _traits() -> frozenset[str]:
    import os_traits  # here, for it reads all its modules, and few processes ask

    return frozenset(os_traits.get_traits())
