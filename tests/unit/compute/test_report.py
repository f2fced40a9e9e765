"""What a host keeps for itself is not given to guests."""

from __future__ import annotations

from tenter.store import host_feed
from tests.conftest import MakeCloud


def test_memory_that_is_kept_for_the_host(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(compute={"reserved_host_memory_mb": 300}, fake={"memory_mib": 1000})
    memory = host_feed.read_all(cloud.cell.db).hosts[0].inventories["MEMORY_MB"]
    assert (memory.total, memory.reserved, memory.capacity) == (1000, 300, 700)
