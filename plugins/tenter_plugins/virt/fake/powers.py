"""Pause, snapshot and resize of fake guests."""

from __future__ import annotations

import time

from tenter import errors
from tenter.contracts.virt import (
    GuestRef,
    Hardware,
    PowerState,
    ResizeRequest,
    Snapshot,
    SnapshotRequest,
    SupportsPause,
    SupportsResize,
    SupportsSnapshot,
)
from tenter_plugins.virt.fake.guests import Guest, Guests, as_stored, halted, running
from tenter_plugins.virt.fake.images import Images


class Powers(SupportsPause, SupportsSnapshot, SupportsResize):
    """What can be done to a guest that is here."""

    files: Guests
    _images: Images

    def pause(self, guest: GuestRef) -> None:
        """Stop the guest's clock."""
        self.files.change(guest.uuid, _paused)

    def unpause(self, guest: GuestRef) -> None:
        """Let the guest's clock go on."""
        self.files.change(guest.uuid, _unpaused)

    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        """Return the guest's image: a fake guest writes nothing."""
        guest = self.files.get(request.guest.uuid)
        if guest["image"] is None:
            raise errors.GuestFailed(f"Guest {guest['uuid']} has no root disk.")
        return self._images.snapshot(guest["image"])

    def resize(self, request: ResizeRequest) -> None:
        """Note the new hardware."""
        self.files.change(request.guest.uuid, lambda guest: _resized(guest, request.hardware))


def _paused(guest: Guest) -> Guest:
    if guest["power"] == PowerState.PAUSED:
        return guest
    if not running(guest):
        raise errors.GuestFailed(f"Guest {guest['uuid']} does not run.")
    return halted(guest, PowerState.PAUSED, "")


def _unpaused(guest: Guest) -> Guest:
    if running(guest):
        return guest
    if guest["power"] != PowerState.PAUSED:
        raise errors.GuestFailed(f"Guest {guest['uuid']} does not run.")
    return {**guest, "power": int(PowerState.RUNNING), "since": time.time()}


def _resized(guest: Guest, hardware: Hardware) -> Guest:
    if guest["power"] != PowerState.SHUTDOWN:
        raise errors.Conflict(f"Guest {guest['uuid']} is not shut down.")
    wanted = as_stored(hardware)
    for disk in ("root_gib", "ephemeral_gib", "swap_mib"):
        if wanted[disk] < guest["hardware"][disk]:
            raise errors.Invalid(f"Guest {guest['uuid']} has {disk} {guest['hardware'][disk]}; disks only grow.")
    return {**guest, "hardware": wanted}
