"""Checks of the optional powers on one host: console output, consoles, pause, snapshot, resize."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenter import errors
from tenter.contracts.console import ConsoleEndpoint, ConsoleType
from tenter.contracts.network import NetworkInfo
from tenter.contracts.virt import (
    ConsoleOutputRequest,
    ConsoleRequest,
    GuestRef,
    Hardware,
    PowerOnRequest,
    PowerState,
    ResizeRequest,
    Snapshot,
    SnapshotRequest,
    SpawnRequest,
    SupportsConsole,
    SupportsConsoleOutput,
    SupportsPause,
    SupportsResize,
    SupportsSnapshot,
)
from tenter.testing.base import needs
from tenter.testing.virt.waiting import refused, wait_until
from tenter.testing.virt.world import UNKNOWN, New, Start, VirtWorld

# Seconds for which a paused guest is watched.
_WATCH = 0.5
_ALL = 1 << 24


class PowerChecks(VirtWorld):
    """What must hold of a power, for a driver that has it."""

    @needs(SupportsConsoleOutput)
    def test_console_output(self, driver: Any, new: New) -> None:
        """console_output returns the last bytes that the guest printed, and never more than were asked for."""
        guest = self.spawn(driver, new())

        def output(most: int) -> bytes:
            data = driver.console_output(ConsoleOutputRequest(guest, most))
            assert isinstance(data, bytes)
            assert len(data) <= most, f"{len(data)} bytes where {most} were asked for"
            return data

        wait_until(lambda: len(output(_ALL)) > 1, self.boot_seconds, "the guest prints something")
        self.stop(driver, guest)
        whole = output(_ALL)
        for most in (1, len(whole) // 2, len(whole)):
            assert output(most) == whole[-most:], f"these are not the last {most} bytes"
        assert output(0) == b""

    @needs(SupportsConsoleOutput)
    def test_console_output_of_unknown_guest(self, driver: Any) -> None:
        """console_output of a guest that never was raises GuestNotFound."""
        with refused(errors.GuestNotFound):
            driver.console_output(ConsoleOutputRequest(GuestRef(UNKNOWN), 10))

    @needs(SupportsConsole)
    def test_console_answers(self, driver: Any, new: New) -> None:
        """Somebody listens where console() says, for at least one type; for any other it raises CapabilityMissing."""
        guest = self.spawn(driver, new())
        served = []
        for each in ConsoleType:
            try:
                endpoint = driver.console(ConsoleRequest(guest, each))
            except errors.CapabilityMissing:
                continue
            assert endpoint.type is each
            _connect(endpoint)
            served.append(each)
        assert served, "no type of console is served"

    @needs(SupportsConsole)
    def test_console_of_a_guest_that_does_not_run(self, driver: Any, new: New) -> None:
        """console() raises Conflict for a guest that does not run, GuestNotFound for one that never was."""
        guest = self.spawn(driver, new())
        kinds = [each for each in ConsoleType if _served(driver, guest, each)]
        self.stop(driver, guest)
        for each in kinds:
            with refused(errors.Conflict):
                driver.console(ConsoleRequest(guest, each))
            with refused(errors.GuestNotFound):
                driver.console(ConsoleRequest(GuestRef(UNKNOWN), each))

    @needs(SupportsPause)
    def test_pause(self, driver: Any, new: New) -> None:
        """On return of pause the guest is PAUSED and executes nothing; to pause it again is no error."""
        guest = self.spawn(driver, new())
        driver.pause(guest)
        driver.pause(guest)
        assert self.power(driver, guest.uuid) is PowerState.PAUSED
        assert self.listed(driver) == {guest.uuid: PowerState.PAUSED}
        assert self.running(driver, guest.uuid) is not False, "pause ended the guest"
        before = self.progress(driver, guest.uuid)
        if before is not None:
            time.sleep(_WATCH)
            assert self.progress(driver, guest.uuid) == before, "the guest goes on executing while it is paused"

    @needs(SupportsPause)
    def test_unpause(self, driver: Any, new: New) -> None:
        """On return of unpause the guest runs, and goes on where it was; to unpause it again is no error."""
        guest = self.spawn(driver, new())
        first = self.incarnation(driver, guest.uuid)
        driver.pause(guest)
        before = self.progress(driver, guest.uuid)
        driver.unpause(guest)
        driver.unpause(guest)
        self.must_run(driver, guest.uuid, "after unpause")
        assert self.incarnation(driver, guest.uuid) == first, "the guest was started anew instead of going on"
        if before is not None:
            wait_until(lambda: self.progress(driver, guest.uuid) > before, self.patience, "the guest executes again")

    @needs(SupportsPause)
    def test_paused_guest_is_a_guest(self, driver: Any, start: Start, new: New) -> None:
        """A paused guest stays paused over a restart of the service, and destroy leaves nothing of it."""
        before = self.leftovers(driver)
        guest = self.spawn(driver, new())
        driver.pause(guest)
        again = start()
        assert self.listed(again) == {guest.uuid: PowerState.PAUSED}
        self.destroy(again, guest)
        self.must_be_gone(again, guest.uuid, before, "after destroy of a paused guest")

    @needs(SupportsPause)
    def test_paused_guest_is_started_and_stopped(self, driver: Any, new: New) -> None:
        """On return of power_on a paused guest runs, on return of power_off it does not."""
        request = new()
        guest = self.spawn(driver, request)
        driver.pause(guest)
        driver.power_on(PowerOnRequest(guest, request.network_info, request.hardware))
        self.must_run(driver, guest.uuid, "after pause and power_on")
        driver.pause(guest)
        self.stop(driver, guest)
        self.must_not_run(driver, guest.uuid, "after pause and power_off")

    @needs(SupportsPause)
    def test_pause_of_a_guest_that_does_not_run(self, driver: Any, new: New) -> None:
        """pause and unpause raise GuestFailed for a guest that is shut down, which stays so, and GuestNotFound for one
        that never was."""
        guest = self.spawn(driver, new())
        self.stop(driver, guest)
        for call in (driver.pause, driver.unpause):
            with refused(errors.GuestFailed):
                call(guest)
            with refused(errors.GuestNotFound):
                call(GuestRef(UNKNOWN))
        self.must_not_run(driver, guest.uuid, "after pause and unpause were refused")

    @needs(SupportsSnapshot)
    @pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
    def test_snapshot_is_complete(self, driver: Any, new: New, tmp_path: Path, running: bool) -> None:
        """A snapshot of a guest, whether it runs or not, is complete in itself: as many bytes as it says, and when that
        guest is gone another can be spawned from it and has the same data."""
        request = new()
        guest = self.spawn(driver, request)
        data = self.stop_with_data(driver, guest)
        if running:
            driver.power_on(PowerOnRequest(guest, request.network_info, request.hardware))
        snapshot: Snapshot = driver.snapshot(SnapshotRequest(guest))
        file = tmp_path / "snapshot"
        with file.open("wb") as target:
            target.writelines(snapshot.chunks)
        assert file.stat().st_size == snapshot.size, "the snapshot has not the size that it says"
        self.destroy(driver, guest)
        image = self.image_source(file, disk_format=snapshot.disk_format)
        other = self.spawn(driver, new(image=image))
        self.must_run(driver, other.uuid, "after a spawn from the snapshot")
        assert data is None or self.root_data(driver, other.uuid) == data, "the snapshot's data is not the guest's"

    @needs(SupportsSnapshot)
    def test_guest_goes_on_after_snapshot(self, driver: Any, new: New) -> None:
        """The guest goes on while a snapshot is made of it and read, undisturbed; no file of the snapshot is left."""
        guest = self.spawn(driver, new())
        first, before = self.incarnation(driver, guest.uuid), self.leftovers(driver)
        snapshot: Snapshot = driver.snapshot(SnapshotRequest(guest))
        self.must_run(driver, guest.uuid, "while a snapshot is read")
        for _ in snapshot.chunks:
            pass
        self.must_run(driver, guest.uuid, "after a snapshot")
        assert self.incarnation(driver, guest.uuid) == first, "the guest was started anew"
        left = sorted(set(self.leftovers(driver)) - set(before))
        assert not left, f"of a snapshot that was read to its end this is left: {', '.join(left)}"

    @needs(SupportsSnapshot)
    @pytest.mark.parametrize("read", [True, False], ids=["begun", "unread"])
    def test_snapshot_that_is_given_up(self, driver: Any, new: New, read: bool) -> None:
        """Closing a snapshot early, or before anything was read of it, removes what was made for it."""
        guest = self.spawn(driver, new())
        before = self.leftovers(driver)
        snapshot: Snapshot = driver.snapshot(SnapshotRequest(guest))
        if read:
            next(snapshot.chunks)
        snapshot.chunks.close()
        left = sorted(set(self.leftovers(driver)) - set(before))
        assert not left, f"of a snapshot that was given up this is left: {', '.join(left)}"

    @needs(SupportsSnapshot)
    def test_snapshot_that_is_cancelled(self, driver: Any, new: New) -> None:
        """snapshot that is cancelled raises StaleAttempt, or is done already; the guest goes on and nothing is left."""
        guest = self.spawn(driver, new())
        before = self.leftovers(driver)
        try:
            driver.snapshot(SnapshotRequest(guest, cancelled=lambda: True)).chunks.close()
        except errors.StaleAttempt:
            pass
        self.must_run(driver, guest.uuid, "after a snapshot that was cancelled")
        left = sorted(set(self.leftovers(driver)) - set(before))
        assert not left, f"of a snapshot that was cancelled this is left: {', '.join(left)}"

    @needs(SupportsSnapshot)
    def test_snapshot_of_unknown_guest(self, driver: Any) -> None:
        """snapshot of a guest that never was raises GuestNotFound."""
        with refused(errors.GuestNotFound):
            driver.snapshot(SnapshotRequest(GuestRef(UNKNOWN)))

    @needs(SupportsResize)
    def test_resize(self, driver: Any, new: New) -> None:
        """After resize the guest is still shut down; it starts with the new hardware and has its data."""
        request = new()
        guest = self.spawn(driver, request)
        data = self.stop_with_data(driver, guest)
        larger = self._larger()
        driver.resize(ResizeRequest(guest, larger, request.network_info))
        self.must_not_run(driver, guest.uuid, "after resize")
        driver.power_on(PowerOnRequest(guest, request.network_info, larger))
        self.must_run(driver, guest.uuid, "after resize and power_on")
        assert self.virtual_hardware(driver, guest.uuid) in (None, larger), "it has not the hardware asked for"
        assert self.root_data(driver, guest.uuid) == data, "the root disk has other data after resize"

    @needs(SupportsResize)
    def test_resize_never_shrinks(self, driver: Any, new: New) -> None:
        """resize to a smaller disk raises Invalid, and the guest is as before."""
        larger = self._larger()
        request = new(hardware=larger)
        guest = self.spawn(driver, request)
        self.stop(driver, guest)
        with refused(errors.Invalid):
            driver.resize(ResizeRequest(guest, self.hardware, request.network_info))
        self._must_start_as(driver, request, larger, "after a resize that was refused")

    @needs(SupportsResize)
    def test_resize_of_a_running_guest(self, driver: Any, new: New) -> None:
        """resize of a guest that runs raises Conflict, and it runs on as before; of one that never was,
        GuestNotFound."""
        request = new()
        guest = self.spawn(driver, request)
        first = self.incarnation(driver, guest.uuid)
        with refused(errors.Conflict):
            driver.resize(ResizeRequest(guest, self._larger(), request.network_info))
        self.must_run(driver, guest.uuid, "after a resize that was refused")
        assert self.incarnation(driver, guest.uuid) == first
        with refused(errors.GuestNotFound):
            driver.resize(ResizeRequest(GuestRef(UNKNOWN), self._larger(), NetworkInfo()))

    def _larger(self) -> Hardware:
        now = self.hardware
        return replace(now, vcpus=now.vcpus + 1, memory_mib=now.memory_mib + 32, root_gib=now.root_gib + 1)

    def _must_start_as(self, driver: Any, request: SpawnRequest, hardware: Hardware, when: str) -> None:
        driver.power_on(PowerOnRequest(GuestRef(request.uuid), request.network_info, hardware))
        self.must_run(driver, request.uuid, when)
        assert self.virtual_hardware(driver, request.uuid) in (None, hardware), f"{when} it has other hardware"


def _served(driver: Any, guest: GuestRef, kind: ConsoleType) -> bool:
    try:
        driver.console(ConsoleRequest(guest, kind))
    except errors.CapabilityMissing:
        return False
    return True


def _connect(endpoint: ConsoleEndpoint) -> None:
    try:
        if endpoint.path:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(endpoint.path)
        else:
            socket.create_connection((endpoint.host, endpoint.port), timeout=10).close()
    except OSError as exc:
        pytest.fail(f"nobody listens at the {endpoint.type.value} console {endpoint}: {exc}")
