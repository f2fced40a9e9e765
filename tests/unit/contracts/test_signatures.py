"""The contracts are what the committed snapshot says: a change that breaks plugins is a deliberate act.

``TENTER_UPDATE_SIGNATURES=1 pytest tests/unit/contracts`` writes the snapshot anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.unit.contracts.signatures import Change, advice, changes, signatures

SNAPSHOT = Path(__file__).with_name("signatures.txt")
NAME = re.compile(r"[\w.]+")


def read() -> dict[str, str]:
    found = {}
    for line in SNAPSHOT.read_text(encoding="utf-8").splitlines():
        match = NAME.match(line)
        assert match, line
        found[match.group()] = line[match.end() :]
    return found


def test_the_contracts_are_what_the_snapshot_says() -> None:
    now = signatures()
    if os.environ.get("TENTER_UPDATE_SIGNATURES"):
        SNAPSHOT.write_text("".join(f"{name}{text}\n" for name, text in sorted(now.items())), encoding="utf-8")
    found = changes(read(), now)
    assert not found, (
        f"the contracts are not what {SNAPSHOT.name} says:\n{advice(found)}\n"
        "then write the snapshot anew: TENTER_UPDATE_SIGNATURES=1 pytest tests/unit/contracts"
    )
    assert read() == now, "a version was raised: TENTER_UPDATE_SIGNATURES=1 pytest tests/unit/contracts"


@pytest.mark.parametrize(
    ("name", "text", "breaks"),
    [
        ("network.VIF.mtu", None, True),
        ("network.VIF.mtu", ": float = 1500", True),
        ("network.VIF.speed", ": int", True),
        ("network.VIF.speed", ": int = 0", False),
        ("network.NetworkDriver.plug", "(self, vif: VIF) -> None must be written", True),
        ("network.NetworkDriver.rename", "(self, name: str) -> None must be written", True),
        ("network.NetworkDriver.rename", "(self, name: str) -> None", False),
        ("network.SupportsSomething", " is a class of Power", False),
        ("base.Capability.since", ": str", True),
        ("scheduling.HostView.load", ": float = 0.0", False),
    ],
)
def test_what_breaks_and_what_adds(name: str, text: str | None, breaks: bool) -> None:
    before = read()
    after = {key: value for key, value in before.items() if key != name}
    if text is not None:
        after[name] = text
    (change,) = changes(before, after)
    assert (change.where, change.breaks) == (name, breaks)


def test_a_new_power_may_have_methods_that_must_be_written() -> None:
    added = {
        "network.SupportsSomething": " is a class of Power",
        "network.SupportsSomething.do": "(self) -> None must be written",
    }
    assert [change.breaks for change in changes(read(), {**read(), **added})] == [False, False]


def test_the_advice_names_each_contract_and_the_number() -> None:
    broken = advice([Change("network.VIF.mtu", "removed: network.VIF.mtu: int", True)])
    assert "breaks network 1.0: removed: network.VIF.mtu" in broken and "'network 2.0'" in broken
    added = advice([Change("scheduling.HostView.load", "added: scheduling.HostView.load: float = 0.0", False)])
    assert "'filter 1.1'" in added and "'weigher 1.1'" in added and "network" not in added
