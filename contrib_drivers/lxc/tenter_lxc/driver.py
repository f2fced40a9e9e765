"""The driver: the contract's methods, each a few steps of the other modules."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tenter import errors
from tenter.contracts import virt
from tenter.contracts.base import PluginSetup, SupportsTeardown
from tenter.contracts.network import VIF
from tenter_lxc import config_drive, console, guest_dir, host, images
from tenter_lxc.containers import Containers
from tenter_lxc.daemon import Daemon
from tenter_lxc.domain_xml import domain_name, domain_xml
from tenter_lxc.guest_dir import GuestDir, host_disk
from tenter_lxc.locks import GuestLocks
from tenter_lxc.options import OPTIONS, SECTION

LOG = logging.getLogger(__name__)

_ON = (virt.PowerState.RUNNING, virt.PowerState.PAUSED)
_OLD_READER_SECONDS = 2.0


class LxcDriver(virt.VirtDriver, virt.SupportsConsoleOutput, virt.SupportsPause, SupportsTeardown):
    """System containers of libvirt's LXC driver, on one host."""

    contract = "virt 1.0"
    section = SECTION
    options = OPTIONS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._conf = setup.conf[SECTION]
        self._state_dir = setup.state_dir.absolute()
        self._guests = self._state_dir / "guests"
        self._archives = images.Archives(self._state_dir / "images")
        self._locks = GuestLocks()
        self._ready: Containers | None = None
        self._version = 0

    def init_host(self, setup: virt.HostSetup) -> None:
        if os.geteuid() != 0:
            raise errors.HypervisorUnavailable("The lxc driver needs root, for libvirt makes containers for root only.")
        with host_disk("making the driver's directories"):
            self._state_dir.chmod(0o700)
            self._archives.directory.mkdir(exist_ok=True)
            self._guests.mkdir(exist_ok=True)
        with images.user_namespace(self._conf.idmap_base):
            pass  # it can be made: guests will have one
        self.close()
        containers = Containers(self._daemon(setup.network_namespace))
        self._version = containers.version()
        self._ready = containers
        LOG.info("Host %s is ready: %d guests", setup.host, len(self.guests()))

    def describe(self) -> virt.DriverInfo:
        return virt.DriverInfo("lxc", host.capabilities(), hypervisor_type="LXC", hypervisor_version=self._version)

    def inventory(self) -> Sequence[virt.NodeInventory]:
        with host_disk("looking at the host"):
            return [host.inventory(self.setup.host, self._state_dir)]

    def spawn(self, request: virt.SpawnRequest) -> Mapping[str, Any]:
        guest = guest_dir.find(self._guests, request.uuid)
        with self._locks.hold(guest.uuid):
            try:
                with host_disk(f"making guest {guest.uuid}"):
                    self._remove(guest)
                    self._build(request, guest)
            except BaseException:
                self._clean_up(guest)
                raise
        return {"domain": domain_name(guest.uuid)}

    def destroy(self, request: virt.DestroyRequest) -> None:
        guest = guest_dir.find(self._guests, request.guest.uuid)
        with self._locks.hold(guest.uuid), host_disk(f"removing guest {guest.uuid}"):
            if request.disks:
                self._remove(guest)
            else:
                self._containers.remove(guest.uuid)

    def power_on(self, request: virt.PowerOnRequest) -> None:
        vifs = request.network_info.wait()
        with self._locks.hold(request.guest.uuid):
            self._start(self._existing(request.guest), request.hardware, vifs)

    def power_off(self, request: virt.PowerOffRequest) -> None:
        guest = self._existing(request.guest)
        if request.timeout <= 0 or not self._containers.ask_to_stop(guest.uuid, request.timeout):
            self._containers.force_off(guest.uuid)

    def reboot(self, request: virt.RebootRequest) -> None:
        vifs = request.network_info.wait()
        self.power_off(virt.PowerOffRequest(request.guest, 0 if request.hard else request.timeout))
        with self._locks.hold(request.guest.uuid):
            self._start(self._existing(request.guest), request.hardware, vifs)

    def state(self, guest: virt.GuestRef) -> virt.GuestState:
        directory = guest_dir.find(self._guests, guest.uuid)
        power = self._containers.state(directory.uuid)
        if power is None and not directory.path.is_dir():
            raise errors.GuestNotFound(f"There is no guest {guest.uuid} on this host.")
        return _state(directory, power)

    def guests(self) -> Sequence[virt.GuestState]:
        # Directories first: a guest destroyed in between must not look like one without a container.
        found = {guest.uuid: guest for guest in guest_dir.find_all(self._guests)}
        powers = self._containers.states()
        for uuid in powers:
            found.setdefault(uuid, guest_dir.find(self._guests, uuid))
        for guest in found.values():
            if powers.get(guest.uuid) in _ON:
                self._keep_console(guest)
        return [_state(guest, powers.get(uuid)) for uuid, guest in sorted(found.items())]

    def close(self) -> None:
        if self._ready is not None:
            self._ready.close()

    # --- optional powers

    def console_output(self, request: virt.ConsoleOutputRequest) -> bytes:
        guest = self._existing(request.guest)
        self._keep_console(guest)
        with host_disk("reading a console log"):
            return console.tail(guest.console_log, request.max_bytes)

    def pause(self, guest: virt.GuestRef) -> None:
        self._containers.pause(self._existing(guest).uuid)

    def unpause(self, guest: virt.GuestRef) -> None:
        self._containers.unpause(self._existing(guest).uuid)

    def teardown(self) -> list[str]:
        if next(guest_dir.find_all(self._guests), None) is not None:
            return ["The driver's own libvirtd runs on: guests exist."]
        self.close()
        self._daemon(None).stop()
        return []

    # --- the steps

    def _build(self, request: virt.SpawnRequest, guest: GuestDir) -> None:
        """Make the guest and start it; the network is awaited only when the root file system is ready."""
        image = request.image
        if image is None:
            raise errors.ImageUnusable("The lxc driver makes guests from images only, and none was given.")
        _give_up_if(request)
        base = self._conf.idmap_base
        guest.create(base)
        request.report("downloading")
        archive = self._archives.fetch(image, request.cancelled)
        request.report("unpacking")
        images.unpack(image, archive, guest.root, base, self._conf.unpack_timeout, request.cancelled)
        images.check_size(image, guest.root, request.hardware.root_gib)
        request.report("networking")
        vifs = request.network_info.wait()
        if request.config_drive:
            config_drive.write(guest.seed, base, request, vifs)
        _give_up_if(request)
        request.report("starting")
        self._start(guest, request.hardware, vifs)
        guest.unfinished.unlink()

    def _start(self, guest: GuestDir, hardware: virt.Hardware, vifs: Sequence[VIF]) -> None:
        with host_disk(f"starting guest {guest.uuid}"):
            xml = domain_xml(guest, hardware, vifs, self._conf.init)
        if self._containers.start(guest.uuid, xml):
            self._keep_console(guest, _OLD_READER_SECONDS)

    def _remove(self, guest: GuestDir) -> None:
        self._containers.remove(guest.uuid)
        guest.remove()

    def _clean_up(self, guest: GuestDir) -> None:
        """Remove what a failed spawn made; what cannot be removed now stays marked as unfinished."""
        try:
            self._remove(guest)
        except Exception as exc:
            LOG.error("What is left of guest %s cannot be removed now: %s", guest.uuid, exc)

    def _keep_console(self, guest: GuestDir, wait: float = 0.0) -> None:
        """See that the console's output is kept: a guest that rebooted by itself has a new terminal."""
        containers = self._containers
        console.keep(guest.console_log, lambda: containers.terminal(guest.uuid), self._conf.console_log_mib, wait)

    def _existing(self, ref: virt.GuestRef) -> GuestDir:
        guest = guest_dir.find(self._guests, ref.uuid)
        if not guest.root.exists():
            raise errors.GuestNotFound(f"There is no guest {ref.uuid} on this host.")
        return guest

    @property
    def _containers(self) -> Containers:
        if self._ready is None:
            raise errors.HypervisorUnavailable("The lxc driver was not started (init_host).")
        return self._ready

    def _daemon(self, netns: str | None) -> Daemon:
        directory = self._state_dir / "libvirtd"
        return Daemon(directory, self._guests, netns, self._conf.daemon, self._conf.daemon_timeout)


def _state(guest: GuestDir, power: virt.PowerState | None) -> virt.GuestState:
    """Return a guest's state from its container's and its directory: NOSTATE for what an interrupted spawn left."""
    if power is None or (guest.unfinished.exists() and power not in _ON):
        power = virt.PowerState.NOSTATE
    return virt.GuestState(guest.uuid, power)


def _give_up_if(request: virt.SpawnRequest) -> None:
    if request.cancelled():
        raise errors.StaleAttempt(f"Guest {request.uuid} is not wanted any more.")
