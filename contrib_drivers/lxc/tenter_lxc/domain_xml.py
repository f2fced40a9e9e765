"""How libvirt is told what a container is: https://libvirt.org/drvlxc.html and https://libvirt.org/formatdomain.html."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from tenter import errors
from tenter.contracts.network import VIF
from tenter.contracts.virt import Hardware
from tenter_lxc.config_drive import TARGET
from tenter_lxc.daemon import GUESTS
from tenter_lxc.guest_dir import GuestDir
from tenter_lxc.images import IDS

# privnet: a network namespace of its own, even for a guest without interfaces.
_DOMAIN = """\
<domain type="lxc">
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit="MiB">{memory_mib}</memory>
  <vcpu>{vcpus}</vcpu>
  <os><type>exe</type><init>{init}</init></os>
  <features><privnet/></features>
  <idmap>
    <uid start="0" target="{base}" count="{ids}"/>
    <gid start="0" target="{base}" count="{ids}"/>
  </idmap>
  <devices>
    <filesystem type="mount"><source dir="{guest}/root"/><target dir="/"/></filesystem>
    {devices}
    <console type="pty"/>
  </devices>
</domain>
"""
_SEED = '<filesystem type="mount"><source dir="{guest}/seed"/><target dir="{target}"/><readonly/></filesystem>'
_INTERFACE = (
    '<interface type="bridge"><mac address={mac}/><source bridge={bridge}/>{target}'
    '<guest dev="eth{index}"/></interface>'
)


def domain_name(uuid: str) -> str:
    """Return the name of the domain of a guest."""
    return f"tenter-{uuid}"


def domain_xml(guest: GuestDir, hardware: Hardware, vifs: Sequence[VIF], init: str) -> str:
    """Return the description of a guest's container.

    Raises CapabilityMissing for a VIF of a type that containers cannot have, GuestFailed for one without its bridge.
    """
    seen = GUESTS / guest.uuid
    devices = [_SEED.format(guest=seen, target=TARGET)] if guest.seed.exists() else []
    devices += [_interface(index, vif) for index, vif in enumerate(vifs) if vif.type != "other"]
    return _DOMAIN.format(
        name=domain_name(guest.uuid), uuid=guest.uuid, memory_mib=hardware.memory_mib, vcpus=hardware.vcpus,
        init=escape(init), base=guest.idmap_base, ids=IDS, guest=seen, devices="\n    ".join(devices),
    )  # fmt: skip


def _interface(index: int, vif: VIF) -> str:
    if vif.type != "bridge":
        raise errors.CapabilityMissing(
            f"A container cannot have an interface of type {vif.type!r} (VIF {vif.id}); the network has to be bridged."
        )
    bridge = vif.details.get("bridge")
    if not bridge:
        raise errors.GuestFailed(f"The VIF {vif.id} is of type bridge but names no bridge.")
    target = f"<target dev={quoteattr(vif.devname)}/>" if vif.devname else ""
    return _INTERFACE.format(index=index, mac=quoteattr(vif.mac), bridge=quoteattr(str(bridge)), target=target)
