"""The contract of network drivers, version 1.0."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from tenter.contracts.base import Capability, Plugin

CONTRACT = "network 1.0"


@dataclass(frozen=True)
class Subnet:
    """An IP subnet as a guest sees it. ``cidr`` such as ``10.0.0.0/24``."""

    id: str
    cidr: str
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    dhcp: bool = True


@dataclass(frozen=True)
class FixedIP:
    """An address on a VIF and the subnet it is from."""

    address: str
    subnet: Subnet
    version: int = 4


@dataclass(frozen=True)
class VIF:
    """One network interface of a guest, allocated. ``type`` says how it is plugged.

    ``mtu`` in bytes. ``id`` is the port's UUID. Types:

    ``bridge``: a tap called ``devname`` on the bridge ``details["bridge"]`` in the host's network namespace.

    ``user``: user-mode networking of the hypervisor, a private network for this one interface. Its address range is
    ``details["cidr"]`` (prefix 4 to 27, also the CIDR of the VIF's subnet): configure the hypervisor with exactly this
    network address and prefix (libvirt: ``<ip family='ipv4' address='NETADDR' prefix='PREFIX'/>``). QEMU then gives
    the guest by DHCP the 15th address of it, which is ``details["host"]`` and the VIF's fixed address; the 2nd is the
    gateway (``details["gateway"]``), the 3rd the name server (``details["dns"]``).

    ``ovs``: a port of Open vSwitch. ``other``: wired by nobody (``HostNetwork.mode`` is ``none``).
    """

    id: str
    network_id: str
    network_label: str
    mac: str
    type: str
    fixed_ips: tuple[FixedIP, ...] = ()
    devname: str | None = None
    mtu: int = 1500
    details: Mapping[str, Any] = field(default_factory=dict)


class NetworkInfo(Sequence[VIF]):
    """The VIFs of a guest, in order. This one is complete; a subclass may block at its first read."""

    def __init__(self, vifs: Sequence[VIF] = ()) -> None:
        self._vifs = tuple(vifs)

    def wait(self) -> tuple[VIF, ...]:
        """Return the VIFs, waiting for them where they are not there yet. Raises NetworkFailed."""
        return self._vifs

    @overload
    def __getitem__(self, index: int) -> VIF: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[VIF]: ...

    def __getitem__(self, index: int | slice) -> VIF | Sequence[VIF]:
        return self.wait()[index]

    def __len__(self) -> int:
        return len(self.wait())

    def __iter__(self) -> Iterator[VIF]:
        return iter(self.wait())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(other) == self.wait()

    def __hash__(self) -> int:
        return hash(tuple(vif.id for vif in self.wait()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (NetworkInfo, (self.wait(),))


@dataclass(frozen=True)
class HostNetwork:
    """How guests on this host are wired. ``namespace`` is a named network namespace, None for the host's own.

    ``mode`` is ``bridge`` (taps on bridges inside the namespace), ``user`` (the hypervisor's user-mode networking, no
    root needed) or ``none`` (addresses are allocated and shown, nothing is wired; for drivers without real guests).
    """

    mode: str
    namespace: str | None = None


@dataclass(frozen=True)
class RequestedNetwork:
    """What the user asked for one NIC: a network, or an existing port, maybe a fixed address and a tag."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class AllocateRequest:
    """Allocate one port for each of ``networks`` (already checked by ``check``), for one instance on one host."""

    instance_uuid: str
    project_id: str
    host: str
    hostname: str
    networks: tuple[RequestedNetwork, ...]


@dataclass(frozen=True)
class NetworkDriverInfo:
    name: str
    capabilities: Mapping[str, Capability] = field(default_factory=dict)


class NetworkDriver(Plugin, abc.ABC):
    """What every network driver must do. All methods are thread-safe and safe to run again."""

    contract = CONTRACT

    @abc.abstractmethod
    def describe(self) -> NetworkDriverInfo:
        """Return what this driver is and can do right now."""

    @abc.abstractmethod
    def init_host(self, host: str) -> HostNetwork:
        """Make this host's part of the network ready (bridges, namespaces, DHCP). Called once by each compute
        service before the virt driver's ``init_host``. What an earlier process made is taken over, not made anew."""

    @abc.abstractmethod
    def check(
        self, project_id: str, networks: Sequence[RequestedNetwork] | None, instances: int = 1
    ) -> tuple[RequestedNetwork, ...]:
        """Check, at request time, what a user asked for, and return it with every network decided.

        ``None`` means "the project's network, if there is exactly one" (the Compute API's ``auto``; with several: the
        shared default). Raises Invalid for an unknown network, port or address that cannot be had, Conflict for a
        port or address in use or for an ambiguous choice.
        """

    @abc.abstractmethod
    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        """Return the instance's VIFs in the order asked; running it again returns the same ones. Nothing is left
        allocated if it raises. Raises NetworkFailed, ResourceExhausted (no address left)."""

    @abc.abstractmethod
    def deallocate(self, instance_uuid: str) -> None:
        """Give back everything ``allocate`` made for the instance (ports that the user made stay, unbound)."""

    @abc.abstractmethod
    def vifs(self, instance_uuid: str) -> tuple[VIF, ...]:
        """Return the VIFs that are allocated to the instance now."""

    @abc.abstractmethod
    def plug(self, instance_uuid: str, vif: VIF) -> None:
        """Wire the VIF on this host before the guest starts (for ``bridge`` VIFs: DHCP knows it; the hypervisor makes
        the tap)."""

    @abc.abstractmethod
    def unplug(self, instance_uuid: str, vif: VIF) -> None:
        """Undo ``plug`` on this host; the device is gone on return."""
