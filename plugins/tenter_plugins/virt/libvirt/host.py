"""What the host is: versions, processor, capacity."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

GIB = 1 << 30


@dataclass(frozen=True)
class HostFacts:
    """Figures that do not change while the driver runs. Memory in MiB; ``version`` as libvirt counts QEMU's."""

    vcpus: int
    memory_mib: int
    version: int
    cpu_info: dict[str, Any]


def facts(conn: Any) -> HostFacts:
    """Return what libvirt says of the host. Raises libvirtError."""
    # libvirt's figure of memory is that of NUMA nodes, which misses memory that was plugged in later.
    memory_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    vcpus = conn.getInfo()[2]
    return HostFacts(vcpus, memory_mib, conn.getVersion(), cpu_info(conn.getCapabilities()))


def cpu_info(capabilities: str) -> dict[str, Any]:
    """Return arch, model, vendor, topology and features of the host's processor, from libvirt's capabilities.

    Format: https://libvirt.org/formatcaps.html. The keys are those of the Compute API's ``cpu_info``.
    """
    cpu = etree.fromstring(capabilities.encode()).find("host/cpu")
    if cpu is None:
        return {}
    topology = cpu.find("topology")
    counts = {} if topology is None else {key: int(topology.get(key, "1")) for key in ("sockets", "cores", "threads")}
    return {
        "arch": cpu.findtext("arch", ""),
        "model": cpu.findtext("model", ""),
        "vendor": cpu.findtext("vendor", ""),
        "topology": counts,
        "features": sorted(feature.get("name", "") for feature in cpu.findall("feature")),
    }


def disk_gib(path: Path) -> int:
    """Return the size in GiB of the filesystem that holds ``path``."""
    return shutil.disk_usage(path).total // GIB
