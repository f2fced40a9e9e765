"""The fake virt driver: real state, no hypervisor. Its delays and faults are options, for tests and benchmarks.

Guests are files in its state directory, so they outlive the process as real guests do.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import threading
import time
import uuid as uuidlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from oslo_config import cfg

from tenter import errors
from tenter.contracts.base import Capability, PluginSetup
from tenter.contracts.virt import (
    ConsoleOutputRequest,
    DestroyRequest,
    DriverInfo,
    GuestRef,
    GuestState,
    HostSetup,
    ImageSource,
    NodeInventory,
    PowerOffRequest,
    PowerOnRequest,
    PowerState,
    RebootRequest,
    SpawnRequest,
    SupportsConsoleOutput,
    VirtDriver,
)

LOG = logging.getLogger(__name__)
OPTS = [
    cfg.IntOpt("vcpus", default=4096, min=1, help="CPUs that the host pretends to have."),
    cfg.IntOpt("memory_mib", default=16 * 1024 * 1024, min=1, help="MiB of memory it pretends to have."),
    cfg.IntOpt("disk_gib", default=1024 * 1024, min=1, help="GiB of disk it pretends to have."),
    cfg.FloatOpt("spawn_delay", default=0.0, min=0, help="Seconds that each spawn takes before the network is read."),
    cfg.FloatOpt("power_delay", default=0.0, min=0, help="Seconds that start, stop and reboot take."),
    cfg.FloatOpt("destroy_delay", default=0.0, min=0, help="Seconds that each destroy takes."),
    cfg.DictOpt("faults", default={},
                help="Probability (0 to 1) that a call fails, by method: spawn:0.1,destroy:0.05."),
    cfg.BoolOpt("accepts_unfinished_network", default=True,
                help="Whether the driver takes a network that is still being allocated."),
]  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [("fake", list(OPTS))]


class FakeDriver(VirtDriver, SupportsConsoleOutput):
    """Keeps guests as JSON files; boots in no time."""

    contract = "virt 1.0"
    section = "fake"
    options = OPTS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._options = setup.conf.fake
        self._dir = setup.state_dir / "guests"
        self._lock = threading.Lock()
        self._guests: dict[str, dict[str, Any]] = {}
        self._verified: set[tuple[str, str | None]] = set()
        self._node_uuid = ""

    def init_host(self, setup: HostSetup) -> None:
        """Read the guests that an earlier process made."""
        self._dir.mkdir(parents=True, exist_ok=True)
        for leftover in self._dir.glob("*.new"):
            leftover.unlink()
        self._guests = {path.stem: orjson.loads(path.read_bytes()) for path in self._dir.glob("*.json")}
        key = self.setup.state_dir / "node.id"
        if not key.exists() or not key.read_text().strip():  # a full disk leaves it empty
            key.write_text(str(uuidlib.uuid4()))
        self._node_uuid = key.read_text().strip()
        LOG.info("This host's node is %s, as %s says", self._node_uuid, key)

    def describe(self) -> DriverInfo:
        """Return what the driver can do."""
        return DriverInfo(
            name="fake",
            hypervisor_type="fake",
            hypervisor_version=1000,
            capabilities={SupportsConsoleOutput.capability: Capability(True)},
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
            )
        ]

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        """Check the image, read the network, write the guest."""
        if request.image is not None:
            self._check_image(request.image)
        self._wait(self._options.spawn_delay, request)
        self._maybe_fail("spawn", errors.GuestFailed)
        addresses = [ip.address for vif in request.network_info for ip in vif.fixed_ips]
        guest = {
            "uuid": request.uuid,
            "power": int(PowerState.RUNNING),
            "console": f"fake guest {request.hostname} booted, addresses {' '.join(addresses) or 'none'}\n",
        }
        self._write(guest)
        return {"file": f"{request.uuid}.json"}

    def destroy(self, request: DestroyRequest) -> None:
        """Remove the guest's file."""
        time.sleep(self._options.destroy_delay)
        self._maybe_fail("destroy", errors.HypervisorUnavailable)
        with self._lock:
            self._guests.pop(request.guest.uuid, None)
            self._path(request.guest.uuid).unlink(missing_ok=True)

    def power_on(self, request: PowerOnRequest) -> None:
        """Set the guest running."""
        self._power("power_on", request.guest, PowerState.RUNNING, "started")

    def power_off(self, request: PowerOffRequest) -> None:
        """Set the guest shut down."""
        self._power("power_off", request.guest, PowerState.SHUTDOWN, "stopped")

    def reboot(self, request: RebootRequest) -> None:
        """Set the guest running again."""
        kind = "hard" if request.hard else "soft"
        self._power("reboot", request.guest, PowerState.RUNNING, f"rebooted ({kind})")

    def state(self, guest: GuestRef) -> GuestState:
        """Return what the file says."""
        return GuestState(guest.uuid, PowerState(self._guest(guest)["power"]))

    def guests(self) -> Sequence[GuestState]:
        """Return all guests."""
        with self._lock:
            return [GuestState(uuid, PowerState(guest["power"])) for uuid, guest in self._guests.items()]

    def console_output(self, request: ConsoleOutputRequest) -> bytes:
        """Return what the guest pretends to have printed."""
        return bytes(self._guest(request.guest)["console"].encode()[-request.max_bytes :])

    def _path(self, uuid: str) -> Path:
        return self._dir / f"{uuidlib.UUID(uuid)}.json"

    def _guest(self, guest: GuestRef) -> dict[str, Any]:
        with self._lock:
            try:
                return self._guests[guest.uuid]
            except KeyError:
                raise errors.GuestNotFound(f"There is no guest {guest.uuid} on this host.") from None

    def _write(self, guest: dict[str, Any]) -> None:
        path = self._path(guest["uuid"])
        new = path.with_suffix(".new")
        with self._lock:
            try:
                new.write_bytes(orjson.dumps(guest))
                os.replace(new, path)
            except OSError as exc:
                raise errors.ResourceExhausted(f"The guest could not be written: {exc.strerror}.") from exc
            self._guests[guest["uuid"]] = guest

    def _power(self, method: str, ref: GuestRef, power: PowerState, word: str) -> None:
        guest = self._guest(ref)
        time.sleep(self._options.power_delay)
        self._maybe_fail(method, errors.GuestFailed)
        self._write({**guest, "power": int(power), "console": guest["console"] + f"fake guest {word}\n"})

    def _check_image(self, image: ImageSource) -> None:
        key = (image.id, image.checksum)
        if key in self._verified:
            return
        algorithm, _, expected = (image.checksum or "sha256:").partition(":")
        digest = hashlib.new(algorithm)
        for chunk in image.open():
            digest.update(chunk)
        if expected and digest.hexdigest() != expected:
            raise errors.ImageUnusable(f"The data of image {image.id} has not the checksum {algorithm} {expected}.")
        self._verified.add(key)

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
