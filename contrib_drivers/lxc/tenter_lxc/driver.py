"""The driver: the contract's methods, each a few steps of the other modules."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shutil
import threading
import uuid as uuidlib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tenter import errors
from tenter.contracts.base import Capability, PluginSetup, SupportsTeardown
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
    SpawnRequest,
    SupportsConsoleOutput,
    SupportsPause,
    VirtDriver,
)
from tenter_lxc import config_drive, console, guest_dir, images
from tenter_lxc.containers import Containers
from tenter_lxc.daemon import Daemon
from tenter_lxc.domain_xml import domain_name, domain_xml
from tenter_lxc.guest_dir import GuestDir
from tenter_lxc.options import OPTIONS, SECTION

LOG = logging.getLogger(__name__)

_ON = (PowerState.RUNNING, PowerState.PAUSED)
_FREEZER = Path("/sys/fs/cgroup/freezer")
_OLD_READER_SECONDS = 2.0


class LxcDriver(VirtDriver, SupportsConsoleOutput, SupportsPause, SupportsTeardown):
    """System containers of libvirt's LXC driver, on one host."""

    contract = "virt 1.0"
    section = SECTION
    options = OPTIONS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._conf = setup.conf[SECTION]
        self._state_dir = setup.state_dir.absolute()
        self._guests_dir = self._state_dir / "guests"
        self._archives = images.Archives(self._state_dir / "images")
        self._started: Containers | None = None
        self._version = 0
        self._guard = threading.Lock()
        self._locks: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()

    # --- the host

    def init_host(self, setup: HostSetup) -> None:
        if os.geteuid() != 0:
            raise errors.HypervisorUnavailable("The lxc driver needs root: libvirt's containers are root's.")
        try:
            self._state_dir.chmod(0o700)
            self._archives.directory.mkdir(exist_ok=True)
            self._guests_dir.mkdir(exist_ok=True)
        except OSError as exc:
            raise images.disk_error(exc, "making directories") from exc
        with images.user_namespace(self._conf.idmap_base):
            pass
        self.close()
        containers = Containers(self._daemon(setup.network_namespace))
        self._version = containers.version()
        self._started = containers
        LOG.info("Host %s is ready: %d guests", setup.host, len(self.guests()))

    def close(self) -> None:
        if self._started is not None:
            self._started.close()

    def teardown(self) -> list[str]:
        if self._guests_dir.is_dir() and any(self._guests_dir.iterdir()):
            return ["The driver's own libvirtd runs on: guests exist."]
        self.close()
        self._daemon(None).stop()
        return []

    def describe(self) -> DriverInfo:
        pause = "" if _FREEZER.is_dir() else "libvirt freezes containers by the freezer of cgroup v1, which is not mounted"
        capabilities = {
            SupportsConsoleOutput.capability: Capability(True),
            SupportsPause.capability: Capability(not pause, pause),
            SupportsTeardown.capability: Capability(True),
            "config_drive": Capability(True, details={"directory": config_drive.TARGET}),
            "soft_reboot": Capability(True),
            "bridge_networking": Capability(True),
            "user_networking": Capability(False, "a container has no user-mode network stack"),
            "disk_quota": Capability(False, "a guest's root is a directory; root_gb is checked against the image only"),
        }
        return DriverInfo("lxc", capabilities, hypervisor_type="LXC", hypervisor_version=self._version)

    def inventory(self) -> Sequence[NodeInventory]:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return [
            NodeInventory(
                uuid=self._node_uuid(), name=self.setup.host, vcpus=os.cpu_count() or 1, memory_mib=memory >> 20,
                disk_gib=shutil.disk_usage(self._state_dir).total // images.GIB,
                cpu_info={"arch": platform.machine(), "model": "", "vendor": "", "features": [], "topology": {}},
            )
        ]  # fmt: skip

    # --- a guest's life

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        guest = self._guest(request.uuid)
        with self._lock(guest):
            try:
                self._remove(guest)
                self._build(request, guest)
            except BaseException as exc:
                self._clean_up(guest)
                if isinstance(exc, OSError):
                    raise images.disk_error(exc, f"making guest {guest.uuid}") from exc
                raise
        return {"domain": domain_name(guest.uuid)}

    def _build(self, request: SpawnRequest, guest: GuestDir) -> None:
        """The steps of ``spawn``; the network is awaited only when the root file system is ready."""
        image = request.image
        if image is None:
            raise errors.ImageUnusable("The lxc driver makes guests from images only, and none was given.")
        _give_up_if(request)
        guest.create()
        request.report("downloading")
        archive = self._archives.fetch(image, request.cancelled)
        request.report("unpacking")
        base, timeout = self._conf.idmap_base, self._conf.unpack_timeout
        images.unpack(image, archive, guest.root, base, timeout, request.cancelled)
        images.check_size(image, guest.root, request.hardware.root_gib)
        request.report("networking")
        vifs = request.network_info.wait()
        if request.config_drive:
            config_drive.write(guest.seed, base, request, vifs)
        _give_up_if(request)
        request.report("starting")
        self._start(guest, request.hardware, vifs)
        guest.unfinished.unlink()

    def destroy(self, request: DestroyRequest) -> None:
        guest = self._guest(request.guest.uuid)
        with self._lock(guest), _host_disk(f"removing guest {guest.uuid}"):
            if request.disks:
                self._remove(guest)
            else:
                self._containers.remove(guest.uuid)

    def power_on(self, request: PowerOnRequest) -> None:
        guest = self._existing(request.guest)
        with self._lock(guest), _host_disk(f"starting guest {guest.uuid}"):
            self._start(guest, request.hardware, request.network_info.wait())

    def power_off(self, request: PowerOffRequest) -> None:
        guest = self._existing(request.guest)
        if request.timeout <= 0 or not self._containers.ask_to_stop(guest.uuid, request.timeout):
            self._containers.force_off(guest.uuid)

    def reboot(self, request: RebootRequest) -> None:
        guest = self._existing(request.guest)
        vifs = request.network_info.wait()
        if not request.hard and not self._containers.ask_to_stop(guest.uuid, request.timeout):
            LOG.info("Guest %s did not stop in %g seconds; rebooting it by force", guest.uuid, request.timeout)
        with self._lock(guest), _host_disk(f"starting guest {guest.uuid}"):
            self._existing(request.guest)
            self._containers.force_off(guest.uuid)
            self._start(guest, request.hardware, vifs)

    def _start(self, guest: GuestDir, hardware: Hardware, vifs: Sequence[Any]) -> None:
        self._containers.start(guest.uuid, domain_xml(guest, hardware, vifs, self._conf.init))
        self._follow_console(guest, _OLD_READER_SECONDS)

    def _remove(self, guest: GuestDir) -> None:
        self._containers.remove(guest.uuid)
        guest.remove()

    def _clean_up(self, guest: GuestDir) -> None:
        """Remove what a failed spawn made; what cannot be removed now stays marked as unfinished."""
        try:
            self._remove(guest)
        except Exception as exc:
            LOG.error("What is left of guest %s cannot be removed now: %s", guest.uuid, exc)

    # --- looking at guests

    def state(self, guest: GuestRef) -> GuestState:
        directory = self._guest(guest.uuid)
        power = self._containers.state(directory.uuid)
        if power is None and not directory.path.is_dir():
            raise errors.GuestNotFound(f"There is no guest {guest.uuid} on this host.")
        return _state(directory, power)

    def guests(self) -> Sequence[GuestState]:
        # Directories first: a guest destroyed in between must not look like one without a container.
        found = {guest.uuid: guest for guest in guest_dir.find_all(self._guests_dir)}
        powers = self._containers.states()
        for uuid in powers:
            found.setdefault(uuid, self._guest(uuid))
        for guest in found.values():
            if powers.get(guest.uuid) == PowerState.RUNNING:
                self._follow_console(guest)
        return [_state(guest, powers.get(uuid)) for uuid, guest in sorted(found.items())]

    # --- optional powers

    def console_output(self, request: ConsoleOutputRequest) -> bytes:
        guest = self._guest(request.guest.uuid)
        if not guest.path.is_dir():
            raise errors.GuestNotFound(f"There is no guest {guest.uuid} on this host.")
        self._follow_console(guest)
        with _host_disk("reading a console log"):
            return console.tail(guest.console_log, request.max_bytes)

    def pause(self, guest: GuestRef) -> None:
        directory = self._existing(guest)
        self._containers.pause(directory.uuid)

    def unpause(self, guest: GuestRef) -> None:
        directory = self._existing(guest)
        self._containers.unpause(directory.uuid)
        if self._containers.state(directory.uuid) != PowerState.RUNNING:
            raise errors.GuestFailed(f"Guest {guest.uuid} does not run.")

    # --- what these share

    @property
    def _containers(self) -> Containers:
        if self._started is None:
            raise errors.HypervisorUnavailable("The lxc driver was not started (init_host).")
        return self._started

    def _daemon(self, netns: str | None) -> Daemon:
        directory = self._state_dir / "libvirtd"
        return Daemon(directory, self._guests_dir, netns, self._conf.daemon, self._conf.daemon_timeout)

    def _node_uuid(self) -> str:
        path = self._state_dir / "node-uuid"
        with self._guard, _host_disk("keeping the node's UUID"):
            if not path.exists():
                fresh = path.with_suffix(".new")
                fresh.write_text(str(uuidlib.uuid4()), encoding="ascii")
                fresh.rename(path)
            return path.read_text(encoding="ascii")

    def _guest(self, uuid: str) -> GuestDir:
        return guest_dir.find(self._guests_dir, uuid)

    def _existing(self, ref: GuestRef) -> GuestDir:
        guest = self._guest(ref.uuid)
        if not guest.root.exists():
            raise errors.GuestNotFound(f"There is no guest {ref.uuid} on this host.")
        return guest

    @contextlib.contextmanager
    def _lock(self, guest: GuestDir) -> Iterator[None]:
        """Hold the lock of one guest; it is kept while somebody holds or awaits it."""
        with self._guard:
            lock = self._locks.setdefault(guest.uuid, threading.Lock())
        with lock:
            yield

    def _follow_console(self, guest: GuestDir, wait: float = 0.0) -> None:
        """See that the console is read: a guest that rebooted itself has a new one."""
        try:
            if wait or not console.followed(guest.console_log):
                terminal = self._containers.terminal(guest.uuid)
                if terminal is not None:
                    console.follow(guest.console_log, terminal, wait)
            console.trim(guest.console_log, self._conf.console_log_mib)
        except OSError as exc:
            LOG.warning("The console of guest %s is not read: %s", guest.uuid, exc)


def _state(guest: GuestDir, power: PowerState | None) -> GuestState:
    """Return a guest's state from its container's and its directory: NOSTATE for what an interrupted spawn left."""
    if power is None or (guest.unfinished.exists() and power not in _ON):
        power = PowerState.NOSTATE
    return GuestState(guest.uuid, power)


def _give_up_if(request: SpawnRequest) -> None:
    if request.cancelled():
        raise errors.StaleAttempt(f"Guest {request.uuid} is not wanted any more.")


@contextlib.contextmanager
def _host_disk(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise images.disk_error(exc, doing) from exc
