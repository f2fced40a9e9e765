"""Virt drivers that lie about guests: each is the fake driver but for one thing, which one check must see."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenter import errors
from tenter.contracts.network import NetworkInfo
from tenter.contracts.virt import (
    DestroyRequest,
    GuestRef,
    GuestState,
    HostSetup,
    PowerOffRequest,
    PowerOnRequest,
    PowerState,
    RebootRequest,
    SpawnRequest,
)
from tenter_plugins.virt.fake import FakeDriver
from tenter_plugins.virt.fake.guests import halted, running


class Liar(FakeDriver):
    """``caught_by``: the check that must fail. ``words``: what must stand in its reason."""

    caught_by = ""
    words = ""

    def scratch(self, name: str) -> Path:
        """Return a path for what is left behind."""
        return self.setup.state_dir / name


class ForgetsADisk(Liar):
    """Leaves a file of the guest at destroy."""

    caught_by, words = "destroy_leaves_nothing", "left on the host: guests/"

    def destroy(self, request: DestroyRequest) -> None:
        uuid = request.guest.uuid
        there = uuid in {guest["uuid"] for guest in self.files.all()}
        super().destroy(request)
        if there:
            (self.files.directory / f"{uuid}.disk").touch()


class ReturnsTooSoon(Liar):
    """Returns before the guest runs."""

    caught_by, words = "runs_when_spawn_returns", "does not run"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        handle = super().spawn(request)
        self.files.change(request.uuid, lambda guest: {**guest, "power": int(PowerState.NOSTATE)})
        boot = PowerOnRequest(GuestRef(request.uuid), request.network_info, request.hardware)
        threading.Timer(0.2, self.power_on, [boot]).start()
        return handle


class SaysThatItRuns(Liar):
    """Says of a guest that never started that it runs."""

    caught_by, words = "runs_when_spawn_returns", "whatever the driver says"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        handle = super().spawn(request)
        self.files.change(request.uuid, lambda guest: halted(guest, PowerState.SHUTDOWN, ""))
        return handle

    def state(self, guest: GuestRef) -> GuestState:
        return replace(super().state(guest), power=PowerState.RUNNING)


class HandleWithAPath(Liar):
    """Returns a handle that is no JSON."""

    caught_by, words = "handle_is_json", "JSON"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        return {"file": Path(super().spawn(request)["file"])}


class NeedsItsHandle(Liar):
    """Knows a guest only by its handle."""

    caught_by, words = "known_without_its_handle", "NoneType"

    def power_off(self, request: PowerOffRequest) -> None:
        assert request.guest.handle["file"]  # type: ignore[index]
        super().power_off(request)


class IgnoresTheHardware(Liar):
    """Makes every guest with one size of memory."""

    caught_by, words = "gets_its_hardware", "other hardware than was asked for"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        return super().spawn(replace(request, hardware=replace(request.hardware, memory_mib=64)))


class TakesUserDataForText(Liar):
    """Drops bytes of user data that are no text."""

    caught_by, words = "is_told_who_it_is", "other user_data"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        text = (request.user_data or b"").decode(errors="ignore")
        return super().spawn(replace(request, user_data=text.encode()))


class ListsTwice(Liar):
    """Lists a guest twice."""

    caught_by, words = "state_and_guests_agree", "twice"

    def guests(self) -> Sequence[GuestState]:
        return [*super().guests(), *super().guests()]


class ForgetsWhatIsStopped(Liar):
    """Lists only the guests that run."""

    caught_by, words = "stopped_guest_is_found_again", "does not list"

    def guests(self) -> Sequence[GuestState]:
        return [guest for guest in super().guests() if guest.power is PowerState.RUNNING]


class LosesGuestsAtRestart(Liar):
    """Does not look for what an earlier process made."""

    caught_by, words = "found_again_after_a_crash", "does not list"

    def init_host(self, setup: HostSetup) -> None:
        super().init_host(setup)
        self.files._guests.clear()


class RebootsGuestsAtRestart(Liar):
    """Starts all guests anew when the service starts."""

    caught_by, words = "found_again_after_a_crash", "started anew"

    def init_host(self, setup: HostSetup) -> None:
        super().init_host(setup)
        for guest in self.files.all():
            self.reboot(RebootRequest(GuestRef(guest["uuid"]), True, NetworkInfo(), None))  # type: ignore[arg-type]


class StopsGuestsWhenClosed(Liar):
    """Takes its guests along when the service ends."""

    caught_by, words = "guests_go_on_after_close", "close() ended the guest"

    def close(self) -> None:
        for guest in self.files.all():
            self.power_off(PowerOffRequest(GuestRef(guest["uuid"])))


class KeepsTheOldGuest(Liar):
    """A second spawn finds a guest and does nothing."""

    caught_by, words = "spawn_again_replaces", "still stands"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        if self.files.has(request.uuid):
            return {}
        return super().spawn(request)


class LeavesAHalfMadeGuest(Liar):
    """Keeps a disk from before the network is read, which it does not list, and which only a whole spawn removes."""

    caught_by, words = "interrupted_spawn_is_replaced", "does not list it, but this is left"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        disk = self.scratch(f"{request.uuid}.disk")
        disk.touch()
        try:
            return super().spawn(request)
        finally:
            disk.unlink()


class CannotDestroyAHalfMadeGuest(LeavesAHalfMadeGuest):
    """The same: destroy does not know of the disk either."""

    caught_by, words = "interrupted_spawn_can_be_destroyed", "left on the host"


class ComesBackAfterDestroy(Liar):
    """Forgets to remove the guest for good."""

    caught_by, words = "destroyed_guest_stays_gone", "RUNNING"

    def destroy(self, request: DestroyRequest) -> None:
        with self.files._lock:
            self.files._guests.pop(request.guest.uuid, None)


class RefusesASecondDestroy(Liar):
    """Takes a destroy for an error that was done before."""

    caught_by, words = "destroy_twice", "GuestNotFound"

    def destroy(self, request: DestroyRequest) -> None:
        self.files.get(request.guest.uuid)
        super().destroy(request)


class DestroysOnPowerOff(Liar):
    """Removes the guest when it is to be shut down."""

    caught_by, words = "power_off_keeps_the_guest", "GuestNotFound"

    def power_off(self, request: PowerOffRequest) -> None:
        self.destroy(DestroyRequest(request.guest))


class OnlyAsksToStop(Liar):
    """Returns from power_off when the guest was asked, whether it stops or not."""

    caught_by, words = "power_off_asks_first", "RUNNING"

    def power_off(self, request: PowerOffRequest) -> None:
        if not request.timeout:
            super().power_off(request)


class RefusesASecondPowerOff(Liar):
    """Is not idempotent."""

    caught_by, words = "power_off_twice", "GuestFailed"

    def power_off(self, request: PowerOffRequest) -> None:
        if not running(self.files.get(request.guest.uuid)):
            raise errors.GuestFailed("The guest does not run.")
        super().power_off(request)


class PowerOnReboots(Liar):
    """Starts a guest anew that runs."""

    caught_by, words = "power_on_twice", "started a guest anew"

    def power_on(self, request: PowerOnRequest) -> None:
        self.reboot(RebootRequest(request.guest, True, request.network_info, request.hardware))


class SoftRebootDoesNothing(Liar):
    """Asks for a soft reboot and does not look whether it happened."""

    caught_by, words = "reboot", "not restarted"

    def reboot(self, request: RebootRequest) -> None:
        if request.hard:
            super().reboot(request)


class RaisesKeyError(Liar):
    """Lets an error of its own leave."""

    caught_by, words = "unknown_guest_is_not_found", "KeyError must not leave"

    def state(self, guest: GuestRef) -> GuestState:
        return GuestState(guest.uuid, PowerState(self.files._guests[guest.uuid]["power"]))


class SparesTheGuestWithItsDisks(Liar):
    """Does nothing where the disks are to be kept."""

    caught_by, words = "destroy_without_disks", "RUNNING"

    def destroy(self, request: DestroyRequest) -> None:
        if request.disks:
            super().destroy(request)


class NeverBoots(Liar):
    """Starts a guest that does nothing."""

    caught_by, words = "boots", "not within"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        handle = super().spawn(request)
        self.files.change(request.uuid, lambda guest: {**guest, "console": ""})
        return handle


class KeepsWhatWasStopped(Liar):
    """Removes only what runs."""

    caught_by, words = "destroy_of_a_stopped_guest", "still lists"

    def destroy(self, request: DestroyRequest) -> None:
        uuid = request.guest.uuid
        if not self.files.has(uuid) or running(self.files.get(uuid)):
            super().destroy(request)


class BelievesItself(Liar):
    """Says of a guest what was last done to it, whatever became of it."""

    caught_by, words = "guest_that_ends_is_seen", "the guest's end is seen"

    def state(self, guest: GuestRef) -> GuestState:
        state = super().state(guest)
        return replace(state, power=PowerState.RUNNING) if state.power is PowerState.CRASHED else state
