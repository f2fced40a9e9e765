"""Guest NUMA nodes: each is a group of VCPU and MEMORY_MB of a NUMA node of the host, and each of another one.

``hw:numa_nodes=N`` says how many; CPUs and memory are shared out evenly, or as ``hw:numa_cpus.0=0-1,4`` and
``hw:numa_mem.0=MIB`` say, of which there is one for each node then. An image may say the same (``hw_numa_nodes``, …),
but not what the flavor says already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import os_traits

from tenter import errors
from tenter.contracts.fit import MAX_GROUPS
from tenter.contracts.scheduling import MAX_UNIT, ResourceGroup

APART = "numa"
"""What keeps guest NUMA nodes on different nodes of the host."""

MAX_CPUS = 4096
"""The most virtual CPUs of a flavor that lists those of each guest NUMA node."""

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_ITEM = re.compile(r"(\^?)\s*([0-9]{1,20})\s*(?:-\s*([0-9]{1,20}))?", re.ASCII)
_SHOWN = 80


def groups(flavor: Mapping[str, Any], image_properties: Mapping[str, Any]) -> list[ResourceGroup]:
    """Return a group for each guest NUMA node, none if it is to have none. Raises Invalid, which names the key."""
    specs: Mapping[str, str] = flavor.get("extra_specs") or {}
    key, text = _either(specs, image_properties, "numa_nodes")
    if text is None:
        return []
    count = whole_number(text, key, MAX_GROUPS)
    cpus = _listed(specs, image_properties, "numa_cpus")
    memory = _listed(specs, image_properties, "numa_mem")
    vcpus, memory_mb = flavor["vcpus"], flavor["memory_mb"]
    if not cpus and not memory:
        for what, total in (("vCPUs", vcpus), ("MiB of memory", memory_mb)):
            if total % count:
                raise errors.Invalid(f"{key}: {total} {what} cannot be shared evenly by {count} NUMA nodes; say what "
                                     "each has, with hw:numa_cpus.N and hw:numa_mem.N.")  # fmt: skip
        return [_group(node, vcpus // count, memory_mb // count) for node in range(count)]
    if len(cpus) != count or len(memory) != count:
        raise errors.Invalid(f"{key}: for {count} NUMA nodes there must be numa_cpus and numa_mem of each, numbered "
                             f"from 0 on; there are {len(cpus)} and {len(memory)}.")  # fmt: skip
    numbers = _cpus_of_each(cpus, vcpus)
    amounts = [whole_number(text, key, MAX_UNIT) for key, text in memory]
    if sum(amounts) != memory_mb:
        raise errors.Invalid(f"{memory[0][0]}: the NUMA nodes have {sum(amounts)} MiB of memory together, and the "
                             f"flavor {memory_mb} MiB.")  # fmt: skip
    return [_group(node, number, amount) for node, (number, amount) in enumerate(zip(numbers, amounts))]


def _group(node: int, vcpus: int, memory_mb: int) -> ResourceGroup:
    wanted = {"VCPU": vcpus, "MEMORY_MB": memory_mb}
    resources = {name: amount for name, amount in wanted.items() if amount}
    return ResourceGroup(f"{APART}{node}", resources, frozenset({os_traits.HW_NUMA_ROOT}), apart=APART)


def _either(specs: Mapping[str, str], properties: Mapping[str, Any], name: str) -> tuple[str, str | None]:
    """Return the key of the flavor or the image that says something of it, and what. Raises Invalid if both do."""
    in_image = properties.get(f"hw_{name}")
    if specs.get(f"hw:{name}") is None:
        return f"image property hw_{name}", None if in_image is None else str(in_image)
    if in_image is not None:
        raise _forbidden(name)
    return f"hw:{name}", specs[f"hw:{name}"]


def _listed(specs: Mapping[str, str], properties: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """Return key and value of what is said of each node, from 0 on."""
    of_flavor = _numbered(specs, f"hw:{name}.", "")
    of_image = _numbered(properties, f"hw_{name}.", "image property ")
    if of_flavor and of_image:
        raise _forbidden(name)
    return of_flavor or of_image


def _numbered(values: Mapping[str, Any], prefix: str, called: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while (key := f"{prefix}{len(found)}") in values:
        found.append((called + key, str(values[key])))
    beyond = [
        key for key in values if key.startswith(prefix) and key not in {f"{prefix}{n}" for n in range(len(found))}
    ]
    if beyond:
        raise errors.Invalid(f"{called}{min(beyond)[:_SHOWN]}: NUMA nodes are numbered from 0 on, without a gap.")
    return found


def _forbidden(name: str) -> errors.Invalid:
    return errors.Invalid(f"Image property hw_{name} is not permitted to override the NUMA configuration set against "
                          f"the flavor (hw:{name}).")  # fmt: skip


def _cpus_of_each(listed: list[tuple[str, str]], vcpus: int) -> list[int]:
    """Return how many CPUs each node has. Raises Invalid unless each CPU of the flavor is in exactly one."""
    if vcpus > MAX_CPUS:
        raise errors.Invalid(f"{listed[0][0]}: CPUs of NUMA nodes can be listed for at most {MAX_CPUS} vCPUs.")
    left, counts = set(range(vcpus)), []
    for key, text in listed:
        own = cpu_set(text, key, vcpus)
        if not own <= left:
            raise errors.Invalid(f"{key}: CPU {min(own - left)} is in another NUMA node already.")
        left -= own
        counts.append(len(own))
    if left:
        raise errors.Invalid(f"{listed[-1][0]}: CPU {min(left)} is in no NUMA node.")
    return counts


def cpu_set(text: str, key: str, vcpus: int = MAX_CPUS) -> set[int]:
    """Return the CPUs of a list such as ``0-3,^2,6``. Raises Invalid, which names the key, if it is malformed,
    empty, or has a CPU beyond the last of ``vcpus``."""
    found: set[int] = set()
    without: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item.strip())
        if match is None:
            raise errors.Invalid(f"{key}: {text[:_SHOWN]!r} is no list of CPUs, such as 0-3,^2,6.")
        first = int(match[2])
        last = first if match[3] is None else int(match[3])
        if last < first:
            raise errors.Invalid(f"{key}: {item.strip()[:_SHOWN]!r} ends before it begins.")
        if last >= vcpus:
            raise errors.Invalid(f"{key}: there is no CPU {last}; the last is {vcpus - 1}.")
        (without if match[1] else found).update(range(first, last + 1))
    if not found - without:
        raise errors.Invalid(f"{key}: {text[:_SHOWN]!r} has no CPU.")
    return found - without


def whole_number(text: object, key: str, most: int) -> int:
    """Return an integer from 1 to ``most``. Raises Invalid, which names the key."""
    digits = str(text).strip()
    if not _NUMBER.fullmatch(digits) or not 1 <= int(digits) <= most:
        raise errors.Invalid(f"{key}: {digits[:_SHOWN]!r} must be an integer from 1 to {most}.")
    return int(digits)
