"""The contract of network drivers, version 1.0."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from tenter.contracts.base import Driver, Power

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

    ``user``: user-mode networking of the hypervisor, a private network for this one interface. It must look to the
    guest as the fixed address says: the subnet's CIDR and gateway, and by DHCP just that address (QEMU:
    ``-netdev user,net=CIDR,host=GATEWAY,dhcpstart=ADDRESS``).

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
    """Allocate one port for each of ``networks`` (already checked by ``check``), for one instance on one host.

    ``replaces``: the hosts on which the instance was tried before, whose ports it takes over; None: those of any host.
    """

    instance_uuid: str
    project_id: str
    host: str
    hostname: str
    networks: tuple[RequestedNetwork, ...]
    replaces: tuple[str, ...] | None = None


@dataclass(frozen=True)
class InitHostRequest:
    """Make this host's part of the network ready."""

    host: str


@dataclass(frozen=True)
class CheckRequest:
    """What a project's user asked for ``instances`` instances: these networks each, None for "whatever fits"."""

    project_id: str
    networks: Sequence[RequestedNetwork] | None
    instances: int = 1


@dataclass(frozen=True)
class InstancePorts:
    """What is allocated to an instance; with ``host`` only what is bound to that host."""

    instance_uuid: str
    host: str | None = None


@dataclass(frozen=True)
class PlugRequest:
    """One VIF of an instance, on this host."""

    instance_uuid: str
    vif: VIF


class NetworkDriver(Driver):
    """What every network driver must do. All methods are thread-safe and safe to run again."""

    contract = CONTRACT

    @abc.abstractmethod
    def init_host(self, request: InitHostRequest) -> HostNetwork:
        """Make this host's part of the network ready (bridges, namespaces, DHCP). Called once by each compute
        service before the virt driver's ``init_host``. What an earlier process made is taken over, not made anew."""

    @abc.abstractmethod
    def check(self, request: CheckRequest) -> tuple[RequestedNetwork, ...]:
        """Check, at request time, what a user asked for, and return it with every network decided.

        ``networks`` None means "the project's network, if there is exactly one" (the Compute API's ``auto``; with
        several: the shared default). Raises Invalid for an unknown network, port or address that cannot be had,
        Conflict for a port or address in use or for an ambiguous choice.
        """

    @abc.abstractmethod
    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        """Return the instance's VIFs in the order asked; running it again returns the same ones. Nothing is left
        allocated if it raises. Raises NetworkFailed, ResourceExhausted (no address left).

        Ports that the instance has on a host of ``replaces`` are bound to this one from now on. If it has ports on any
        other host, the request comes too late: the instance is made there by now; raises NetworkFailed."""

    @abc.abstractmethod
    def deallocate(self, ports: InstancePorts) -> None:
        """Give back everything ``allocate`` made for the instance (ports that the user made stay, unbound).

        With ``host`` only what is bound to that host: what another host has of the instance by now stays its own."""

    @abc.abstractmethod
    def vifs(self, ports: InstancePorts) -> tuple[VIF, ...]:
        """Return the VIFs that are allocated to the instance now, with ``host`` only those bound to that host."""

    @abc.abstractmethod
    def plug(self, request: PlugRequest) -> None:
        """Wire the VIF on this host before the guest starts (for ``bridge`` VIFs: DHCP knows it; the hypervisor makes
        the tap)."""

    @abc.abstractmethod
    def unplug(self, request: PlugRequest) -> None:
        """Undo ``plug`` on this host; the device is gone on return."""


@dataclass(frozen=True)
class NetworkScope:
    """Who asks through the Network API. An admin sees and changes every project's things."""

    project_id: str
    is_admin: bool = False


@dataclass(frozen=True)
class NetworkRecord:
    """A network as the Network API shows it. Times are ISO 8601 in UTC, ``2026-01-31T12:00:00Z``."""

    id: str
    project_id: str
    name: str
    description: str
    shared: bool
    is_default: bool
    admin_state_up: bool
    mtu: int
    created_at: str
    updated_at: str
    subnet_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class SubnetRecord:
    """A subnet as the Network API shows it. Addresses from ``first`` to ``last`` are given out."""

    id: str
    network_id: str
    project_id: str
    name: str
    description: str
    cidr: str
    gateway: str | None
    dns: tuple[str, ...]
    dhcp: bool
    first: str
    last: str
    created_at: str
    updated_at: str
    version: int = 4


