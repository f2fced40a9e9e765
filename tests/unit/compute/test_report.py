"""What a host keeps for itself is not given to guests."""

from __future__ import annotations

from tenter.store import hosts
from tests.conftest import MakeCloud


def test_memory_that_is_kept_for_the_host(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(compute={"reserved_host_memory_mb": 300}, fake={"memory_mib": 1000})
    memory = hosts.host_views(cloud.cell.db, 60)[0].resources["MEMORY_MB"]
    assert (memory.total, memory.reserved, memory.capacity) == (1000, 300, 700)
