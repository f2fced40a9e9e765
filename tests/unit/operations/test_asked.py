"""From flavors and images to what the scheduler is asked: each key, and what is malformed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenter import errors
from tenter.conf.pci import PciAlias, pci_alias
from tenter.contracts.fit import MAX_GROUPS
from tenter.contracts.scheduling import MAX_UNIT, ResourceGroup
from tenter.operations import numa
from tenter.operations.asked import asked
from tenter.operations.placement import amounts, placement_request

ALIASES = [
    PciAlias("gpu", "CUSTOM_PCI_10DE_1EB8", frozenset({"CUSTOM_FAST"})), PciAlias("nic", "CUSTOM_NIC"),
]  # fmt: skip
PLAIN = {"VCPU": 4, "MEMORY_MB": 4096, "DISK_GB": 13}


def flavor(specs: Mapping[str, str] | None = None, **values: Any) -> dict[str, Any]:
    plain = {"name": "m", "vcpus": 4, "memory_mb": 4096, "root_gb": 10, "ephemeral_gb": 2, "swap": 1}
    return {**plain, "extra_specs": dict(specs or {}), **values}


def group(name: str, required: set[str] = set(), forbidden: set[str] = set(), apart: str = "",
          **resources: int) -> ResourceGroup:  # fmt: skip
    return ResourceGroup(name, resources, frozenset(required), frozenset(forbidden), apart)


def node(number: int, vcpus: int, memory: int) -> ResourceGroup:
    return group(f"numa{number}", {"HW_NUMA_ROOT"}, apart="numa", VCPU=vcpus, MEMORY_MB=memory)


def test_a_plain_flavor_asks_for_what_it_is() -> None:
    found = asked(flavor(), {})
    assert found.resources == PLAIN and not found.groups and not found.isolate
    assert not found.required_traits and not found.forbidden_traits
    assert asked(flavor(root_gb=0, ephemeral_gb=0, swap=0), {}).resources == {"VCPU": 4, "MEMORY_MB": 4096}


@pytest.mark.parametrize(
    ("specs", "resources"),
    [
        ({"resources:VCPU": "2"}, {**PLAIN, "VCPU": 2}),
        ({"resources:DISK_GB": "0"}, {"VCPU": 4, "MEMORY_MB": 4096}),
        ({"resources:CUSTOM_BAREMETAL_GOLD": "1", "resources:VCPU": "0", "resources:MEMORY_MB": "0",
          "resources:DISK_GB": "0"}, {"CUSTOM_BAREMETAL_GOLD": 1}),
        ({"resources:PCPU": "4"}, {"PCPU": 4, "MEMORY_MB": 4096, "DISK_GB": 13}),
        ({"resources:PCPU": "3", "resources:VCPU": "1"}, {**PLAIN, "VCPU": 1, "PCPU": 3}),
        ({"resources_NODE:VCPU": "4"}, {"MEMORY_MB": 4096, "DISK_GB": 13}),
        ({"resources1:VCPU": "0"}, {"MEMORY_MB": 4096, "DISK_GB": 13}),
        ({"resources:VGPU": str(MAX_UNIT)}, {**PLAIN, "VGPU": MAX_UNIT}),
        ({"hw:cpu_cores": "2", "anything": "goes"}, PLAIN),
    ],
)  # fmt: skip
def test_resources_of_the_host_as_a_whole(specs: dict[str, str], resources: dict[str, int]) -> None:
    assert asked(flavor(specs), {}).resources == resources
    assert amounts(flavor(specs)) == resources


def test_traits_of_flavor_and_image() -> None:
    specs = {"trait:HW_CPU_X86_AVX2": "required", "trait:CUSTOM_LOUD": "forbidden"}
    image = {"trait:COMPUTE_NODE": "required", "trait:CUSTOM_LOUD": "forbidden", "os_type": "linux"}
    found = asked(flavor(specs), image)
    assert found.required_traits == {"HW_CPU_X86_AVX2", "COMPUTE_NODE"}
    assert found.forbidden_traits == {"CUSTOM_LOUD"}


def test_groups() -> None:
    specs = {
        "resources1:VGPU": "1", "trait1:CUSTOM_FAST": "required", "resources_X:CUSTOM_NIC": "2",
        "trait_X:CUSTOM_SLOW": "forbidden", "resources-off:VGPU": "0", "group_policy": "isolate",
    }  # fmt: skip
    found = asked(flavor(specs), {"trait_X:CUSTOM_RED": "required"})
    assert found.isolate
    assert sorted(found.groups, key=lambda each: each.name) == [
        group("1", {"CUSTOM_FAST"}, VGPU=1), group("_X", {"CUSTOM_RED"}, {"CUSTOM_SLOW"}, CUSTOM_NIC=2),
    ]  # fmt: skip
    assert found.resources == PLAIN
    assert not asked(flavor({**specs, "group_policy": "none"}), {}).isolate


def test_devices() -> None:
    found = asked(flavor({"pci_passthrough:alias": "gpu:2, nic:1"}), {}, ALIASES)
    one = {"CUSTOM_PCI_10DE_1EB8": 1}
    assert found.groups == (
        group("pci0", {"CUSTOM_FAST"}, **one), group("pci1", {"CUSTOM_FAST"}, **one), group("pci2", CUSTOM_NIC=1),
    )  # fmt: skip
    assert not found.isolate


@pytest.mark.parametrize(
    ("specs", "image", "groups"),
    [
        ({"hw:numa_nodes": "1"}, {}, [node(0, 4, 4096)]),
        ({"hw:numa_nodes": "2"}, {}, [node(0, 2, 2048), node(1, 2, 2048)]),
        ({}, {"hw_numa_nodes": "2"}, [node(0, 2, 2048), node(1, 2, 2048)]),
        ({"hw:numa_nodes": "2", "hw:numa_cpus.0": "0-3,^2", "hw:numa_cpus.1": "2", "hw:numa_mem.0": "3000",
          "hw:numa_mem.1": "1096"}, {}, [node(0, 3, 3000), node(1, 1, 1096)]),
        ({"hw:numa_nodes": "2"}, {"hw_numa_cpus.0": "0,1", "hw_numa_cpus.1": "2-3", "hw_numa_mem.0": "96",
          "hw_numa_mem.1": "4000"}, [node(0, 2, 96), node(1, 2, 4000)]),
        ({"hw:numa_cpus.0": "0-3"}, {}, []),
    ],
)  # fmt: skip
def test_guest_numa_nodes(specs: dict[str, str], image: dict[str, str], groups: list[ResourceGroup]) -> None:
    found = asked(flavor(specs), image)
    assert list(found.groups) == groups and found.resources == PLAIN


TWO = {"hw:numa_nodes": "2", "hw:numa_cpus.0": "0-1", "hw:numa_cpus.1": "2-3", "hw:numa_mem.0": "96",
       "hw:numa_mem.1": "4000"}  # fmt: skip
MALFORMED: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({"resources:VCPU": "many"}, {}, "resources:VCPU"),
    ({"resources:VCPU": "-1"}, {}, "resources:VCPU"),
    ({"resources:VCPU": "1.5"}, {}, "resources:VCPU"),
    ({"resources:VCPU": ""}, {}, "resources:VCPU"),
    ({"resources:VCPU": "٣"}, {}, "resources:VCPU"),
    ({"resources:VGPU": str(MAX_UNIT + 1)}, {}, "resources:VGPU"),
    ({"resources:VGPU": "9" * 255}, {}, "resources:VGPU"),
    ({"resources:vgpu": "1"}, {}, "resources:vgpu"),
    ({"resources:CUSTOM_": "1"}, {}, "resources:CUSTOM_"),
    ({"resources:CUSTOM_a": "1"}, {}, "resources:CUSTOM_a"),
    ({"resources:": "1"}, {}, "resources:"),
    ({"resources_A:GOLD": "1"}, {}, "resources_A:GOLD"),
    ({"trait:HW_CPU_X86_AVX9": "required"}, {}, "trait:HW_CPU_X86_AVX9"),
    ({"trait:COMPUTE_NODE": "preferred"}, {}, "trait:COMPUTE_NODE"),
    ({"trait:COMPUTE_NODE": "Required"}, {}, "trait:COMPUTE_NODE"),
    ({"trait1:COMPUTE_NODE": "required"}, {}, "trait1:COMPUTE_NODE"),
    ({"resources1:VGPU": "0", "trait1:COMPUTE_NODE": "required"}, {}, "trait1:COMPUTE_NODE"),
    ({"resources1:VGPU": "1", "resources2:VGPU": "1"}, {}, "group_policy"),
    ({"group_policy": "both"}, {}, "group_policy"),
    ({}, {"trait:CUSTOM_x": "required"}, "image property trait:CUSTOM_x"),
    ({}, {"trait:CUSTOM_X": "wanted"}, "image property trait:CUSTOM_X"),
    ({}, {"trait1:CUSTOM_X": "required"}, "image property trait1:CUSTOM_X"),
    ({"trait:CUSTOM_X": "forbidden"}, {"trait:CUSTOM_X": "required"}, "trait:CUSTOM_X"),
    ({"pci_passthrough:alias": "gpu"}, {}, "pci_passthrough:alias"),
    ({"pci_passthrough:alias": "gpu:0"}, {}, "pci_passthrough:alias"),
    ({"pci_passthrough:alias": "gpu:1,"}, {}, "pci_passthrough:alias"),
    ({"pci_passthrough:alias": "none:1"}, {}, "none is not defined"),
    ({"pci_passthrough:alias": f"gpu:{MAX_GROUPS + 1}"}, {}, "pci_passthrough:alias"),
    ({"pci_passthrough:alias": "gpu:" + "9" * 200}, {}, "pci_passthrough:alias"),
    ({"pci_passthrough:alias": f"gpu:{MAX_GROUPS}", "hw:numa_nodes": "1"}, {}, f"at most {MAX_GROUPS}"),
    ({"hw:numa_nodes": "0"}, {}, "hw:numa_nodes"),
    ({"hw:numa_nodes": "two"}, {}, "hw:numa_nodes"),
    ({"hw:numa_nodes": "9999999999"}, {}, "hw:numa_nodes"),
    ({"hw:numa_nodes": "3"}, {}, "hw:numa_nodes"),
    ({}, {"hw_numa_nodes": "x"}, "hw_numa_nodes"),
    ({"hw:numa_nodes": "1"}, {"hw_numa_nodes": "1"}, "hw_numa_nodes"),
    (TWO, {"hw_numa_cpus.0": "0"}, "hw_numa_cpus"),
    (TWO, {"hw_numa_mem.0": "9"}, "hw_numa_mem"),
    ({**TWO, "hw:numa_cpus.0": "0-2"}, {}, "hw:numa_cpus.1"),
    ({**TWO, "hw:numa_cpus.1": "2"}, {}, "CPU 3"),
    ({**TWO, "hw:numa_cpus.1": "2-4"}, {}, "hw:numa_cpus.1"),
    ({**TWO, "hw:numa_cpus.1": "2-99999999999"}, {}, "hw:numa_cpus.1"),
    ({**TWO, "hw:numa_cpus.1": "3-2"}, {}, "hw:numa_cpus.1"),
    ({**TWO, "hw:numa_cpus.1": "all"}, {}, "hw:numa_cpus.1"),
    ({**TWO, "hw:numa_cpus.1": "^2"}, {}, "hw:numa_cpus.1"),
    ({**TWO, "hw:numa_cpus.3": "3"}, {}, "hw:numa_cpus.3"),
    ({**TWO, "hw:numa_mem.1": "5000"}, {}, "hw:numa_mem"),
    ({**TWO, "hw:numa_mem.1": "-4"}, {}, "hw:numa_mem.1"),
    ({key: value for key, value in TWO.items() if "mem" not in key}, {}, "hw:numa_nodes"),
]


@pytest.mark.parametrize(("specs", "image", "key"), MALFORMED)
def test_what_is_malformed_is_named(specs: dict[str, str], image: dict[str, str], key: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        asked(flavor(specs), image, ALIASES)
    assert key in str(caught.value) and len(str(caught.value)) < 400


def test_absurd_flavors() -> None:
    with pytest.raises(errors.Invalid, match="DISK_GB"):
        asked(flavor(root_gb=MAX_UNIT, ephemeral_gb=MAX_UNIT), {})
    with pytest.raises(errors.Invalid, match="hw:numa_cpus.0"):
        asked(flavor(TWO, vcpus=MAX_UNIT - 1), {})
    assert amounts(flavor({"resources:VCPU": "x"})) == PLAIN


def test_the_request_of_a_row() -> None:
    row = {
        "uuid": "i", "project_id": "p", "pinned_zone": "z", "image_ref": "img", "hints": {"a": "b"},
        "flavor": flavor({"trait:COMPUTE_NODE": "required", "hw:numa_nodes": "1"}),
        "image": {"properties": {"trait:CUSTOM_X": "forbidden"}},
        "spec": {"forced_host": "h", "forced_node": "n"},
    }  # fmt: skip
    request = placement_request(row, frozenset({"bad"}), ALIASES, {"other": "h2"})
    assert (request.flavor, request.image_id, request.forced_host, request.forced_node) == ("m", "img", "h", "n")
    assert (request.zone, request.excluded_hosts, request.hosts_of) == ("z", {"bad"}, {"other": "h2"})
    assert (request.required_traits, request.forbidden_traits) == ({"COMPUTE_NODE"}, {"CUSTOM_X"})
    assert request.groups == (node(0, 4, 4096),) and request.resources == PLAIN
    assert request.extra_specs["hw:numa_nodes"] == "1" and request.hints == {"a": "b"}
    bare = placement_request({**row, "image": None, "hints": None, "spec": {}})
    assert bare.forced_node is None and not bare.image_properties and not bare.hints


@pytest.mark.parametrize(
    ("text", "alias"),
    [
        ('{"name": " a ", "vendor_id": "10de", "product_id": "1eb8", "device_type": "type-PCI"}',
         PciAlias("a", "CUSTOM_PCI_10DE_1EB8")),
        ('{"name": "a", "resource_class": "my gpu"}', PciAlias("a", "CUSTOM_MY_GPU")),
        ('{"name": "a", "resource_class": "CUSTOM_GPU", "traits": "HW_NUMA_ROOT, big-one"}',
         PciAlias("a", "CUSTOM_GPU", frozenset({"HW_NUMA_ROOT", "CUSTOM_BIG_ONE"}))),
        ('{"name": "a", "resource_class": "VGPU"}', PciAlias("a", "VGPU")),
    ],
)  # fmt: skip
def test_an_alias(text: str, alias: PciAlias) -> None:
    assert pci_alias(text) == alias


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"name": "a"}', '{"name": "a", "vendor_id": "10de"}', '{"resource_class": "X"}',
     '{"name": "a:b", "resource_class": "X"}', '{"name": "a", "resource_class": ""}', '{"name": "a", "x": "y"}',
     '{"name": 1, "resource_class": "X"}', '{"name": "a", "vendor_id": "zz", "product_id": "1eb8"}',
     '{"name": "a", "resource_class": "X", "device_type": "nic"}', "[" * 100000],
)  # fmt: skip
def test_no_alias(text: str) -> None:
    with pytest.raises(ValueError):
        pci_alias(text)


_names = st.sampled_from(
    ["resources:VCPU", "resources:VGPU", "resources1:VGPU", "resources2:VGPU", "trait1:CUSTOM_A", "trait:CUSTOM_A",
     "trait:COMPUTE_NODE", "resources:", "trait:", "group_policy", "pci_passthrough:alias", "hw:numa_nodes",
     "hw:numa_cpus.0", "hw:numa_mem.0", "hw:numa_cpus.1", "hw_numa_nodes", "hw_numa_mem.0", "other"]
)  # fmt: skip
_values = st.sampled_from(
    ["1", "2", "0", "-1", "required", "forbidden", "none", "isolate", "0-3", "0-1", "4096", "gpu:1", "gpu:2,nic:1", "",
     "9" * 30, "1e3", "ü\x00", "0-" + "9" * 12]
) | st.text(max_size=6)  # fmt: skip
_specs = st.dictionaries(_names | st.text(max_size=20), _values, max_size=6)


@settings(max_examples=400, deadline=None)
@given(_specs, _specs)
def test_what_is_asked_is_well_formed_or_refused(specs: dict[str, str], image: dict[str, str]) -> None:
    try:
        found = asked(flavor(specs), image, ALIASES)
    except errors.Invalid as exc:
        assert len(exc.message) < 500
        return
    finally:
        assert all(isinstance(amount, int) for amount in amounts(flavor(specs)).values())
    for each in (found.resources, *(each.resources for each in found.groups)):
        assert all(0 < amount <= MAX_UNIT for amount in each.values())
    assert all(each.resources for each in found.groups) and len(found.groups) <= MAX_GROUPS
    assert not found.required_traits & found.forbidden_traits


@given(st.sets(st.integers(0, 40), min_size=1))
def test_lists_of_cpus(cpus: set[int]) -> None:
    text = ",".join(str(cpu) for cpu in cpus)
    assert numa.cpu_set(text, "k") == cpus
    assert numa.cpu_set(f"0-41,{','.join(f'^{cpu}' for cpu in cpus)}", "k") == set(range(42)) - cpus
