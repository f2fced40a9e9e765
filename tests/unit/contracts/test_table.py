"""The host table: looking for names, and what a row shows as a host."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenter.contracts import table as module
from tenter.contracts.scheduling import HostView, Resource
from tenter.contracts.table import HostTable
from tenter.scheduler.table import table_of
from tenter.testing.strategies import host_views

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


def table(*names: tuple[str, str]) -> HostTable:
    hosts = []
    for number, (host, node) in enumerate(names):
        uuid = f"00000000-0000-4000-8000-{number:012}"
        hosts.append(HostView(uuid, host, node, "nova", True, True, {"VCPU": Resource(number, 0)}))
    return table_of(hosts)


@given(
    st.lists(st.tuples(NAMES, NAMES), max_size=8), st.dictionaries(NAMES, st.integers(-3, 3)), st.permutations(range(8))
)
@settings(max_examples=100, deadline=None)
def test_names_are_found_in_whatever_rows_they_are(
    names: list[tuple[str, str]], numbers: dict[str, int], order: list[int]
) -> None:
    whole = table(*names)
    some = whole.take(np.array([row for row in order if row < len(names)][:5], np.int64))
    for each in (whole, dataclasses.replace(whole, up=~whole.up), some):
        assert each.among(numbers).tolist() == [host in numbers for host in each.host]
        assert each.among(set(numbers)).tolist() == [host in numbers for host in each.host]
        assert each.among_nodes(list(numbers)).tolist() == [node in numbers for node in each.node]
        assert each.by_host(numbers).tolist() == [numbers.get(host, 0) for host in each.host]


def test_names_are_gone_through_once_for_all_tables_of_the_same_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    first = table(("a", "x"), ("b", "y"), ("a", "z"))
    assert first.among({"a"}).tolist() == [True, False, True]

    def walked(self: Any) -> Any:
        raise AssertionError("all names were gone through once more")

    monkeypatch.setattr(module._Names, "__iter__", walked, raising=False)
    later = dataclasses.replace(dataclasses.replace(first, up=~first.up), enabled=~first.enabled)
    assert later.among({"b", "gone"}).tolist() == [False, True, False]
    assert later.by_host({"a": 2}).tolist() == [2, 0, 2]


@given(st.lists(host_views(), min_size=1, max_size=4, unique_by=lambda host: host.provider_uuid))
@settings(max_examples=50, deadline=None)
def test_a_row_is_the_host_that_it_was_made_of(hosts: list[HostView]) -> None:
    whole = table_of(hosts)
    for row, host in enumerate(hosts):
        for shown in (whole.view(row), copy.deepcopy(whole.view(row))):
            for one in dataclasses.fields(HostView):
                found, made = getattr(shown, one.name), getattr(host, one.name)
                if one.name == "images":
                    found, made = (sorted(map(repr, each)) for each in (found, made))
                assert found == made, one.name
            assert shown == whole.view(row) and len(shown.resources) == len(host.resources)
            assert repr(shown.resources) == repr({name: host.resources[name] for name in shown.resources})
            assert all(type(value) is type(getattr(host, name)) for name, value in plain(shown).items())


def plain(host: HostView) -> dict[str, object]:
    return {name: getattr(host, name) for name in ("enabled", "up", "failed_builds", "instances", "io_ops")}


def test_a_row_has_only_what_its_own_host_has() -> None:
    shown = table(("a", "x"), ("b", "y"))
    none, some = shown.view(0).resources, shown.view(1).resources
    assert "VCPU" not in none and none.get("VCPU") is None and not none
    assert some["VCPU"] == Resource(1, 0) and hash(some["VCPU"]) == hash(Resource(1, 0))
    with pytest.raises(KeyError):
        some["VGPU"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        some["VCPU"].total = 9  # type: ignore[misc]
    with pytest.raises(AttributeError):
        shown.view(1).host = "c"  # type: ignore[misc]
