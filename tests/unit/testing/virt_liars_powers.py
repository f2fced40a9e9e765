"""Virt drivers that lie about an optional power."""

from __future__ import annotations

import socket
from collections.abc import Generator, Mapping
from dataclasses import asdict, replace
from typing import Any

from tenter import errors
from tenter.contracts.base import Capability, PluginSetup
from tenter.contracts.console import ConsoleEndpoint, ConsoleType
from tenter.contracts.virt import (
    ConsoleOutputRequest,
    ConsoleRequest,
    DestroyRequest,
    DriverInfo,
    GuestRef,
    IncomingRequest,
    MigrateRequest,
    PowerOffRequest,
    PowerOnRequest,
    PowerState,
    ResizeRequest,
    Snapshot,
    SnapshotRequest,
    SupportsConsole,
)
from tenter_plugins.virt.fake import FakeDriver
from tenter_plugins.virt.fake.guests import halted, running, started

from .virt_liars import Liar


class IgnoresHowMuch(Liar):
    """Returns all that the guest printed, however little was asked for."""

    caught_by, words = "console_output", "were asked for"

    def console_output(self, request: ConsoleOutputRequest) -> bytes:
        return super().console_output(replace(request, max_bytes=1 << 30))


class ReturnsTheBeginning(Liar):
    """Returns the first bytes that the guest printed, not the last."""

    caught_by, words = "console_output", "not the last"

    def console_output(self, request: ConsoleOutputRequest) -> bytes:
        return super().console_output(replace(request, max_bytes=1 << 30))[: request.max_bytes]


class EmptyForWhomItDoesNotKnow(Liar):
    """Has an answer for every guest."""

    caught_by, words = "console_output_of_unknown_guest", "nothing was"

    def console_output(self, request: ConsoleOutputRequest) -> bytes:
        return super().console_output(request) if self.files.has(request.guest.uuid) else b""


class OnlySaysPaused(Liar):
    """Says of a guest that it is paused, while it goes on executing."""

    caught_by, words = "pause", "goes on executing"

    def pause(self, guest: GuestRef) -> None:
        super().pause(guest)
        with self.files._lock:
            there = self.files._guests[guest.uuid]
            on_disk = {**there, "power": int(PowerState.RUNNING)}
            self.files._put(on_disk)
            self.files._guests[guest.uuid] = there


class PausesOnce(Liar):
    """Is not idempotent."""

    caught_by, words = "pause", "GuestFailed"

    def pause(self, guest: GuestRef) -> None:
        if not running(self.files.get(guest.uuid)):
            raise errors.GuestFailed("The guest does not run.")
        super().pause(guest)


class UnpauseLosesTheGuestsMemory(Liar):
    """Starts the guest anew, where it should go on."""

    caught_by, words = "unpause", "started anew"

    def unpause(self, guest: GuestRef) -> None:
        self.files.change(guest.uuid, lambda there: there if running(there) else started(there, "unpaused"))


class PausesInMemoryOnly(Liar):
    """Forgets at restart which guests are paused."""

    caught_by, words = "paused_guest_is_a_guest", "RUNNING"

    def pause(self, guest: GuestRef) -> None:
        with self.files._lock:
            there = self.files._guests[guest.uuid]
            self.files._guests[guest.uuid] = halted(there, PowerState.PAUSED, "")


class RunsOnlyByUnpause(Liar):
    """Takes a paused guest for one that runs, where it is to be started."""

    caught_by, words = "paused_guest_is_started_and_stopped", "after pause and power_on"

    def power_on(self, request: PowerOnRequest) -> None:
        if self.state(request.guest).power is not PowerState.PAUSED:
            super().power_on(request)


class UnpauseStarts(Liar):
    """Starts a guest that is shut down, where it should refuse."""

    caught_by, words = "pause_of_a_guest_that_does_not_run", "nothing was"

    def unpause(self, guest: GuestRef) -> None:
        self.files.change(guest.uuid, lambda there: there if running(there) else started(there, "unpaused"))


class CutsTheSnapshot(Liar):
    """Says the right size and delivers less."""

    caught_by, words = "snapshot_is_complete", "size"

    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        whole = super().snapshot(request)
        return replace(whole, chunks=(chunk[:-1] for chunk in whole.chunks))  # type: ignore[arg-type]


