"""Fleets of hosts, generated: rows of a cell's database, as computes would have reported them."""

from __future__ import annotations

import random
import uuid as uuidlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tenter.store.cell_schema import compute_nodes, inventories, services
from tenter.store.engine import Database, now

SIZES = ((16, 65_536, 500), (32, 131_072, 1000), (64, 262_144, 2000), (128, 1_048_576, 4000))
"""vCPUs, memory in MiB and disk in GiB of the kinds of hosts that there are."""

TRAITS = (["COMPUTE_NODE"], ["COMPUTE_NODE", "HW_CPU_X86_AVX2"], ["COMPUTE_NODE", "HW_CPU_X86_AVX2", "CUSTOM_FAST"])
_CHUNK = 5000


@dataclass
class Fleet:
    """``count`` hosts of one node each. ``used`` is the most of its capacity that a host has in use at first."""

    count: int
    seed: int = 7
    used: float = 0.6
    down: float = 0.02
    sizes: tuple[tuple[int, int, int], ...] = SIZES
    ratios: dict[str, float] = field(default_factory=lambda: {"VCPU": 4.0, "MEMORY_MB": 1.0, "DISK_GB": 1.0})

    def write(self, db: Database) -> None:
        """Insert the fleet into a cell's database."""
        hosts = list(self._hosts())
        for start in range(0, len(hosts), _CHUNK):
            part = hosts[start : start + _CHUNK]
            with db.write() as connection:
                connection.execute(sa.insert(services), [service for service, _, _ in part])
                connection.execute(sa.insert(compute_nodes), [node for _, node, _ in part])
                connection.execute(sa.insert(inventories), [stock for _, _, stocks in part for stock in stocks])

    def _hosts(self) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]]:
        rng, at = random.Random(self.seed), now()
        for number in range(self.count):
            name = f"host-{number:06d}"
            service, node = (str(uuidlib.UUID(int=rng.getrandbits(128), version=4)) for _ in range(2))
            away = rng.random() < self.down
            service_row = {
                "uuid": service, "host": name, "binary": "tenter-compute", "version": 1,
                "disabled": rng.random() < self.down, "forced_down": away, "last_seen": at + 86400, "created_at": at,
            }  # fmt: skip
            node_row = {
                "uuid": node, "service_uuid": service, "host": name, "hypervisor_hostname": name,
                "hypervisor_type": "QEMU", "hypervisor_version": 7_002_000 + 1000 * (number % 3),
                "host_ip": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
                "availability_zone": f"zone-{number % 3}", "cpu_info": {"arch": "x86_64"},
                "traits": TRAITS[rng.randrange(len(TRAITS))], "failed_builds": 0, "created_at": at, "updated_at": at,
            }  # fmt: skip
            yield service_row, node_row, list(self._stocks(node, rng))

    def _stocks(self, node: str, rng: random.Random) -> Iterator[dict[str, Any]]:
        size = self.sizes[rng.randrange(len(self.sizes))]
        share = rng.random() * self.used
        for resource_class, total in zip(("VCPU", "MEMORY_MB", "DISK_GB"), size, strict=True):
            capacity = int(total * self.ratios[resource_class])
            yield {
                "provider_uuid": node, "resource_class": resource_class, "total": total, "reserved": 0,
                "ratio": self.ratios[resource_class], "capacity": capacity, "used": int(capacity * share),
            }  # fmt: skip
