"""Whatever a driver reports: what can be is written, what cannot is left out and said, and nothing breaks."""

from __future__ import annotations

import uuid as uuidlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter.contracts.virt import Inventory, NodeInventory, ProviderInventory
from tenter.store import inventory, reported

NODE = NodeInventory(str(uuidlib.UUID(int=1)), "n", 4, 100, 10)
PART = ProviderInventory(str(uuidlib.UUID(int=2)), "gpu", {"VGPU": Inventory(4)})
BASE = {"VCPU", "MEMORY_MB", "DISK_GB"}


def _classes(found: reported.Reported) -> set[str]:
    return {name for _, name in found.inventories}


@pytest.mark.parametrize(
    ("stock", "said"),
    [
        (Inventory(-1), "total -1"),
        (Inventory(2**31), "total 2147483648"),
        (Inventory(True), "total True"),
        (Inventory("4"), "total '4'"),  # type: ignore[arg-type]
        (Inventory(4, reserved=-1), "reserved -1"),
        (Inventory(4, step_size=0), "step_size 0"),
        (Inventory(4, min_unit=0), "min_unit 0"),
        (Inventory(4, max_unit=2**31), "max_unit 2147483648"),
        (Inventory(4, ratio=0), "allocation ratio 0"),
        (Inventory(4, ratio=float("nan")), "allocation ratio nan"),
        (Inventory(4, ratio=1e300), "allocation ratio 1e+300"),
    ],
)
def test_what_cannot_be_is_left_out(stock: Inventory, said: str) -> None:
    found = reported.check(replace(NODE, inventories={"CUSTOM_X": stock, "CUSTOM_Y": Inventory(1)}), {})
    assert _classes(found) == BASE | {"CUSTOM_Y"}
    assert len(found.complaints) == 1 and said in found.complaints[0] and "CUSTOM_X" in found.complaints[0]


@pytest.mark.parametrize("name", ["NO_SUCH", "custom_x", "CUSTOM_x", "CUSTOM_", "CUSTOM_" + "X" * 300, "VCPU "])
def test_names_nobody_knows_are_left_out(name: str) -> None:
    node = replace(NODE, inventories={name: Inventory(1)}, traits=frozenset({name, "HW_CPU_X86_AVX", "CUSTOM_OK"}))
    found = reported.check(node, {})
    assert _classes(found) == BASE and found.traits == ["CUSTOM_OK", "HW_CPU_X86_AVX"]
    assert len(found.complaints) == 2


def test_who_says_what_of_ratios_and_reserved() -> None:
    node = replace(
        NODE, allocation_ratios={"DISK_GB": 3.0}, reserved={"MEMORY_MB": 20, "DISK_GB": 99},
        inventories={"VCPU": Inventory(8, ratio=1.0, step_size=2), "CUSTOM_X": Inventory(5, reserved=1)},
        providers=(replace(PART, inventories={"VCPU": Inventory(2)}),),
    )  # fmt: skip
    found = reported.check(node, {"VCPU": 16.0, "MEMORY_MB": 1.5, "DISK_GB": 1.1}).inventories
    said = {key: (row["total"], row["reserved"], row["ratio"], row["capacity"]) for key, row in found.items()}
    assert said == {
        (NODE.uuid, "VCPU"): (8, 0, 1.0, 8), (NODE.uuid, "MEMORY_MB"): (100, 20, 1.5, 120),
        (NODE.uuid, "DISK_GB"): (10, 10, 3.0, 0), (NODE.uuid, "CUSTOM_X"): (5, 1, 1.0, 4),
        (PART.uuid, "VCPU"): (2, 0, 16.0, 32),
    }  # fmt: skip
    assert found[NODE.uuid, "VCPU"]["step_size"] == 2


@pytest.mark.parametrize(
    ("parts", "kept", "said"),
    [
        ([replace(PART, uuid="gpu")], {}, "its uuid is none"),
        ([replace(PART, uuid=NODE.uuid)], {}, "has its uuid"),
        ([PART, replace(PART, name="again")], {PART.uuid: NODE.uuid}, "has its uuid"),
        ([replace(PART, name="")], {}, "characters"),
        ([replace(PART, parent=str(uuidlib.UUID(int=9)))], {PART.uuid: NODE.uuid}, "not reported"),
        ([replace(PART, parent=PART.uuid)], {PART.uuid: NODE.uuid}, "not reported"),
    ],
)
def test_parts_that_cannot_be(parts: list[ProviderInventory], kept: dict[str, str], said: str) -> None:
    found = reported.check(replace(NODE, providers=tuple(parts)), {})
    assert {uuid: row["parent_uuid"] for uuid, row in found.parts.items()} == kept
    assert len(found.complaints) == 1 and said in found.complaints[0]


def test_a_complaint_is_said_once_until_it_is_another(caplog: pytest.LogCaptureFixture) -> None:
    strange = replace(NODE, uuid=str(uuidlib.uuid4()), traits=frozenset({"NO_SUCH"}))
    for node in (strange, strange, replace(strange, traits=frozenset()), strange):
        inventory.complain(node.name, reported.check(node, {}))
    assert len(caplog.records) == 2 and f"node n ({strange.uuid})" in caplog.text


_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(), st.floats(), st.none(), st.text(max_size=3), st.just(2**31 - 1)
)


@given(st.dictionaries(st.sampled_from(["VCPU", "CUSTOM_X", "", "ß"]), st.builds(
    Inventory, total=_VALUES, reserved=_VALUES, ratio=_VALUES, step_size=_VALUES, min_unit=_VALUES, max_unit=_VALUES)),
    st.dictionaries(st.text(max_size=2), _VALUES))  # fmt: skip
def test_nothing_that_is_reported_breaks_the_report(stocks: Any, metrics: Any) -> None:
    part = replace(PART, inventories=stocks)
    found = reported.check(replace(NODE, inventories=stocks, metrics=metrics, providers=(part,)), {"VCPU": 4.0})
    for row in found.inventories.values():
        assert 0 <= row["capacity"] < 2**63 and 0 <= row["reserved"] <= row["total"]