class SnapshotsAnotherDisk(Liar):
    """Delivers as many bytes as it says, and not the guest's."""

    caught_by, words = "snapshot_is_complete", "not the guest's"

    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        whole = super().snapshot(request)
        return replace(whole, chunks=(bytes(len(chunk)) for chunk in whole.chunks))  # type: ignore[arg-type]


class SnapshotStopsTheGuest(Liar):
    """Shuts the guest down to have a quiet disk."""

    caught_by, words = "guest_goes_on_after_snapshot", "does not run"

    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        self.power_off(PowerOffRequest(request.guest))
        return super().snapshot(request)


class SnapshotLeavesItsFile(Liar):
    """Removes what it made only if all was read."""

    caught_by, words = "snapshot_that_is_given_up", "given up this is left"

    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        file = self.scratch("snapshot.part")
        whole = super().snapshot(request)
        file.touch()

        def chunks() -> Generator[bytes]:
            yield from whole.chunks
            file.unlink()

        return replace(whole, chunks=chunks())


class CancelledSnapshotsStay(Liar):
    """Leaves what it made until it was cancelled."""

    caught_by, words = "snapshot_that_is_cancelled", "cancelled this is left"

    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        if request.cancelled():
            self.scratch("snapshot.part").touch()
            raise errors.StaleAttempt("The snapshot was cancelled.")
        return super().snapshot(request)


class ResizesNothing(Liar):
    """Accepts a resize and starts the guest as it was."""

    caught_by, words = "resize", "not the hardware asked for"

    def resize(self, request: ResizeRequest) -> None:
        self.files.get(request.guest.uuid)

    def power_on(self, request: PowerOnRequest) -> None:
        before = self.files.get(request.guest.uuid)["hardware"]
        super().power_on(request)
        self.files.change(request.guest.uuid, lambda guest: {**guest, "hardware": before})


class Shrinks(Liar):
    """Makes disks smaller."""

    caught_by, words = "resize_never_shrinks", "nothing was"

    def resize(self, request: ResizeRequest) -> None:
        self.files.change(request.guest.uuid, lambda guest: {**guest, "hardware": asdict(request.hardware)})


class ResizesWhatRuns(Liar):
    """Takes a guest down to resize it."""

    caught_by, words = "resize_of_a_running_guest", "nothing was"

    def resize(self, request: ResizeRequest) -> None:
        self.power_off(PowerOffRequest(request.guest))
        super().resize(request)


class RunsOnAfterMigration(Liar):
    """Copies the guest, so that it runs twice."""

    caught_by, words = "live_migration", "still runs on the source"

    def migrate(self, request: MigrateRequest) -> None:
        super().migrate(request)
        self.files.change(request.guest.uuid, lambda guest: {**guest, "power": int(PowerState.RUNNING)})


class TakesTheGuestAlong(Liar):
    """Removes the guest at the destination when it is destroyed at the source."""

    caught_by, words = "live_migration", "after destroy on the source"

    _went_to: str | None = None

    def migrate(self, request: MigrateRequest) -> None:
        super().migrate(request)
        self._went_to = request.destination["directory"]

    def destroy(self, request: DestroyRequest) -> None:
        if self._went_to:
            (self.files.directory / self._went_to / f"{request.guest.uuid}.json").unlink()
        super().destroy(request)


class CancelLeavesWhatWasPrepared(Liar):
    """Does not remove what it made for a guest that does not come."""

    caught_by, words = "cancelled_incoming_leaves_nothing", "left on the host"

    def cancel_incoming(self, guest: GuestRef) -> None:
        self.files.has(guest.uuid)


class PausesWhatItCannotMove(Liar):
    """Leaves the guest paused after a migration that failed."""

    caught_by, words = "destination_that_is_gone", "does not run"

    def migrate(self, request: MigrateRequest) -> None:
        self.pause(request.guest)
        super().migrate(request)


