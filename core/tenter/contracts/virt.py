"""The contract of virt drivers, version 1.0.

Every method may be called from several threads at once, for different guests. Every method that changes something is
safe to run again after a crash in the middle. Only errors of :mod:`tenter.errors` cross this boundary.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenter.contracts.base import Description, Driver, Power
from tenter.contracts.console import ConsoleEndpoint, ConsoleType
from tenter.contracts.network import NetworkInfo
from tenter.contracts.scheduling import MAX_UNIT

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
class DriverInfo(Description):
    """A virt driver's description. ``hypervisor_version`` is an integer, as libvirt counts (0: not known yet)."""

    hypervisor_type: str = ""
    hypervisor_version: int = 0
    accepts_unfinished_network: bool = True
    """False: ``spawn`` gets a NetworkInfo that is complete. True: it may block at the first read."""


@dataclass(frozen=True)
class Inventory:
    """How much there is of one resource class; see :class:`tenter.contracts.scheduling.Resource`. ``ratio`` is None
    where the driver has no say: then it is as configured."""

    total: int
    reserved: int = 0
    ratio: float | None = None
    step_size: int = 1
    min_unit: int = 1
    max_unit: int = MAX_UNIT


@dataclass(frozen=True)
class ProviderInventory:
    """A part of a node with resources of its own: a NUMA node, a PCI device, a GPU. ``uuid`` is stable for the life of
    the part; ``parent`` is the UUID of the part that it is a part of, None: the node itself."""

    uuid: str
    name: str
    inventories: Mapping[str, Inventory]
    traits: frozenset[str] = frozenset()
    parent: str | None = None


