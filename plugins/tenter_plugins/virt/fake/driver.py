"""The fake virt driver: the contract's methods."""

from __future__ import annotations

import base64
import logging
import random
import time
import uuid as uuidlib
from collections.abc import Mapping, Sequence
from typing import Any

from tenter import errors
from tenter.contracts.base import Capability, PluginSetup
from tenter.contracts.virt import (
    ConsoleOutputRequest,
    DestroyRequest,
    DriverInfo,
    GuestRef,
    GuestState,
    HostSetup,
    Inventory,
    NodeInventory,
    PowerOffRequest,
    PowerOnRequest,
    PowerState,
    ProviderInventory,
    RebootRequest,
    SpawnRequest,
    SupportsConsoleOutput,
    SupportsLiveMigration,
    SupportsPause,
    SupportsResize,
    SupportsSnapshot,
    VirtDriver,
)
from tenter_plugins.virt.fake import parts
from tenter_plugins.virt.fake.guests import Change, Guest, Guests, as_stored, halted, running, started
from tenter_plugins.virt.fake.images import Images
from tenter_plugins.virt.fake.migration import Migration
from tenter_plugins.virt.fake.options import OPTIONS, SECTION
from tenter_plugins.virt.fake.powers import Powers

LOG = logging.getLogger(__name__)

_POWERS = (SupportsConsoleOutput, SupportsPause, SupportsSnapshot, SupportsResize, SupportsLiveMigration)
_CAPABILITIES = {power.capability: Capability(True) for power in _POWERS}


class FakeDriver(VirtDriver, SupportsConsoleOutput, Powers, Migration):
    """Keeps guests as JSON files; boots in no time."""

    contract = "virt 1.0"
    section = SECTION
    options = OPTIONS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._options = setup.conf.fake
        self.files = Guests(setup.state_dir / "guests")
        self._images = Images(setup.state_dir / "images")
        self._node_uuid = ""
        self._inventories: Mapping[str, Inventory] = {}
        self._providers: tuple[ProviderInventory, ...] = ()

    def init_host(self, setup: HostSetup) -> None:
        """Read the guests that an earlier process made. Raises Invalid for options that are malformed."""
        self.files.load()
        self._images.load()
        self._settle_migrations()
        key = self.setup.state_dir / "node.id"
        if not key.exists() or not key.read_text().strip():  # a full disk leaves it empty
            key.write_text(str(uuidlib.uuid4()))
        self._node_uuid = key.read_text().strip()
        self._inventories = parts.inventories(self._options.inventories)
        self._providers = parts.providers(self._options.providers, self._node_uuid)
        LOG.info("This host's node is %s, as %s says", self._node_uuid, key)

    def describe(self) -> DriverInfo:
        """Return what the driver can do."""
        return DriverInfo(
            name="fake",
            hypervisor_type="fake",
            hypervisor_version=1000,
            capabilities=_CAPABILITIES,
            accepts_unfinished_network=self._options.accepts_unfinished_network,
        )

    def inventory(self) -> Sequence[NodeInventory]:
        """Return one node with what the options say."""
        return [
            NodeInventory(
                uuid=self._node_uuid,
                name=self.setup.host,
                vcpus=self._options.vcpus,
                memory_mib=self._options.memory_mib,
                disk_gib=self._options.disk_gib,
                cpu_info={"arch": "x86_64", "model": "fake", "vendor": "fake", "features": [], "topology": {}},
                traits=frozenset(self._options.traits),
                inventories=self._inventories,
                providers=self._providers,
            )
        ]

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        """Fetch the image, read the network, write the guest."""
        image = self._images.fetch(request.image) if request.image is not None else None
        self._wait(self._options.spawn_delay, request)
        self._maybe_fail("spawn", errors.GuestFailed)
        addresses = [ip.address for vif in request.network_info for ip in vif.fixed_ips]
        guest = {
            "uuid": request.uuid,
            "name": request.name,
            "console": "",
            "hardware": as_stored(request.hardware),
            "image": image,
            "told": _told(request),
        }
        self.files.put(started(guest, f"{request.hostname} booted, addresses {' '.join(addresses) or 'none'}"))
        return {"file": f"{request.uuid}.json"}

    def destroy(self, request: DestroyRequest) -> None:
        """Remove the guest's file."""
        time.sleep(self._options.destroy_delay)
        self._maybe_fail("destroy", errors.HypervisorUnavailable)
        self.files.remove(request.guest.uuid)

    def power_on(self, request: PowerOnRequest) -> None:
        """Set the guest running."""
        hardware = as_stored(request.hardware)
        self._power("power_on", request.guest, lambda guest: (
            guest if running(guest) else started({**guest, "hardware": hardware}, "started")))  # fmt: skip

    def power_off(self, request: PowerOffRequest) -> None:
        """Set the guest shut down."""
        self._power("power_off", request.guest, lambda guest: halted(guest, PowerState.SHUTDOWN, "stopped"))

    def reboot(self, request: RebootRequest) -> None:
        """Set the guest running again."""
        kind = "hard" if request.hard else "soft"
        self._power("reboot", request.guest, lambda guest: started(guest, f"rebooted ({kind})"))

    def state(self, guest: GuestRef) -> GuestState:
        """Return what the file says."""
        return _state(self.files.get(guest.uuid))

    def guests(self) -> Sequence[GuestState]:
        """Return all guests."""
        return [_state(guest) for guest in self.files.all()]

    def console_output(self, request: ConsoleOutputRequest) -> bytes:
        """Return what the guest pretends to have printed."""
        printed = bytes(self.files.get(request.guest.uuid)["console"].encode())
        return printed[max(0, len(printed) - request.max_bytes) :]

    def _power(self, method: str, guest: GuestRef, change: Change) -> None:
        self.files.get(guest.uuid)
        time.sleep(self._options.power_delay)
        self._maybe_fail(method, errors.GuestFailed)
        self.files.change(guest.uuid, change)

    def _wait(self, seconds: float, request: SpawnRequest) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if request.cancelled():
                raise errors.GuestFailed("The build was cancelled.")
            time.sleep(min(left, 0.1))

    def _maybe_fail(self, method: str, error: type[errors.TenterError]) -> None:
        chance = float(self._options.faults.get(method, 0))
        if chance and random.random() < chance:
            raise error(f"The fake driver was told to fail {method}.")


def _state(guest: Guest) -> GuestState:
    return GuestState(guest["uuid"], PowerState(guest["power"]))


def _told(request: SpawnRequest) -> dict[str, Any]:
    """Return what a config drive would tell the guest; user data in base64."""
    told: dict[str, Any] = {"uuid": request.uuid, "hostname": request.hostname, "metadata": dict(request.metadata)}
    if request.user_data is not None:
        told["user_data"] = base64.b64encode(request.user_data).decode("ascii")
    return told
