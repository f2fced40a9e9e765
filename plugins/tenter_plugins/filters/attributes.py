"""What hosts are asked about by name: in ``capabilities:`` extra specs, and as variables of a JSON query.

The names are those of Nova's HostState, as its guide lists them. Numbers of a host and columns of a table are written
down once: what is said of ``subject`` holds for both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tenter.contracts.scheduling import HostView, Hypervisor
from tenter.contracts.table import HostTable

Subject = HostView | HostTable


def _of_resource(name: str, number: Callable[[Any], Any], nothing: float = 0) -> Callable[[Subject], Any]:
    def of(subject: Subject) -> Any:
        found = subject.resources.get(name)
        if found is not None:
            return number(found)
        return nothing if isinstance(subject, HostView) else subject.instances * nothing

    return of


def _ratio(name: str) -> Callable[[Subject], Any]:
    # A column has a ratio for hosts that have not the class, too.
    return _of_resource(name, lambda of: of.ratio * ((of.total != 0) | (of.used != 0)), 0.0)


NUMBERS: dict[str, Callable[[Subject], Any]] = {
    "vcpus_total": _of_resource("VCPU", lambda of: of.total),
    "vcpus_used": _of_resource("VCPU", lambda of: of.used + of.reserved),
    "total_usable_ram_mb": _of_resource("MEMORY_MB", lambda of: of.total),
    "free_ram_mb": _of_resource("MEMORY_MB", lambda of: of.total - of.reserved - of.used),
    "total_usable_disk_gb": _of_resource("DISK_GB", lambda of: of.total),
    "free_disk_mb": _of_resource("DISK_GB", lambda of: (of.total - of.reserved - of.used) * 1024),
    "disk_mb_used": _of_resource("DISK_GB", lambda of: (of.used + of.reserved) * 1024),
    "cpu_allocation_ratio": _ratio("VCPU"),
    "ram_allocation_ratio": _ratio("MEMORY_MB"),
    "disk_allocation_ratio": _ratio("DISK_GB"),
    "num_instances": lambda subject: subject.instances,
    "num_io_ops": lambda subject: subject.io_ops,
    "failed_builds": lambda subject: subject.failed_builds,
}
"""As Nova: what is free is not multiplied by the allocation ratio, and may be negative."""

NAMES: dict[str, Callable[[Subject], Any]] = {
    "host": lambda subject: subject.host,
    "nodename": lambda subject: subject.node,
    "hypervisor_hostname": lambda subject: subject.node,
    "host_ip": lambda subject: subject.host_ip,
}
"""What differs from host to host; of a table the column. It is never a figure: not everybody may know hosts' names."""


def further(hypervisor: Hypervisor) -> Mapping[str, object]:
    """Return the facts that a driver reports beside ``cpu_info``; none where its capabilities are that alone. Else an
    extra spec ``vendor``, which means something of an aggregate, would be compared with the maker of processors."""
    return hypervisor.capabilities if "cpu_info" in hypervisor.capabilities else {}


_FACTS: dict[str, Callable[[Hypervisor], Any]] = {
    "hypervisor_type": lambda hypervisor: hypervisor.type,
    "hypervisor_version": lambda hypervisor: hypervisor.version,
    "cpu_info": lambda hypervisor: hypervisor.capabilities.get("cpu_info", hypervisor.capabilities),
    "supported_instances": lambda hypervisor: hypervisor.capabilities.get("supported_instances"),
    "stats": further,
}


def fact(hypervisor: Hypervisor, path: Sequence[str]) -> Any:
    """Return what is known of a host's make under a path such as ``("cpu_info", "arch")``; None if nothing is.

    A first name that is not known is looked up in what the driver reports beside ``cpu_info``.
    """
    first, *rest = path
    found: Any = _FACTS[first](hypervisor) if first in _FACTS else further(hypervisor).get(first)
    for name in rest:
        if isinstance(found, str):  # drivers may report a part as the JSON of it
            try:
                found = json.loads(found)
            except (ValueError, RecursionError):
                return None
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def value(host: HostView, path: Sequence[str]) -> Any:
    """Return what a host has under a path, None if nothing."""
    known = NUMBERS.get(path[0]) or NAMES.get(path[0])
    if known is None:
        return fact(host.hypervisor, path)
    return known(host) if len(path) == 1 else None


def always(name: str) -> bool:
    """Return whether every host has something of that name, whatever its driver reports."""
    return name in NUMBERS or name in NAMES or name in _FACTS
