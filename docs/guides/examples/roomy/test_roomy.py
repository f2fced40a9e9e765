"""Examples of what the filter says."""

from __future__ import annotations

from tenter_roomy.filter import RoomyFilter

from tenter.contracts.base import PluginSetup
from tenter.contracts.scheduling import Aggregate, HostView, PlacementRequest, Resource
from tenter.scheduler.table import table_of
from tenter.testing.filter import verdicts

UUID = "5f0c1a3e-0000-4000-8000-00000000000"


def host(number, used, *aggregates):
    memory = {"MEMORY_MB": Resource(total=1000, used=used)}
    name = f"h{number}"
    return HostView(f"{UUID}{number}", name, name, "nova", True, True, memory, aggregates=aggregates)


def test_a_tenth_is_left(tmp_path):
    table = table_of([host(0, 0), host(1, 850), host(2, 850, Aggregate(1, "dense", {"crowded": "yes"}))])
    request = PlacementRequest("i", "p", {"MEMORY_MB": 100})
    roomy = RoomyFilter(PluginSetup(conf=None, state_dir=tmp_path))
    first, second, third = verdicts(roomy, table, request)
    assert first.ok and third.ok
    assert (second.code, second.figures) == ("memory.crowded", {"left": 50, "least": 100})
