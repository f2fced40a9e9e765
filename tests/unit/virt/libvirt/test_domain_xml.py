from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tenter import errors
from tenter.contracts.network import VIF, FixedIP, Subnet
from tenter.contracts.virt import Hardware
from tenter_plugins.virt.libvirt.domain_xml import METADATA_NAMESPACE, QEMU_NAMESPACE, Domain
from tenter_plugins.virt.libvirt.layout import GuestDir

UUID = "6f1c2c9e-8f0f-4b6c-9f0e-1b2c3d4e5f60"


def vif(kind: str = "user", address: str = "10.0.2.15", cidr: str = "10.0.2.0/24", **changes: Any) -> VIF:
    subnet = Subnet("s", cidr, changes.pop("gateway", None), changes.pop("dns", ()))
    values: dict[str, Any] = {
        "id": "p1", "network_id": "n", "network_label": "net", "mac": "fa:16:3e:00:00:01", "type": kind,
        "fixed_ips": (FixedIP(address, subnet),),
    }  # fmt: skip
    return VIF(**(values | changes))


def domain(tmp_path: Path, *vifs: VIF, title: str = "hello", virt_type: str = "qemu") -> Any:
    directory = GuestDir(tmp_path / UUID)
    directory.create(title)
    directory.root_disk.touch()
    directory.config_drive.touch()
    made = Domain(directory, Hardware(2, 256, 1), vifs, virt_type, "/qemu", "pc", tmp_path)
    return etree.fromstring(made.xml().encode())


def netdevs(tree: Any) -> list[str]:
    values = [arg.get("value") for arg in tree.iter(f"{{{QEMU_NAMESPACE}}}arg")]
    return [value for value in values if value.startswith("user,")]


def test_the_guest_and_its_disks(tmp_path: Path) -> None:
    tree = domain(tmp_path)
    assert tree.get("type") == "qemu"
    assert (tree.findtext("uuid"), tree.findtext("name")) == (UUID, f"tenter-{UUID}")
    assert (tree.findtext("vcpu"), tree.findtext("memory"), tree.find("memory").get("unit")) == ("2", "256", "MiB")
    disks = [(disk.find("target").get("dev"), disk.find("driver").get("type"), disk.find("readonly") is not None)
             for disk in tree.iter("disk")]  # fmt: skip
    assert disks == [("vda", "qcow2", False), ("vdb", "raw", True)]
    assert tree.find("cpu") is None
    assert tree.findtext(f"metadata/{{{METADATA_NAMESPACE}}}guest/{{{METADATA_NAMESPACE}}}state_dir") == str(tmp_path)
    assert (tree.findtext("on_reboot"), tree.findtext("on_poweroff")) == ("restart", "destroy")


def test_kvm_shows_the_guest_the_real_processor(tmp_path: Path) -> None:
    tree = domain(tmp_path, virt_type="kvm")
    assert (tree.get("type"), tree.find("cpu").get("mode")) == ("kvm", "host-passthrough")


def test_names_of_users_are_data_not_xml(tmp_path: Path) -> None:
    tree = domain(tmp_path, title='</title><a b="\x07&')
    assert tree.findtext("title") == '</title><a b="&'
    assert tree.find("a") is None


def test_bridge(tmp_path: Path) -> None:
    tree = domain(tmp_path, vif("bridge", details={"bridge": "br1"}, devname="tapx", mtu=1442))
    interface = tree.find("devices/interface")
    assert interface.get("type") == "bridge"
    assert interface.find("source").get("bridge") == "br1"
    assert interface.find("target").get("dev") == "tapx"
    assert interface.find("mtu").get("size") == "1442"
    assert interface.find("mac").get("address") == "fa:16:3e:00:00:01"
    assert tree.find(f"{{{QEMU_NAMESPACE}}}commandline") is None


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (vif(), "net=10.0.2.0/24,host=10.0.2.1,dns=10.0.2.2,dhcpstart=10.0.2.15"),
        (vif(gateway="10.0.2.2"), "net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.1,dhcpstart=10.0.2.15"),
        (vif(address="10.0.2.1"), "net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.3,dhcpstart=10.0.2.1"),
        (vif(gateway="10.0.2.2", dns=("9.9.9.9", "10.0.2.3")),
         "net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.3,dhcpstart=10.0.2.15"),
        (vif(gateway="192.0.2.1"), "net=10.0.2.0/24,host=10.0.2.1,dns=10.0.2.2,dhcpstart=10.0.2.15"),
    ],
)  # fmt: skip
def test_user_network_gives_out_the_address_of_the_vif(tmp_path: Path, made: VIF, expected: str) -> None:
    assert netdevs(domain(tmp_path, made)) == [f"user,id=usernet0,ipv6=off,{expected}"]


def test_user_network_that_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(errors.GuestFailed, match="too small"):
        domain(tmp_path, vif(address="10.0.2.1", cidr="10.0.2.0/30"))


@pytest.mark.parametrize("made", [vif("ovs"), vif("bridge")])
def test_vifs_that_cannot_be_plugged(tmp_path: Path, made: VIF) -> None:
    with pytest.raises(errors.GuestFailed, match="p1"):
        domain(tmp_path, made)
