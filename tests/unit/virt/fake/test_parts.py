"""A fake host pretends to have parts and further resource classes, and the scheduler hears of them."""

from __future__ import annotations

import uuid as uuidlib

import pytest

from tenter import errors
from tenter.store import host_feed
from tenter_plugins.virt.fake import parts
from tests.conftest import MakeCloud

NODE = str(uuidlib.UUID(int=1))
PROVIDERS = """[
    {"name": "numa0", "inventories": {"PCPU": {"total": 8, "step_size": 2}}, "traits": ["HW_NUMA_ROOT"]},
    {"name": "gpu0", "parent": "numa0", "inventories": {"VGPU": 2}}
]"""


def test_parts_reach_the_scheduler_and_are_the_same_after_a_restart(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(
        fake={
            "providers": " ".join(PROVIDERS.split()),
            "inventories": '{"CUSTOM_FPGA": 3}',
            "traits": "HW_CPU_X86_AVX2,NO_SUCH",
        }
    )
    (record,) = host_feed.read_all(cloud.cell.db).hosts
    assert record.traits == {"HW_CPU_X86_AVX2"} and record.inventories["CUSTOM_FPGA"].total == 3
    gpu, numa = record.parts
    assert (gpu.name, gpu.parent_uuid, gpu.inventories["VGPU"].total) == ("gpu0", numa.uuid, 2)
    assert (numa.parent_uuid, numa.traits) == (record.uuid, {"HW_NUMA_ROOT"})
    assert numa.inventories["PCPU"][:1] + numa.inventories["PCPU"][5:6] == (8, 2)
    cloud.stop()
    cloud.start()
    (again,) = host_feed.read_all(cloud.cell.db).hosts
    assert again.parts == (gpu, numa)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("{}", "is no list"),
        ("[7]", "is no JSON object"),
        ("[{}]", "has no name"),
        ('[{"name": "x", "parent": 7}]', "parent is no name"),
        ('[{"name": "x", "trait": []}]', "'trait'; there are inventories, name, parent, traits"),
        ('[{"name": "x", "traits": "A"}]', "traits are no list"),
        ('[{"name": "x", "inventories": []}]', "must give an amount"),
        ('[{"name": "x", "inventories": {"VGPU": "4"}}]', "VGPU is no JSON object"),
        ('[{"name": "x", "inventories": {"VGPU": {"step_size": 4}}}]', "VGPU has no total"),
    ],
)
def test_what_is_malformed_is_named(text: str, said: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        parts.providers(text, NODE)
    assert said in str(refused.value) and "[fake] providers" in str(refused.value)


def test_nothing_said_is_nothing_more() -> None:
    assert (parts.inventories(""), parts.providers("", NODE)) == ({}, ())
