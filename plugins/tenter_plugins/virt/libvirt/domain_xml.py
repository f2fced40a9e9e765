"""Domain descriptions for libvirt (https://libvirt.org/formatdomain.html), one small class for each part."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from tenter import errors
from tenter.contracts.network import VIF
from tenter.contracts.virt import Hardware
from tenter_plugins.virt.libvirt.layout import GuestDir

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
METADATA_NAMESPACE = "urn:tenter:guest:1"
# Clear of the slots that libvirt gives out, from 1 upwards, on the one PCI bus of the machine "pc".
_FIRST_USER_NIC_SLOT = 0x18


def element(tag: str, text: str | None = None, attributes: Mapping[str, str] | None = None) -> Any:
    """Return an lxml element."""
    made = etree.Element(tag, dict(attributes or {}))
    made.text = text
    return made


def domain_name(uuid: str) -> str:
    """Return the name of the domain of a guest."""
    return f"tenter-{uuid}"


@dataclass(frozen=True)
class Disk:
    """A virtio disk in a file. ``format`` is qcow2 or raw, ``target`` such as vda."""

    path: Path
    format: str
    target: str
    readonly: bool = False

    def element(self) -> Any:
        """Return the element ``disk``."""
        disk = element("disk", attributes={"type": "file", "device": "disk"})
        driver = {"name": "qemu", "type": self.format}
        if self.format == "qcow2":
            driver["discard"] = "unmap"
        disk.append(element("driver", attributes=driver))
        disk.append(element("source", attributes={"file": str(self.path)}))
        disk.append(element("target", attributes={"dev": self.target, "bus": "virtio"}))
        if self.readonly:
            disk.append(element("readonly"))
        return disk


@dataclass(frozen=True)
class BridgeInterface:
    """A NIC on a Linux bridge; libvirt makes the tap device and removes it with the guest."""

    vif: VIF

    def element(self) -> Any:
        """Return the element ``interface``. Raises GuestFailed if the VIF names no bridge."""
        bridge = self.vif.details.get("bridge")
        if not bridge:
            raise errors.GuestFailed(f"The VIF {self.vif.id} is of type bridge but names no bridge.")
        interface = element("interface", attributes={"type": "bridge"})
        interface.append(element("mac", attributes={"address": self.vif.mac}))
        interface.append(element("source", attributes={"bridge": str(bridge)}))
        if self.vif.devname:
            interface.append(element("target", attributes={"dev": self.vif.devname}))
        interface.append(element("model", attributes={"type": "virtio"}))
        interface.append(element("mtu", attributes={"size": str(self.vif.mtu)}))
        return interface


@dataclass(frozen=True)
class UserNetwork:
    """A NIC of QEMU's user-mode networking whose DHCP server gives out just the VIF's address.

    libvirt's own ``<interface type='user'>`` cannot say which address of the subnet that is, so this one is
    given to QEMU by its command line.
    """

    vif: VIF
    index: int

    def arguments(self) -> list[str]:
        """Return QEMU's arguments. Raises GuestFailed if the subnet has no room for gateway and DNS server."""
        name = f"usernet{self.index}"
        netdev = ",".join([f"user,id={name}", "ipv6=off", *self._addresses()])
        device = f"virtio-net-pci,netdev={name},mac={self.vif.mac},romfile=,addr={_FIRST_USER_NIC_SLOT + self.index:#x}"
        if self.vif.mtu != 1500:
            device += f",host_mtu={self.vif.mtu}"
        return ["-netdev", netdev, "-device", device]

    def _addresses(self) -> list[str]:
        fixed = next((ip for ip in self.vif.fixed_ips if ip.version == 4), None)
        if fixed is None:
            return []
        network = ipaddress.ip_network(fixed.subnet.cidr, strict=False)
        taken = {ipaddress.ip_address(fixed.address)}
        host = ipaddress.ip_address(fixed.subnet.gateway) if fixed.subnet.gateway else None
        if host is None or host not in network or host in taken:
            host = self._free(network, taken)
        named = (ipaddress.ip_address(address) for address in fixed.subnet.dns)
        dns = next((address for address in named if address in network and address not in taken | {host}), None)
        dns = dns or self._free(network, taken | {host})
        return [f"net={network}", f"host={host}", f"dns={dns}", f"dhcpstart={fixed.address}"]

    def _free(self, network: Any, taken: set[Any]) -> Any:
        for address in network.hosts():
            if address not in taken:
                return address
        raise errors.GuestFailed(f"The subnet {network} of VIF {self.vif.id} is too small for user-mode networking.")


@dataclass(frozen=True)
class SerialConsole:
    """The first serial port, written to a file that outlives the daemon and each start of the guest."""

    path: Path

    def element(self) -> Any:
        """Return the element ``serial``."""
        serial = element("serial", attributes={"type": "file"})
        serial.append(element("source", attributes={"path": str(self.path), "append": "on"}))
        serial.append(element("target", attributes={"port": "0"}))
        return serial