@dataclass(frozen=True)
class NodeInventory:
    """What one node offers. Memory in MiB, disk in GiB. ``uuid`` is stable for the life of the node.

    ``inventories`` holds further resource classes, or says more of VCPU, MEMORY_MB and DISK_GB than the fields for them
    can; ``metrics`` what was measured now, by name.
    """

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
    inventories: Mapping[str, Inventory] = field(default_factory=dict)
    providers: tuple[ProviderInventory, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


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
    """Boot a guest that was made before. ``network_info`` and ``hardware`` are what its SpawnRequest had, so that a
    driver may make anew what a crash took away."""

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


class VirtDriver(Driver):
    """What every virt driver must do. Optional powers are the ``Supports*`` classes below."""

    contract = CONTRACT

    @abc.abstractmethod
    def init_host(self, setup: HostSetup) -> None:
        """Make the host ready; on return guests can be made. Guests that an earlier process made are left running
        and known again. Raises HypervisorUnavailable with what to install or start."""

    @abc.abstractmethod
    def describe(self) -> DriverInfo: ...

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


@dataclass(frozen=True)
class ConsoleOutputRequest:
    """The last ``max_bytes`` bytes of what the guest's serial console printed."""

    guest: GuestRef
    max_bytes: int


class SupportsConsoleOutput(Power):
    """Power ``console_output``: the text that the guest's serial console printed."""

    capability = "console_output"

    @abc.abstractmethod
    def console_output(self, request: ConsoleOutputRequest) -> bytes:
        """Return at most as many bytes as asked for, the last ones. Empty before the first output. Raises
        GuestNotFound."""


@dataclass(frozen=True)
class ConsoleRequest:
    """Where a console of one type can be reached."""

    guest: GuestRef
    type: ConsoleType


class SupportsConsole(Power):
    """Power ``console``: interactive consoles."""

    capability = "console"

    @abc.abstractmethod
    def console(self, request: ConsoleRequest) -> ConsoleEndpoint:
        """Return where the running guest's console listens. Raises GuestNotFound, CapabilityMissing (not this type),
        Conflict (the guest does not run)."""


class SupportsPause(Power):
    """Power ``pause``: a guest is frozen in memory and goes on where it was."""

    capability = "pause"

    @abc.abstractmethod
    def pause(self, guest: GuestRef) -> None:
        """On return the guest is PAUSED and executes nothing. One that is paused already is no error. Raises
        GuestNotFound, GuestFailed (it does not run)."""

    @abc.abstractmethod
    def unpause(self, guest: GuestRef) -> None:
        """On return the guest is RUNNING. One that runs already is no error. Raises GuestNotFound, GuestFailed."""


@dataclass(frozen=True)
class SnapshotRequest:
    """An image of the guest's root disk, whether it runs or not. ``cancelled`` says whether to give up soon."""

    guest: GuestRef
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Snapshot:
    """An image being read: ``size`` in bytes, ``chunks`` its data, once. Closing ``chunks`` (a generator), early or
    at the end, removes whatever was made for it."""

    disk_format: str
    size: int
    chunks: Generator[bytes]


class SupportsSnapshot(Power):
    """Power ``snapshot``: images of guests."""

    capability = "snapshot"

    @abc.abstractmethod
    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        """Return the root disk as it is now, complete in itself: a guest spawned from it has the same data. The guest
        goes on. Raises GuestNotFound, GuestFailed, ResourceExhausted."""


@dataclass(frozen=True)
class ResizeRequest:
    """Give the guest other hardware, on this host. Disks only grow."""

    guest: GuestRef
    hardware: Hardware
    network_info: NetworkInfo


class SupportsResize(Power):
    """Power ``resize``: other hardware for a guest that is shut down."""

    capability = "resize"

    @abc.abstractmethod
    def resize(self, request: ResizeRequest) -> None:
        """On return the guest, still shut down, will start with the new hardware; its data is kept. If it raises, the
        guest is as before. Raises GuestNotFound, Conflict (it is not shut down), Invalid (a disk would shrink),
        ResourceExhausted."""


@dataclass(frozen=True)
class IncomingRequest:
    """A running guest is to arrive on this host: what it was made from, and what both sides agreed on, by feature."""

    guest: GuestRef
    name: str
    hardware: Hardware
    network_info: NetworkInfo
    source_host: str
    agreement: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MigrateRequest:
    """Move the running guest there. ``destination`` is what ``prepare_incoming`` returned on the other host.

    ``report`` may be called with a short word whenever progress is made; ``cancelled`` says whether to give up, which
    is possible until the guest runs on the destination.
    """

    guest: GuestRef
    destination: Mapping[str, Any]
    agreement: Mapping[str, Any] = field(default_factory=dict)
    report: Callable[[str], None] = lambda word: None
    cancelled: Callable[[], bool] = lambda: False


class SupportsLiveMigration(Power):
    """Power ``live_migration``: a running guest moves to another host with the same driver.

    The order: ``prepare_incoming`` there, ``migrate`` here, ``finish_incoming`` there, ``destroy`` here; or, where
    ``migrate`` raised, ``cancel_incoming`` there.
    """

    capability = "live_migration"

    @abc.abstractmethod
    def prepare_incoming(self, request: IncomingRequest) -> Mapping[str, Any]:
        """Destination: get ready and return (JSON) how the source reaches it. If it raises, nothing of the guest is
        here. Raises Conflict (the guest is here already), ResourceExhausted, HypervisorUnavailable."""

    @abc.abstractmethod
    def migrate(self, request: MigrateRequest) -> None:
        """Source: on return the guest runs on the destination and nowhere else; its disks are kept here until
        ``destroy``. If it raises, the guest runs here as before. Raises GuestNotFound, GuestFailed, StaleAttempt
        (cancelled), HypervisorUnavailable."""

    @abc.abstractmethod
    def finish_incoming(self, request: IncomingRequest) -> Mapping[str, Any]:
        """Destination: make the guest that arrived one of this host for good; return its handle, as ``spawn`` does.
        Raises GuestNotFound (it never arrived)."""

    @abc.abstractmethod
    def cancel_incoming(self, guest: GuestRef) -> None:
        """Destination: remove what was prepared. Nothing prepared is no error. Raises Conflict if the guest runs here:
        then it has arrived, and is kept."""