@dataclass(frozen=True)
class PortAddress:
    """An address of a port. Asked for: either part may be None (any address; the subnet that holds the address)."""

    subnet_id: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class PortRecord:
    """A port as the Network API shows it. ``device_id`` is the instance that it is bound to, or empty."""

    id: str
    network_id: str
    project_id: str
    name: str
    description: str
    mac: str
    admin_state_up: bool
    device_id: str
    device_owner: str
    host: str
    vif_type: str
    created_at: str
    updated_at: str
    fixed_ips: tuple[PortAddress, ...] = ()


@dataclass(frozen=True)
class SecurityGroupRecord:
    """A security group as the Network API shows it. Rules are not part of this contract's version."""

    id: str
    project_id: str
    name: str
    description: str


@dataclass(frozen=True)
class CreateNetwork:
    """``mtu`` in bytes; None: the driver's own."""

    project_id: str
    name: str = ""
    description: str = ""
    shared: bool = False
    admin_state_up: bool = True
    mtu: int | None = None


@dataclass(frozen=True)
class CreateSubnet:
    """``gateway``: an address, None for no gateway, ``"auto"`` for the first address. ``pool``: first and last address
    to give out, None for all but the gateway."""

    network_id: str
    project_id: str
    cidr: str
    name: str = ""
    description: str = ""
    gateway: str | None = "auto"
    dns: tuple[str, ...] = ()
    dhcp: bool = True
    pool: tuple[str, str] | None = None


@dataclass(frozen=True)
class CreatePort:
    """``fixed_ips`` empty: one address, any. ``mac`` None: one is made up."""

    network_id: str
    project_id: str
    name: str = ""
    description: str = ""
    mac: str | None = None
    admin_state_up: bool = True
    fixed_ips: tuple[PortAddress, ...] = ()


NetworkResource = Literal["network", "subnet", "port"]


class SupportsNetworkApi(Power):
    """Power ``network_api``: what the embedded Network API v2.0 needs to manage networks, subnets and ports.

    A list shows what the scope may see: its own and what is shared (ports: its own only). ``where`` narrows by
    attribute names of the record to any of the values given; a driver may ignore names it does not know, for the
    caller filters again. All others raise NotFound for what the scope may not see and Forbidden for what it sees
    but does not own.
    """

    capability = "network_api"

    @abc.abstractmethod
    def list_networks(self, scope: NetworkScope, where: Mapping[str, Sequence[str]]) -> Sequence[NetworkRecord]:
        """Return networks, oldest first."""

    @abc.abstractmethod
    def create_network(self, scope: NetworkScope, request: CreateNetwork) -> NetworkRecord:
        """Make a network without subnets. Raises Invalid."""

    @abc.abstractmethod
    def delete_network(self, scope: NetworkScope, network_id: str) -> None:
        """Remove a network and its subnets. Raises NotFound, Forbidden, Conflict if it has ports."""

    @abc.abstractmethod
    def list_subnets(self, scope: NetworkScope, where: Mapping[str, Sequence[str]]) -> Sequence[SubnetRecord]:
        """Return subnets, oldest first."""

    @abc.abstractmethod
    def create_subnet(self, scope: NetworkScope, request: CreateSubnet) -> SubnetRecord:
        """Add a subnet to a network. Raises Invalid (malformed, overlapping), NotFound, Forbidden."""

    @abc.abstractmethod
    def delete_subnet(self, scope: NetworkScope, subnet_id: str) -> None:
        """Remove a subnet. Raises NotFound, Forbidden, Conflict if a port has an address of it."""

    @abc.abstractmethod
    def list_ports(self, scope: NetworkScope, where: Mapping[str, Sequence[str]]) -> Sequence[PortRecord]:
        """Return ports, oldest first."""

    @abc.abstractmethod
    def create_port(self, scope: NetworkScope, request: CreatePort) -> PortRecord:
        """Make an unbound port. Raises Invalid, NotFound, Forbidden, Conflict (address or MAC in use, none left)."""

    @abc.abstractmethod
    def delete_port(self, scope: NetworkScope, port_id: str) -> None:
        """Remove an unbound port. Raises NotFound, Forbidden, Conflict if it is bound."""

    @abc.abstractmethod
    def update(self, scope: NetworkScope, kind: NetworkResource, id: str, changes: Mapping[str, Any]) -> None:
        """Set ``name``, ``description``, ``admin_state_up`` (not of subnets) or ``shared`` (networks, admin only).

        Raises NotFound, Forbidden, Conflict (no longer shared, but in use by others)."""

    @abc.abstractmethod
    def list_security_groups(self, scope: NetworkScope) -> Sequence[SecurityGroupRecord]:
        """Return the groups of the scope's project."""
