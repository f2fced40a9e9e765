"""The libvirt virt driver: the contract's methods, each a few steps of the other modules."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tenter import errors
from tenter.contracts.base import Capability, PluginSetup, SupportsTeardown
from tenter.contracts.network import VIF
from tenter.contracts.virt import (
    ConsoleOutputRequest,
    DestroyRequest,
    DriverInfo,
    GuestRef,
    GuestState,
    Hardware,
    HostSetup,
    NodeInventory,
    PowerOffRequest,
    PowerOnRequest,
    PowerState,
    RebootRequest,
    ResizeRequest,
    Snapshot,
    SnapshotRequest,
    SpawnRequest,
    SupportsConsoleOutput,
    SupportsPause,
    SupportsResize,
    SupportsSnapshot,
    VirtDriver,
)
from tenter_plugins.virt.libvirt import accel, config_drive, console, host, images, snapshots
from tenter_plugins.virt.libvirt.connection import Connection
from tenter_plugins.virt.libvirt.daemon import PrivateDaemon
from tenter_plugins.virt.libvirt.domain_xml import Domain, domain_name
from tenter_plugins.virt.libvirt.domains import Domains
from tenter_plugins.virt.libvirt.layout import GuestDir, Layout
from tenter_plugins.virt.libvirt.lib import libvirt
from tenter_plugins.virt.libvirt.locks import KeyedLocks
from tenter_plugins.virt.libvirt.options import OPTIONS, SECTION

LOG = logging.getLogger(__name__)

_POWERS = (SupportsConsoleOutput, SupportsPause, SupportsSnapshot, SupportsResize)
_ON = (PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED)


class LibvirtDriver(
    VirtDriver, SupportsConsoleOutput, SupportsPause, SupportsSnapshot, SupportsResize, SupportsTeardown
):
    """Guests of QEMU by libvirt, on one host."""

    contract = "virt 1.0"
    section = SECTION
    options = OPTIONS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._conf = setup.conf[SECTION]
        self._layout = Layout(setup.state_dir)
        self._images = images.ImageCache(self._layout.images, self._conf.image_timeout)
        self._locks = KeyedLocks()
        self._start_lock = threading.Lock()
        self._connection: Connection | None = None
        self._facts: host.HostFacts | None = None
        self._host: HostSetup | None = None
        self._probed_kvm: Capability | None = None

    def init_host(self, setup: HostSetup) -> None:
        libvirt()
        if missing := self._missing():
            raise errors.HypervisorUnavailable(missing)
        with self._start_lock:
            self._layout.create()
            LOG.info("This host's node is %s, as %s says", self._layout.node_uuid(), self._layout.node_file)
            self._images.purge_partial()
            self._probed_kvm = self._look_for_kvm(keep=True)
            self._require_kvm()
            self._host = setup
            self.close()
            self._connection = Connection(self._conf.uri, self._private_daemon(setup))
            try:
                self._facts = self._connection.run(host.facts)
            except libvirt().libvirtError as exc:
                raise errors.HypervisorUnavailable(f"libvirt cannot describe this host: {exc}") from exc
        LOG.info("Host %s is ready: %s, QEMU %d, %d guests", setup.host, self._virt_type, self._facts.version,
                 len(self.guests()))  # fmt: skip

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def stop_host(self) -> bool:
        """End the driver's own daemon if no guest exists any more, and return whether it is ended.

        For taking a host out of service. Removes nothing, and does nothing to guests: while there is one (running or
        not), or if the daemon is somebody else's ([libvirt] uri), it returns False. ``init_host`` starts it again.
        """
        with self._start_lock:
            daemon = self._private_daemon(self._host or HostSetup(self.setup.host))
            if daemon is None or next(self._layout.guests(), None) is not None:
                return False
            if daemon.pid() is not None and self._connection is not None and self._domains.states():
                return False
            self.close()
            daemon.stop()
            return True

    def teardown(self) -> list[str]:
        """See the contract: ends the driver's own daemon."""
        if self._conf.uri or self.stop_host():
            return []
        return ["The driver's own libvirtd runs on: guests exist."]

    def describe(self) -> DriverInfo:
        missing = self._missing()
        here, root = Capability(not missing, missing), self._daemon_privileged
        own_daemon = Capability(False, "[libvirt] uri names another's libvirtd") if self._conf.uri else here
        capabilities = {
            "kvm": self._kvm,
            **{power.capability: here for power in _POWERS},
            SupportsTeardown.capability: own_daemon,
            "config_drive": here,
            "soft_reboot": here,
            "user_networking": here,
            "bridge_networking": here if root else Capability(False, "taps on a bridge need root"),
        }
        version = self._facts.version if self._facts else 0
        return DriverInfo("libvirt", capabilities, hypervisor_type="QEMU", hypervisor_version=version)

    def inventory(self) -> Sequence[NodeInventory]:
        facts = self._ready_facts
        name = self._host.host if self._host else self.setup.host
        return [
            NodeInventory(
                uuid=self._layout.node_uuid(), name=name, vcpus=facts.vcpus, memory_mib=facts.memory_mib,
                disk_gib=host.disk_gib(self._layout.instances), cpu_info=facts.cpu_info,
            )
        ]  # fmt: skip

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        directory = self._layout.guest(request.uuid)
        with self._locks.hold(directory.uuid):
            try:
                self._remove(directory)
                self._build(request, directory)
            except BaseException as exc:
                self._clean_up(directory)
                if isinstance(exc, OSError):
                    raise images.disk_error(exc, f"making guest {request.uuid}") from exc
                raise
        return {"domain": domain_name(directory.uuid)}

    def destroy(self, request: DestroyRequest) -> None:
        directory = self._layout.guest(request.guest.uuid)
        with self._locks.hold(directory.uuid), _host_disk(f"removing guest {directory.uuid}"):
            if request.disks:
                self._remove(directory)
            else:
                self._domains.remove(directory)

    def power_on(self, request: PowerOnRequest) -> None:
        directory = self._existing(request.guest)
        with self._locks.hold(directory.uuid):
            self._start(directory, request.hardware, request.network_info.wait())

    def power_off(self, request: PowerOffRequest) -> None:
        directory = self._existing(request.guest)
        if request.timeout <= 0 or not self._domains.ask_to_stop(directory.uuid, request.timeout):
            self._domains.force_off(directory)

    def reboot(self, request: RebootRequest) -> None:
        directory = self._existing(request.guest)
        vifs = request.network_info.wait()
        if not request.hard and not self._domains.ask_to_stop(directory.uuid, request.timeout):
            LOG.info("Guest %s did not stop in %g seconds; rebooting it by force", directory.uuid, request.timeout)
        with self._locks.hold(directory.uuid):
            self._existing(request.guest)
            self._domains.force_off(directory)
            self._start(directory, request.hardware, vifs)

    def state(self, guest: GuestRef) -> GuestState:
        directory = self._layout.guest(guest.uuid)
        power = self._domains.state(directory.uuid)
        if power is None and not directory.path.is_dir():
            raise errors.GuestNotFound(f"There is no guest {guest.uuid} on this host.", uuid=guest.uuid)
        return GuestState(directory.uuid, _merge(directory, power))

    def guests(self) -> Sequence[GuestState]:
        # Directories first: a guest destroyed in between must not look like one without a domain.
        directories = {directory.uuid: directory for directory in self._layout.guests()}
        powers = self._domains.states()
        for uuid in powers:
            directories.setdefault(uuid, self._layout.guest(uuid))
        for directory in directories.values():
            console.trim(directory.console_log, self._conf.console_log_mib)
        return [GuestState(uuid, _merge(each, powers.get(uuid))) for uuid, each in sorted(directories.items())]

    def console_output(self, request: ConsoleOutputRequest) -> bytes:
        guest = request.guest
        directory = self._layout.guest(guest.uuid)
        if not directory.path.is_dir():
            raise errors.GuestNotFound(f"There is no guest {guest.uuid} on this host.", uuid=guest.uuid)
        with _host_disk("reading a console log"):
            return console.tail(directory.console_log, request.max_bytes)

    def pause(self, guest: GuestRef) -> None:
        self._domains.pause(self._existing(guest).uuid)

    def unpause(self, guest: GuestRef) -> None:
        self._domains.unpause(self._existing(guest).uuid)

    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        directory = self._existing(request.guest)
        one_at_a_time = self._locks.hold(f"snapshot of {directory.uuid}")
        with one_at_a_time, _host_disk(f"making a snapshot of guest {directory.uuid}"):
            with self._locks.hold(directory.uuid):
                if self._domains.state(directory.uuid) not in _ON:
                    return snapshots.of_stopped(directory, self._conf.image_timeout)
            return snapshots.of_running(self._domains, directory, request.cancelled, self._conf.image_timeout)

    def resize(self, request: ResizeRequest) -> None:
        directory = self._existing(request.guest)
        with self._locks.hold(directory.uuid), _host_disk(f"resizing guest {directory.uuid}"):
            if self._domains.state(directory.uuid) in _ON:
                raise errors.Conflict(f"Guest {directory.uuid} is not shut down.")
            hardware = request.hardware
            images.grow_disks({
                directory.root_disk: hardware.root_gib * images.GIB or images.virtual_size(directory.root_disk),
                directory.ephemeral_disk: hardware.ephemeral_gib * images.GIB,
                directory.swap_disk: hardware.swap_mib << 20,
            })  # fmt: skip

    def _build(self, request: SpawnRequest, directory: GuestDir) -> None:
        """The steps of ``spawn``; the network is awaited only when the disks are ready."""
        _give_up_if(request)
        directory.create(request.name)
        self._make_disks(request, directory)
        _give_up_if(request)
        request.report("networking")
        vifs = request.network_info.wait()
        if request.config_drive:
            config_drive.write(directory.config_drive, request, vifs)
        _give_up_if(request)
        request.report("starting")
        self._start(directory, request.hardware, vifs)
        directory.unfinished.unlink()

    def _make_disks(self, request: SpawnRequest, directory: GuestDir) -> None:
        image, hardware = request.image, request.hardware
        if image is None:
            raise errors.ImageUnusable("The libvirt driver boots guests from images only, and none was given.")
        base = self._images.fetch(image, hardware.root_gib, request.report, request.cancelled)
        request.report("disks")
        size = hardware.root_gib * images.GIB or base.stat().st_size
        images.create_disk(directory.root_disk, size, base)
        if hardware.ephemeral_gib:
            images.create_disk(directory.ephemeral_disk, hardware.ephemeral_gib * images.GIB)
        if hardware.swap_mib:
            images.create_disk(directory.swap_disk, hardware.swap_mib << 20)

    def _start(self, directory: GuestDir, hardware: Hardware, vifs: Sequence[VIF]) -> None:
        if not self._daemon_privileged and any(vif.type == "bridge" for vif in vifs):
            raise errors.CapabilityMissing("This host runs without root: it has user-mode networking only.")
        domain = Domain(directory, hardware, vifs, self._virt_type, self._conf.emulator, self._conf.machine,
                        self._layout.state_dir)  # fmt: skip
        self._domains.start(directory, domain.xml())

    def _remove(self, directory: GuestDir) -> None:
        """Remove all of a guest: first what runs, then its files."""
        self._domains.remove(directory)
        directory.remove()
        daemon = self._connection.daemon if self._connection else None
        if daemon is not None:
            daemon.qemu_log(domain_name(directory.uuid)).unlink(missing_ok=True)

    def _clean_up(self, directory: GuestDir) -> None:
        """Remove what a failed spawn made; what cannot be removed now stays marked as unfinished."""
        try:
            self._remove(directory)
        except Exception as exc:
            LOG.error("What is left of guest %s cannot be removed now: %s", directory.uuid, exc)

    def _existing(self, guest: GuestRef) -> GuestDir:
        directory = self._layout.guest(guest.uuid)
        if not directory.root_disk.exists():
            raise errors.GuestNotFound(f"There is no guest {guest.uuid} on this host.", uuid=guest.uuid)
        return directory

    def _missing(self) -> str:
        """Return a sentence that says what this host lacks, "" if nothing; guests cannot be run without it."""
        if sys.modules.get("libvirt") is None and importlib.util.find_spec("libvirt") is None:
            return "The Python binding of libvirt is missing; install it with the extra libvirt of this distribution."
        if shutil.which(self._conf.emulator) is None:
            return f"{self._conf.emulator} is missing; install the package qemu-system-x86 or set [libvirt] emulator."
        return ""

    @property
    def _kvm(self) -> Capability:
        """Whether KVM works: what ``init_host`` found, before it what can be seen without leaving a trace."""
        if self._probed_kvm is None:
            self._probed_kvm = self._look_for_kvm(keep=False)
        return self._probed_kvm

    def _look_for_kvm(self, keep: bool) -> Capability:
        if self._conf.virt_type == "qemu":
            return Capability(False, "[libvirt] virt_type is qemu")
        if missing := self._missing():
            return Capability(False, missing)
        return accel.probe_kvm(self._conf.emulator, self._layout.state_dir / "kvm-probe", keep=keep)

    def _require_kvm(self) -> None:
        if self._kvm.on or self._conf.virt_type == "qemu":
            return
        if self._conf.virt_type == "kvm":
            raise errors.HypervisorUnavailable(f"[libvirt] virt_type is kvm, but KVM does not work: {self._kvm.reason}")
        LOG.warning("Guests are emulated, which is slow: %s", self._kvm.reason)

    def _private_daemon(self, setup: HostSetup) -> PrivateDaemon | None:
        if self._conf.uri:
            return None
        return PrivateDaemon(
            self._layout.daemon,
            self._layout.node_uuid(),
            setup.network_namespace,
            self._kvm.on,
            self._conf.daemon,
            self._conf.daemon_timeout,
        )

    @property
    def _daemon_privileged(self) -> bool:
        if self._conf.uri:
            return "///session" not in self._conf.uri
        return os.geteuid() == 0

    @property
    def _virt_type(self) -> str:
        return "kvm" if self._kvm.on else "qemu"

    @property
    def _domains(self) -> Domains:
        if self._connection is None:
            raise errors.HypervisorUnavailable("The libvirt driver was not started (init_host).")
        return Domains(self._connection, self._layout)

    @property
    def _ready_facts(self) -> host.HostFacts:
        if self._facts is None:
            raise errors.HypervisorUnavailable("The libvirt driver was not started (init_host).")
        return self._facts


def _merge(directory: GuestDir, power: PowerState | None) -> PowerState:
    """Return a guest's state from its domain's and its directory: NOSTATE for what an interrupted spawn left."""
    if power is None or (directory.unfinished.exists() and power not in _ON):
        return PowerState.NOSTATE
    return power


def _give_up_if(request: SpawnRequest) -> None:
    if request.cancelled():
        raise errors.StaleAttempt(f"Guest {request.uuid} is not wanted any more.")


@contextlib.contextmanager
def _host_disk(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise images.disk_error(exc, doing) from exc