class CannotBeCancelled(Liar):
    """Does not ask whether to give up."""

    caught_by, words = "cancelled_migration", "nothing was"

    def migrate(self, request: MigrateRequest) -> None:
        super().migrate(replace(request, cancelled=lambda: False))


class CancelsWhatHasArrived(Liar):
    """Removes a guest that has arrived."""

    caught_by, words = "arrived_guest_is_not_cancelled", "nothing was"

    def cancel_incoming(self, guest: GuestRef) -> None:
        self.destroy(DestroyRequest(guest))


class FinishesWhatNeverArrived(Liar):
    """Takes over a guest that is not there."""

    caught_by, words = "finish_without_arrival", "nothing was"

    def finish_incoming(self, request: IncomingRequest) -> Mapping[str, Any]:
        return {"file": f"{request.guest.uuid}.json"}


class ForgetsWhatArrived(Liar):
    """Does not list a guest that arrived, after a restart."""

    caught_by, words = "migrated_guest_is_one_of_that_host", "assert"

    def finish_incoming(self, request: IncomingRequest) -> Mapping[str, Any]:
        handle = super().finish_incoming(request)
        (self.files.directory / handle["file"]).unlink()
        return handle


class PreparesOverAGuest(Liar):
    """Makes room for a guest that is there."""

    caught_by, words = "prepare_where_the_guest_is", "nothing was"

    def prepare_incoming(self, request: IncomingRequest) -> Mapping[str, Any]:
        self.destroy(DestroyRequest(request.guest))
        return super().prepare_incoming(request)


class HasConsoles(FakeDriver, SupportsConsole):
    """Honest: the fake driver with serial consoles on TCP, where somebody listens."""

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._listeners: list[socket.socket] = []

    def describe(self) -> DriverInfo:
        info = super().describe()
        return replace(info, capabilities={**info.capabilities, "console": Capability(True)})

    def console(self, request: ConsoleRequest) -> ConsoleEndpoint:
        if not running(self.files.get(request.guest.uuid)):
            raise errors.Conflict("The guest does not run.")
        if request.type is not ConsoleType.SERIAL:
            raise errors.CapabilityMissing(f"There is no console of type {request.type.value}.")
        self._listeners.append(socket.create_server(("127.0.0.1", 0)))
        return ConsoleEndpoint(ConsoleType.SERIAL, *self._listeners[-1].getsockname())

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        super().close()


class NobodyListens(HasConsoles):
    """Names a console that is closed."""

    caught_by, words = "console_answers", "nobody listens"

    def console(self, request: ConsoleRequest) -> ConsoleEndpoint:
        endpoint = super().console(request)
        self._listeners.pop().close()
        return endpoint


class ConsolesOfTheDead(HasConsoles):
    """Names a console of a guest that does not run."""

    caught_by, words = "console_of_a_guest_that_does_not_run", "nothing was"

    def console(self, request: ConsoleRequest) -> ConsoleEndpoint:
        if self.files.has(request.guest.uuid) and request.type is ConsoleType.SERIAL:
            return ConsoleEndpoint(ConsoleType.SERIAL, "127.0.0.1", 9)
        return super().console(request)


class SnapshotsWhomItDoesNotKnow(Liar):
    """Returns an empty snapshot of a guest that is not there."""

    caught_by, words = "snapshot_of_unknown_guest", "nothing was"

    def snapshot(self, request: SnapshotRequest) -> Snapshot:
        if not self.files.has(request.guest.uuid):
            return Snapshot("raw", 0, (chunk for chunk in ()))  # type: ignore[arg-type, var-annotated]
        return super().snapshot(request)


class MigratesWhomItDoesNotKnow(Liar):
    """Says that it has moved a guest that is not there."""

    caught_by, words = "migration_of_unknown_guest", "nothing was"

    def migrate(self, request: MigrateRequest) -> None:
        if self.files.has(request.guest.uuid):
            super().migrate(request)


class PreparesOnce(Liar):
    """Is not idempotent."""

    caught_by, words = "prepare_twice", "Conflict"

    def prepare_incoming(self, request: IncomingRequest) -> Mapping[str, Any]:
        if request.guest.uuid in self.files._expected:
            raise errors.Conflict("The guest is expected already.")
        return super().prepare_incoming(request)