@dataclass(frozen=True)
class Domain:
    """A guest. ``virt_type`` is kvm or qemu; which disks it has is what lies in its directory."""

    directory: GuestDir
    hardware: Hardware
    vifs: Sequence[VIF]
    virt_type: str
    emulator: str
    machine: str
    state_dir: Path

    def xml(self) -> str:
        """Return the description. Raises GuestFailed for a VIF that cannot be plugged."""
        return str(etree.tostring(self.element(), encoding="unicode", pretty_print=True))

    def element(self) -> Any:
        """Return the element ``domain``."""
        domain = etree.Element("domain", {"type": self.virt_type}, nsmap={"qemu": QEMU_NAMESPACE})
        uuid = self.directory.uuid
        title = "".join(char for char in self.directory.title() if char.isprintable())
        parts = [
            element("name", domain_name(uuid)),
            element("uuid", uuid),
            *([element("title", title)] if title else []),
            self._metadata(),
            element("memory", str(self.hardware.memory_mib), {"unit": "MiB"}),
            element("vcpu", str(self.hardware.vcpus)),
            self._sysinfo(),
            self._os(),
            self._features(),
            *([element("cpu", attributes={"mode": "host-passthrough"})] if self.virt_type == "kvm" else []),
            element("clock", attributes={"offset": "utc"}),
            element("on_poweroff", "destroy"),
            element("on_reboot", "restart"),
            element("on_crash", "destroy"),
            self._devices(),
        ]
        domain.extend(parts)
        self._command_line(domain)
        return domain

    def _metadata(self) -> Any:
        metadata = element("metadata")
        ours = etree.SubElement(metadata, f"{{{METADATA_NAMESPACE}}}guest", nsmap={"tenter": METADATA_NAMESPACE})
        etree.SubElement(ours, f"{{{METADATA_NAMESPACE}}}state_dir").text = str(self.state_dir)
        return metadata

    def _sysinfo(self) -> Any:
        # cloud-init looks for this product name before it asks the metadata service.
        sysinfo = element("sysinfo", attributes={"type": "smbios"})
        system = etree.SubElement(sysinfo, "system")
        entries = {"manufacturer": "Tenter", "product": "OpenStack Compute", "uuid": self.directory.uuid}
        system.extend(element("entry", value, {"name": name}) for name, value in entries.items())
        return sysinfo

    def _os(self) -> Any:
        os_element = element("os")
        os_element.append(element("type", "hvm", {"arch": "x86_64", "machine": self.machine}))
        os_element.append(element("boot", attributes={"dev": "hd"}))
        os_element.append(element("smbios", attributes={"mode": "sysinfo"}))
        return os_element

    def _features(self) -> Any:
        features = element("features")
        features.extend([element("acpi"), element("apic")])
        return features

    def _devices(self) -> Any:
        devices = element("devices")
        devices.append(element("emulator", self.emulator))
        devices.extend(disk.element() for disk in self.disks())
        devices.extend(BridgeInterface(vif).element() for vif in self.vifs if vif.type == "bridge")
        for vif in self.vifs:
            if vif.type not in ("bridge", "user"):
                raise errors.GuestFailed(f"The libvirt driver cannot plug VIF {vif.id} of type {vif.type!r}.")
        devices.append(SerialConsole(self.directory.console_log).element())
        devices.append(element("controller", attributes={"type": "usb", "model": "none"}))
        rng = element("rng", attributes={"model": "virtio"})
        rng.append(element("backend", "/dev/urandom", {"model": "random"}))
        devices.append(rng)
        return devices

    def disks(self) -> list[Disk]:
        """Return the disks: root is vda, the config drive vdb, then ephemeral and swap."""
        found = [
            (self.directory.root_disk, "qcow2", False),
            (self.directory.config_drive, "raw", True),
            (self.directory.ephemeral_disk, "qcow2", False),
            (self.directory.swap_disk, "qcow2", False),
        ]
        there = [entry for entry in found if entry[0].exists()]
        return [Disk(path, kind, f"vd{'abcd'[i]}", ro) for i, (path, kind, ro) in enumerate(there)]

    def _command_line(self, domain: Any) -> None:
        user_vifs = [vif for vif in self.vifs if vif.type == "user"]
        if not user_vifs:
            return
        command_line = etree.SubElement(domain, f"{{{QEMU_NAMESPACE}}}commandline")
        for index, vif in enumerate(user_vifs):
            for argument in UserNetwork(vif, index).arguments():
                etree.SubElement(command_line, f"{{{QEMU_NAMESPACE}}}arg", {"value": argument})
