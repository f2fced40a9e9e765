"""Together and apart: hints, networks, server groups, isolated hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenter.contracts.scheduling import ServerGroup
from tenter.contracts.table import ACCEPT_ALL
from tenter.scheduler.table import table_of
from tenter_plugins.filters.affinity import DifferentHostFilter, SameHostFilter, SimpleCIDRAffinityFilter
from tenter_plugins.filters.isolated_hosts import IsolatedHostsFilter
from tenter_plugins.filters.server_groups import ServerGroupAffinityFilter, ServerGroupAntiAffinityFilter
from tests.unit.filters.world import ask, codes, host, make, refused

A, B = "a0cf03a5-d921-4877-bb5c-86d26cf818e1", "8c19174f-4220-44f0-824a-cd1eeef10287"
VIEWS = [host("h1"), host("h2"), host("h3")]
WHERE = {A: "h1", B: "h2"}


@pytest.mark.parametrize(
    ("value", "here"),
    [(A, {"h1"}), ([A, B], {"h1", "h2"}), ([A], {"h1"}), (["gone"], set()), ([], None), (None, None), ("", None)],
)
def test_same_and_different_hosts(tmp_path: Path, value: Any, here: set[str] | None) -> None:
    every = {"h1", "h2", "h3"}
    same = codes(make(SameHostFilter, tmp_path), VIEWS, ask(hints={"same_host": value}, hosts_of=WHERE))
    assert same == ({} if here is None else dict.fromkeys(every - here, "same_host.elsewhere"))
    apart = codes(make(DifferentHostFilter, tmp_path), VIEWS, ask(hints={"different_host": value}, hosts_of=WHERE))
    assert apart == dict.fromkeys(here or (), "different_host.here")


@pytest.mark.parametrize("value", [7, {"a": 1}, [["x"], "y"], [A, 5]])
def test_a_malformed_hint_refuses_all_with_its_name(tmp_path: Path, value: Any) -> None:
    for cls, name in ((SameHostFilter, "same_host"), (DifferentHostFilter, "different_host")):
        found = refused(make(cls, tmp_path), VIEWS, ask(hints={name: value}))
        assert found == {view.host: ("hint.malformed", {"hint": name}) for view in VIEWS}


NETWORKS = [host("near", host_ip="192.168.1.9"), host("far", host_ip="192.168.2.9"), host("six", host_ip="fd00::9"),
            host("odd", host_ip="here")]  # fmt: skip


@pytest.mark.parametrize(
    ("hints", "near"),
    [
        ({"build_near_host_ip": "192.168.1.1", "cidr": "/24"}, {"near"}),
        ({"build_near_host_ip": "192.168.1.1", "cidr": "24"}, {"near"}),
        ({"build_near_host_ip": ["192.168.1.1"], "cidr": [24]}, {"near"}),
        ({"build_near_host_ip": "192.168.1.1"}, {"near"}),
        ({"build_near_host_ip": "192.168.1.1", "cidr": "/16"}, {"near", "far"}),
        ({"build_near_host_ip": "fd00::1", "cidr": "/64"}, {"six"}),
        ({"cidr": "/24"}, {"near", "far", "six", "odd"}),
    ],
)
def test_networks(tmp_path: Path, hints: dict[str, Any], near: set[str]) -> None:
    found = codes(make(SimpleCIDRAffinityFilter, tmp_path), NETWORKS, ask(hints=hints))
    assert found == dict.fromkeys({view.host for view in NETWORKS} - near, "host_ip.outside")


@pytest.mark.parametrize(
    "hints",
    [{"build_near_host_ip": "here"}, {"build_near_host_ip": "10.0.0.1", "cidr": "/33"}, {"build_near_host_ip": 7},
     {"build_near_host_ip": "10.0.0.1", "cidr": "255.0.0.0"}, {"build_near_host_ip": "10.0.0.1", "cidr": [1, 2]},
     {"build_near_host_ip": "10.0.0.1\0"}, {"build_near_host_ip": "10.0.0.1", "cidr": ""}],
)  # fmt: skip
def test_a_malformed_network_refuses_all(tmp_path: Path, hints: dict[str, Any]) -> None:
    found = codes(make(SimpleCIDRAffinityFilter, tmp_path), NETWORKS, ask(hints=hints))
    assert found == {view.host: "hint.malformed" for view in NETWORKS}


def test_affinity(tmp_path: Path) -> None:
    judge = make(ServerGroupAffinityFilter, tmp_path)
    group = ServerGroup("g", "affinity", members={"h2": 1})
    assert codes(judge, VIEWS, ask(server_group=group)) == dict.fromkeys(("h1", "h3"), "server_group.elsewhere")
    for other in (None, ServerGroup("g", "affinity"), ServerGroup("g", "soft-affinity", members={"h2": 1})):
        assert codes(judge, VIEWS, ask(server_group=other)) == {}


def test_anti_affinity_and_its_rule(tmp_path: Path) -> None:
    judge = make(ServerGroupAntiAffinityFilter, tmp_path)
    members = {"h1": 1, "h2": 3, "gone": 9}
    full = "server_group.full"
    found = refused(judge, VIEWS, ask(server_group=ServerGroup("g", "anti-affinity", members=members)))
    assert found == {"h1": (full, {"host": 1, "most": 1}), "h2": (full, {"host": 3, "most": 1})}
    found = refused(judge, VIEWS, ask(server_group=ServerGroup("g", "anti-affinity", 3, members)))
    assert found == {"h2": (full, {"host": 3, "most": 3})}
    for other in (
        None,
        ServerGroup("g", "anti-affinity", 4, {"h1": 1}),
        ServerGroup("g", "soft-anti-affinity", 1, members),
    ):
        assert judge.mask(table_of(VIEWS), ask(server_group=other)) is ACCEPT_ALL


@pytest.mark.parametrize(
    ("image", "restrict", "expected"),
    [
        ("iso", True, {"h2": "host.not_isolated", "h3": "host.not_isolated"}),
        ("iso", False, {"h2": "host.not_isolated", "h3": "host.not_isolated"}),
        ("plain", True, {"h1": "host.isolated"}), (None, True, {"h1": "host.isolated"}),
        ("plain", False, {}), (None, False, {}),
    ],
)  # fmt: skip
def test_isolated_hosts(tmp_path: Path, image: str | None, restrict: bool, expected: dict[str, str]) -> None:
    options = {"isolated_hosts": ["h1"], "isolated_images": ["iso"]}
    options["restrict_isolated_hosts_to_isolated_images"] = restrict  # type: ignore[assignment]
    assert codes(make(IsolatedHostsFilter, tmp_path, **options), VIEWS, ask(image_id=image)) == expected


def test_isolated_hosts_without_images_or_hosts(tmp_path: Path) -> None:
    assert codes(make(IsolatedHostsFilter, tmp_path, isolated_hosts=["h1"]), VIEWS, ask()) == {"h1": "host.isolated"}
    judge = make(IsolatedHostsFilter, tmp_path)
    assert judge.mask(table_of(VIEWS), ask(image_id="plain")) is ACCEPT_ALL
