"""The pipeline decides as a plain reference does that asks one filter about one host at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter.conf import new_conf
from tenter.contracts.filter import Filter, HostFilter
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.weigher import Weigher
from tenter.plugins import enabled, load_all
from tenter.scheduler.sift import Sieve
from tests.unit.scheduler import fabrics, plain
from tests.unit.scheduler.test_pipeline import World

CONF = f"""\
[filters]
max_io_ops_per_host = 3
max_instances_per_host = 4
isolated_hosts = h1, h2
isolated_images = {fabrics.IMAGES[0]}
[weighers]
metrics_weight_setting = cpu.percent=-1.0, numa.membw.current=0.5
num_instances_weight_multiplier = -0.7
image_props_weight_multiplier = 1.5
image_props_weight_setting = os_distro=2
build_failure_threshold = 2
"""
SHIPPED = {
    kind: sorted(
        entry.name for entry in entry_points(group=f"tenter.scheduler.{kind}s")
        if entry.value.startswith("tenter_plugins.")
    )
    for kind in ("filter", "weigher")
}  # fmt: skip


def _there(figures: Mapping[str, object]) -> dict[str, object]:
    """Return the figures of a host; where others that were refused with its code have more, it has None."""
    return {key: value for key, value in figures.items() if value is not None}


class Pair:
    """The pipeline and the reference, with the same plugins."""

    def __init__(self, directory: Path, text: str) -> None:
        path = directory / "tenter.conf"
        path.write_text(text)
        self.world = World(directory)
        self.conf = self.world.conf = new_conf([str(path)], directory)
        self.filters = load_all("filter", SHIPPED["filter"], Filter, self.conf, directory)
        self.weighers = load_all("weigher", SHIPPED["weigher"], Weigher, self.conf, directory)
        # One for all, for each has a thread of its own.
        self._scheduler: Any = self.world.scheduler(seed=1)
        self.world.views = dict.fromkeys(fabrics.CELLS, [])
        self.default = [enabled(kind, self.conf) for kind in ("filter", "weigher")]

    def compare(
        self, names: Sequence[str], weighing: Sequence[str], hosts: list[HostView], request: PlacementRequest
    ) -> tuple[set[str], int]:
        """Decide by both and compare; return what refused hosts, and how many are left."""
        filters = [(name, one) for wanted in names for name, one in self.filters if name == wanted]
        weighers = [(name, one) for wanted in weighing for name, one in self.weighers if name == wanted]
        self.world.views = {cell: [host for host in hosts if host.cell == cell] for cell in fabrics.CELLS}
        self._scheduler._sieve, self._scheduler._weighers = Sieve(filters), weighers
        decision = self._scheduler.select(request)
        found: dict[int, Any] = {row: decision.refusal_of(row) for row in range(len(hosts))}
        said = {row: why and (why[0].filter, why[0].code, _there(why[1])) for row, why in found.items()}
        wanted = {row: plain.first_refusal(filters, host, request, self.conf) for row, host in enumerate(hosts)}
        assert said == wanted
        left = [row for row, why in wanted.items() if why is None]
        assert decision.sifted.rows.tolist() == left
        self._ranked(decision, weighers, [hosts[row] for row in left], left, request)
        return {f"{why[0]} {why[1]}" for why in wanted.values() if why}, len(left)

    def _ranked(self, decision: Any, weighers: Any, hosts: list[HostView], rows: list[int], request: Any) -> None:
        assert decision.weighed.troubles == {}
        wanted = plain.weights(weighers, hosts, request, self.conf)
        # Of a sum of millions the last digits are lost, whoever adds up.
        near = 1e-9 * max((abs(weight) for weight in wanted), default=0.0) + 1e-9
        assert decision.weighed.total.tolist() == pytest.approx(wanted, rel=0, abs=near)
        candidates = list(decision.candidates)
        assert sorted(candidate.row for candidate in candidates) == rows
        of = dict(zip(rows, wanted, strict=True))
        ordered = [of[candidate.row] for candidate in candidates]
        assert all(one >= other - near for one, other in zip(ordered, ordered[1:]))
        assert not ordered or ordered[0] >= max(wanted) - near


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("tuned"), CONF)


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("default"), "")


def test_nothing_that_is_shipped_is_left_out(tuned: Pair) -> None:
    assert [name for name, _ in tuned.filters] == SHIPPED["filter"]
    assert [name for name, _ in tuned.weighers] == SHIPPED["weigher"] == sorted(plain.NUMBERS)
    rules = {name for name, one in tuned.filters if isinstance(one, HostFilter)}
    assert {name for name, _ in tuned.filters} - rules == plain.RULES.keys()


few_hosts = st.lists(fabrics.hosts(), max_size=7).map(fabrics.fabric)
slow = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(hosts=few_hosts, request=fabrics.requests())
def test_the_default_configuration(default: Pair, hosts: list[HostView], request: PlacementRequest) -> None:
    default.compare(*default.default, hosts, request)


def some(kind: str) -> st.SearchStrategy[list[str]]:
    """Plugins of a kind, in any order."""
    return st.lists(st.sampled_from(SHIPPED[kind]), unique=True)


@slow
@given(hosts=few_hosts, request=fabrics.requests(), names=some("filter"), weighing=some("weigher"))
def test_any_of_them_in_any_order(
    tuned: Pair, hosts: list[HostView], request: PlacementRequest, names: list[str], weighing: list[str]
) -> None:
    tuned.compare(names, weighing, hosts, request)


def test_each_alone_on_a_larger_fabric(tuned: Pair) -> None:
    hosts = fabrics.fabric(fabrics.many(fabrics.hosts(), 40, 100))
    silent = {*SHIPPED["filter"]} - {"AllHostsFilter"}
    for number, request in enumerate(fabrics.many(fabrics.requests(), 100, 200)):
        for name in SHIPPED["filter"] if number < 15 else sorted(silent):
            refused, _ = tuned.compare([name], [], hosts, request)
            silent -= {why.split()[0] for why in refused}
        if not silent:
            break
    assert not silent


def test_larger_fabrics(default: Pair) -> None:
    everything = fabrics.fabric(fabrics.many(fabrics.hosts(), 200, 300))
    refused, passed = set(), 0
    for request in fabrics.many(fabrics.requests(), 30, 400):
        found, left = default.compare(*default.default, everything, request)
        refused |= found
        passed += left
    assert passed > 100 and len(refused) > 15
