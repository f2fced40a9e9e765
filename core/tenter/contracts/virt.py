"""The contract of virt drivers, version 1.0.

Every method may be called from several threads at once, for different guests. Every method that changes something is
safe to run again after a crash in the middle. Only errors of :mod:`tenter.errors` cross this boundary.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenter.contracts.base import Capability, Plugin
from tenter.contracts.network import NetworkInfo

CONTRACT = "virt 1.0"


class PowerState(enum.IntEnum):
    """Power states with the numbers that the Compute API shows (OS-EXT-STS:power_state)."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7


@dataclass(frozen=True)
class HostSetup:
    """What the compute service tells the driver once at start.

    ``network_namespace`` is the name of the network namespace in which the guests' interfaces live (created by the
    network driver; None: the host's own). A driver whose hypervisor plugs interfaces itself must run it there.
    """

    host: str
    network_namespace: str | None = None
    network_mode: str = "none"


@dataclass(frozen=True)
class DriverInfo:
    """What this driver on this host is and can do now. ``hypervisor_version`` is an integer, as libvirt counts."""

    name: str
    hypervisor_type: str
    hypervisor_version: int
    capabilities: Mapping[str, Capability] = field(default_factory=dict)
    accepts_unfinished_network: bool = True
    """False: ``spawn`` gets a NetworkInfo that is complete. True: it may block at the first read."""


@dataclass(frozen=True)
class NodeInventory:
    """What one node offers. Memory in MiB, disk in GiB. ``uuid`` is stable for the life of the node."""

    uuid: str
    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    host_ip: str = "127.0.0.1"
    cpu_info: Mapping[str, Any] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    allocation_ratios: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageSource:
    """The image of a guest. Sizes in bytes; ``checksum`` is ``algorithm:hex`` (``sha256:…``) or None.

    ``open`` gives the image's bytes in chunks, from the start, each time it is called; it raises NotFound or
    ImageUnusable. A driver that keeps a cache keys it by ``id`` and ``checksum`` and verifies what it read.
    """

    id: str
    name: str
    disk_format: str
    size: int
    checksum: str | None
    open: Callable[[], Iterator[bytes]]
    min_disk_gib: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hardware:
    """The virtual hardware of a guest: vCPUs, memory in MiB, disks in GiB (root 0: as large as the image)."""

    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    extra_specs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GuestRef:
    """Names a guest: the instance's UUID, and the opaque handle that ``spawn`` returned (None: not known)."""

    uuid: str
    handle: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class SpawnRequest:
    """All that is needed to make a guest.

    ``metadata`` is what the config drive's and metadata service's ``meta_data.json`` hold beyond the standard keys;
    ``user_data`` is raw bytes. ``project_id``, ``user_id``, ``name`` and ``hostname`` describe the server.
    ``report`` may be called with a short word whenever progress is made; ``cancelled`` says whether to give up soon.
    """

    uuid: str
    name: str
    hostname: str
    project_id: str
    user_id: str
    hardware: Hardware
    image: ImageSource | None
    network_info: NetworkInfo
    metadata: Mapping[str, str] = field(default_factory=dict)
    user_data: bytes | None = None
    config_drive: bool = True
    admin_password: str | None = None
    keypair_name: str | None = None
    public_key: str | None = None
    availability_zone: str | None = None
    launch_index: int = 0
    report: Callable[[str], None] = lambda word: None
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class PowerOnRequest:
    """``spawn`` is what the guest was made from, so that a driver may make anew what a crash took away."""

    guest: GuestRef
    network_info: NetworkInfo
    hardware: Hardware


@dataclass(frozen=True)
class PowerOffRequest:
    """Ask the guest to stop, and force it off after ``timeout`` seconds (0: at once)."""

    guest: GuestRef
    timeout: float = 60.0


@dataclass(frozen=True)
class RebootRequest:
    """Reboot: by asking the guest and, after ``timeout`` seconds, by force; or at once by force if ``hard``."""

    guest: GuestRef
    hard: bool
    network_info: NetworkInfo
    hardware: Hardware
    timeout: float = 60.0


@dataclass(frozen=True)
class DestroyRequest:
    """Remove a guest and, if ``disks``, all that was made for it."""

    guest: GuestRef
    disks: bool = True


@dataclass(frozen=True)
class GuestState:
    """What the hypervisor says of a guest."""

    uuid: str
    power: PowerState


class VirtDriver(Plugin, abc.ABC):
    """What every virt driver must do. Optional powers are the ``Supports*`` classes below."""

    contract = CONTRACT

    @abc.abstractmethod
    def init_host(self, setup: HostSetup) -> None:
        """Make the host ready; on return guests can be made. Guests that an earlier process made are left running
        and known again. Raises HypervisorUnavailable with what to install or start."""

    @abc.abstractmethod
    def describe(self) -> DriverInfo:
        """Return what this driver on this host is and can do right now."""

    @abc.abstractmethod
    def inventory(self) -> Sequence[NodeInventory]:
        """Return the nodes that this driver manages, with all that they have (used or not)."""

    @abc.abstractmethod
    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        """Make the guest and boot it; on return it runs. Returns an opaque handle (JSON) that core stores.

        If it raises, nothing of the guest is left (disks and interfaces included). Running it again for the same
        uuid replaces what an interrupted run left. Raises ImageUnusable, ResourceExhausted, GuestFailed,
        HypervisorUnavailable, or whatever ``request.network_info`` raised.
        """

    @abc.abstractmethod
    def destroy(self, request: DestroyRequest) -> None:
        """Remove the guest; on return nothing of it is left. A guest that does not exist is no error."""

    @abc.abstractmethod
    def power_on(self, request: PowerOnRequest) -> None:
        """On return the guest runs. A guest that runs already is no error. Raises GuestNotFound, GuestFailed."""

    @abc.abstractmethod
    def power_off(self, request: PowerOffRequest) -> None:
        """On return the guest does not run; its disks are kept. Raises GuestNotFound."""

    @abc.abstractmethod
    def reboot(self, request: RebootRequest) -> None:
        """On return the guest was restarted and runs. Raises GuestNotFound, GuestFailed."""

    @abc.abstractmethod
    def state(self, guest: GuestRef) -> GuestState:
        """Return the guest's state. Raises GuestNotFound, HypervisorUnavailable."""

    @abc.abstractmethod
    def guests(self) -> Sequence[GuestState]:
        """Return every guest of ours on this host, running or not, including those whose spawn was interrupted."""


class SupportsConsoleOutput(abc.ABC):
    """Capability ``console_output``: the text that the guest's serial console printed."""

    @abc.abstractmethod
    def console_output(self, guest: GuestRef, max_bytes: int) -> bytes:
        """Return at most the last ``max_bytes`` bytes. Empty before the first output. Raises GuestNotFound."""
