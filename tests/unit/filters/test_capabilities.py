"""ComputeCapabilitiesFilter and ImagePropertiesFilter: what hosts are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenter.contracts.scheduling import Hypervisor, Resource
from tenter_plugins.filters.capabilities import ComputeCapabilitiesFilter
from tenter_plugins.filters.image_properties import ImagePropertiesFilter
from tests.unit.filters.world import ask, codes, host, make, refused

CPU = {"arch": "x86_64", "model": "Skylake", "features": ["aes", "mmx"], "topology": {"cores": 4}}
QEMU = Hypervisor("QEMU", 8002001, {"cpu_info": CPU, "gpus": 2})
ARM = Hypervisor("QEMU", 6000, {"arch": "aarch64", "features": []})
SMALL = {"VCPU": Resource(4, 1), "MEMORY_MB": Resource(4096, 512, 512, 1.5), "DISK_GB": Resource(10, 2)}
VIEWS = [
    host("compute_01", hypervisor=QEMU, resources=SMALL, instances=10, io_ops=5),
    host("arm", hypervisor=ARM, resources={**SMALL, "VCPU": Resource(48, 11)}, instances=11, io_ops=6),
]
OTHER, MISSING = "capability.other", "capability.missing"
BOTH = ("compute_01", "arm")


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ({}, {}),
        ({"capabilities:free_ram_mb": ">= 3072"}, {}),
        ({"capabilities:free_ram_mb": ">= 3073"}, dict.fromkeys(BOTH, OTHER)),
        ({"capabilities:free_disk_mb": ">= 8192"}, {}),
        ({"capabilities:free_disk_mb": ">= 8193"}, dict.fromkeys(BOTH, OTHER)),
        ({"capabilities:host": "<in> compute"}, {"arm": OTHER}),
        ({"capabilities:host": "s== compute_01"}, {"arm": OTHER}),
        ({"capabilities:hypervisor_type": "s== QEMU"}, {}),
        ({"capabilities:hypervisor_type": "s== ironic"}, dict.fromkeys(BOTH, OTHER)),
        ({"capabilities:hypervisor_version": ">= 1005003"}, {"arm": OTHER}),
        ({"capabilities:num_instances": "<= 10"}, {"arm": OTHER}),
        ({"capabilities:num_io_ops": "<= 5"}, {"arm": OTHER}),
        ({"capabilities:vcpus_total": "= 48"}, {"compute_01": OTHER}),
        ({"capabilities:vcpus_total": ">=24"}, {"compute_01": OTHER}),
        ({"capabilities:vcpus_used": "<= 10"}, {"arm": OTHER}),
        ({"capabilities:cpu_info:features": "<all-in> aes mmx"}, {"arm": OTHER}),
        ({"capabilities:cpu_info:arch": "aarch64"}, {"compute_01": OTHER}),
        ({"capabilities:cpu_info:topology:cores": ">= 4"}, {"arm": MISSING}),
        ({"capabilities:gpus": ">= 1"}, {"arm": MISSING}),
        ({"capabilities:free_ram_mb:x": "1"}, dict.fromkeys(BOTH, MISSING)),
        ({"capabilities:cpu_info:arch:x": "1"}, dict.fromkeys(BOTH, MISSING)),
        ({"capabilities:arch": "aarch64"}, dict.fromkeys(BOTH, MISSING)),
        ({"capabilities:none": "1"}, dict.fromkeys(BOTH, MISSING)),
        ({"capabilities:": "1"}, dict.fromkeys(BOTH, MISSING)),
        ({"capabilities:vcpus_used": ">= x"}, dict.fromkeys(BOTH, "extra_spec.malformed")),
        # without a scope, only what hosts know
        ({"vcpus_total": "= 48"}, {"compute_01": OTHER}),
        ({"gpus": ">= 3"}, {"compute_01": OTHER}),
        ({"arch": "x86_64", "features": "none"}, {}),  # names of the processor's, not of the host's
        ({"gpus": ">= x"}, {"compute_01": "extra_spec.malformed"}),
        ({"ssd": "true", "hw:cpu_policy": "dedicated", "aggregate_instance_extra_specs:vcpus_total": "1", "": ""}, {}),
    ],
)
def test_capabilities(tmp_path: Path, specs: dict[str, str], expected: dict[str, str]) -> None:
    assert codes(make(ComputeCapabilitiesFilter, tmp_path), VIEWS, ask(extra_specs=specs)) == expected


def test_the_figures_are_what_was_asked_and_what_the_host_has_but_no_names(tmp_path: Path) -> None:
    judge = make(ComputeCapabilitiesFilter, tmp_path)
    for key, asked, has in (("vcpus_total", "= 48", 4), ("cpu_info:arch", "aarch64", "x86_64")):
        _, figures = refused(judge, VIEWS, ask(extra_specs={f"capabilities:{key}": asked}))["compute_01"]
        assert figures == {"key": key, "asked": asked, "host": has}
    _, figures = refused(judge, VIEWS, ask(extra_specs={"capabilities:host": "s== x"}))["arm"]
    assert figures == {"key": "host", "asked": "s== x"}


def test_capabilities_that_are_the_json_of_them(tmp_path: Path) -> None:
    views = [host(hypervisor=Hypervisor("QEMU", 1, {"cpu_info": '{"arch": "x86_64"}'})),
             host("odd", hypervisor=Hypervisor("QEMU", 1, {"cpu_info": '{"arch"'}))]  # fmt: skip
    request = ask(extra_specs={"capabilities:cpu_info:arch": "x86_64"})
    assert codes(make(ComputeCapabilitiesFilter, tmp_path), views, request) == {"odd": MISSING}


def test_hosts_without_a_resource_have_none_of_it(tmp_path: Path) -> None:
    request = ask(extra_specs={"capabilities:vcpus_total": "== 0"})
    assert codes(make(ComputeCapabilitiesFilter, tmp_path), [host("a", resources={}), host("b")], request) == {
        "b": OTHER
    }


XEN = Hypervisor("xen", 4017000, {"supported_instances": [["x86_64", "xapi", "pv"], ["i386", "xen", "hvm"], "odd"]})
LXC = Hypervisor("lxc", 0, {"arch": "x86_64"})
KINDS = [
    host("qemu", hypervisor=QEMU),
    host("arm", hypervisor=ARM),
    host("xen", hypervisor=XEN),
    host("lxc", hypervisor=LXC),
]


@pytest.mark.parametrize(
    ("properties", "runs"),
    [
        ({}, {"qemu", "arm", "xen", "lxc"}),
        ({"os_type": "linux"}, {"qemu", "arm", "xen", "lxc"}),
        ({"hw_architecture": "x86_64"}, {"qemu", "xen", "lxc"}),
        ({"hw_architecture": "AMD64"}, {"qemu", "xen", "lxc"}),
        ({"hw_architecture": "aarch64"}, {"arm"}),
        ({"hw_architecture": "i686"}, {"qemu", "xen", "lxc"}),
        ({"img_hv_type": "qemu"}, {"qemu", "arm"}),
        ({"img_hv_type": "kvm", "hw_architecture": "aarch64"}, {"arm"}),
        ({"hw_vm_mode": "hvm"}, {"qemu", "arm", "xen"}),
        ({"hw_vm_mode": "xen", "hw_architecture": "i686"}, set()),  # each is there, but not of one kind of guest
        ({"hw_vm_mode": "exe"}, {"lxc"}),
        ({"architecture": "aarch64", "vm_mode": "hvm", "hypervisor_type": "QEMU"}, {"arm"}),
        ({"img_hv_type": "qemu", "img_hv_requested_version": ">=6000"}, {"qemu", "arm"}),
        ({"img_hv_type": "qemu", "img_hv_requested_version": ">=6.0,<6.2"}, {"arm"}),
        ({"img_hv_type": "qemu", "hypervisor_version_requires": ">=8.2.1"}, {"qemu"}),
        ({"hw_vm_mode": "exe", "img_hv_requested_version": ">=6.0"}, {"lxc"}),  # its version is not known
        ({"img_hv_requested_version": ">=99"}, {"qemu", "arm", "xen", "lxc"}),
        ({"hw_architecture": "no such"}, set()),
    ],
)
def test_image_properties(tmp_path: Path, properties: dict[str, str], runs: set[str]) -> None:
    found = codes(make(ImagePropertiesFilter, tmp_path), KINDS, ask(image_properties=properties))
    assert {view.host for view in KINDS} - set(found) == runs
    assert set(found.values()) <= {"image_property.unsupported", "hypervisor.version"}


@pytest.mark.parametrize("version", ["6.0", ">=a", ">=6.0 <7", "newest", ">="])
def test_a_malformed_version_refuses_all(tmp_path: Path, version: str) -> None:
    request = ask(image_properties={"img_hv_type": "qemu", "img_hv_requested_version": version})
    found = codes(make(ImagePropertiesFilter, tmp_path), KINDS[:2], request)
    assert found == dict.fromkeys(("qemu", "arm"), "image_property.malformed")


def test_images_that_do_not_say_their_architecture(tmp_path: Path) -> None:
    judge = make(ImagePropertiesFilter, tmp_path, image_properties_default_architecture="aarch64")
    assert set(codes(judge, KINDS, ask())) == {"qemu", "xen", "lxc"}
    assert set(codes(judge, KINDS, ask(image_properties={"hw_architecture": "x86_64"}))) == {"arm"}


def test_the_figures_say_what_runs(tmp_path: Path) -> None:
    properties: dict[str, Any] = {"hw_vm_mode": "exe", "img_hv_type": "qemu", "os_type": "linux"}
    _, figures = refused(make(ImagePropertiesFilter, tmp_path), KINDS, ask(image_properties=properties))["lxc"]
    assert figures["asked"] == {"hw_vm_mode": "exe", "img_hv_type": "qemu"}
    assert ["x86_64", "lxc", "exe"] in figures["host"]
