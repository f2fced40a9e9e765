"""Live migration of fake guests: from the directory of one host to that of another, on one machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tenter import errors
from tenter.contracts.virt import GuestRef, IncomingRequest, MigrateRequest, PowerState, SupportsLiveMigration
from tenter_plugins.virt.fake.guests import Guest, Guests, expected_file, guest_file, halted, running, write


class Migration(SupportsLiveMigration):
    """The source puts the guest's file where the destination expects it.

    Before, it notes that the guest is on its way (``moving_to``): after a crash in the middle the guest runs where it
    has arrived, else here.
    """

    files: Guests

    def prepare_incoming(self, request: IncomingRequest) -> Mapping[str, Any]:
        """Expect the guest; return the directory that it is to go to."""
        uuid = request.guest.uuid
        if self.files.has(uuid):
            raise errors.Conflict(f"Guest {uuid} is on this host already.")
        self.files.expect(uuid)
        return {"directory": str(self.files.directory)}

    def migrate(self, request: MigrateRequest) -> None:
        """Hand the guest over."""
        uuid, directory = request.guest.uuid, Path(str(request.destination["directory"]))
        guest = self.files.get(uuid)
        if not running(guest):
            raise errors.GuestFailed(f"Guest {uuid} does not run.")
        if not expected_file(directory, uuid).exists():
            raise errors.GuestFailed(f"The destination {directory} does not expect guest {uuid}.")
        if request.cancelled():
            raise errors.StaleAttempt(f"The migration of guest {uuid} was cancelled.")
        self.files.change(uuid, lambda guest: _left(guest, directory))
        try:
            write(guest_file(directory, uuid), guest)
        except errors.TenterError:
            self.files.change(uuid, _stayed)
            raise
        self.files.change(uuid, _arrived)

    def finish_incoming(self, request: IncomingRequest) -> Mapping[str, Any]:
        """Take the guest over."""
        uuid = request.guest.uuid
        if not self.files.has(uuid):
            raise errors.GuestNotFound(f"Guest {uuid} has not arrived on this host.")
        self.files.forget(uuid)
        return {"file": f"{uuid}.json"}

    def cancel_incoming(self, guest: GuestRef) -> None:
        """Expect the guest no longer."""
        if self.files.has(guest.uuid):
            raise errors.Conflict(f"Guest {guest.uuid} has arrived on this host.")
        self.files.forget(guest.uuid)

    def _settle_migrations(self) -> None:
        """A guest that was on its way when the process died runs here if it did not arrive."""
        for guest in self.files.all():
            if "moving_to" in guest:
                there = guest_file(Path(guest["moving_to"]), guest["uuid"]).exists()
                self.files.change(guest["uuid"], _arrived if there else _stayed)


def _left(guest: Guest, directory: Path) -> Guest:
    return {**halted(guest, PowerState.SHUTDOWN, ""), "moving_to": str(directory)}


def _arrived(guest: Guest) -> Guest:
    return {key: value for key, value in guest.items() if key != "moving_to"}


def _stayed(guest: Guest) -> Guest:
    return {**_arrived(guest), "power": int(PowerState.RUNNING), "since": time.time()}
