"""Checks of a guest's life: spawn, find again, stop, start, reboot, destroy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tenter import errors
from tenter.contracts.network import NetworkInfo
from tenter.contracts.virt import (
    DestroyRequest,
    GuestRef,
    PowerOffRequest,
    PowerOnRequest,
    PowerState,
    RebootRequest,
    VirtDriver,
)
from tenter.testing.virt.waiting import refused, wait_until
from tenter.testing.virt.world import UNKNOWN, New, Start, VirtWorld, must_be_json


class LifeChecks(VirtWorld):
    """What must hold of guests when nothing goes wrong but the service."""

    def test_runs_when_spawn_returns(self, driver: VirtDriver, new: New) -> None:
        """On return of spawn the guest runs."""
        guest = self.spawn(driver, new())
        self.must_run(driver, guest.uuid, "when spawn has returned")

    def test_boots(self, driver: VirtDriver, new: New) -> None:
        """The guest's own system comes up."""
        guest = self.spawn(driver, new())
        if self.booted(driver, guest.uuid) is None:
            pytest.skip("booted() does not tell")
        self.must_boot(driver, guest.uuid)

    def test_gets_its_hardware(self, driver: VirtDriver, new: New) -> None:
        """The guest has the processors, the memory and the disk that were asked for."""
        request = new()
        guest = self.spawn(driver, request)
        hardware = self.virtual_hardware(driver, guest.uuid)
        if hardware is None:
            pytest.skip("virtual_hardware() does not tell")
        assert hardware == request.hardware, "it has other hardware than was asked for"

    def test_is_told_who_it_is(self, driver: VirtDriver, new: New) -> None:
        """The guest can learn its UUID, hostname, metadata and user data, byte for byte."""
        user_data = b"#!/bin/sh\n" + bytes(range(256))
        request = new(hostname="moth", metadata={"color": "gr\u00fcn"}, user_data=user_data)
        self.spawn(driver, request)
        told = self.told(driver, request.uuid)
        if told is None:
            pytest.skip("told() does not tell")
        wanted = {"uuid": request.uuid, "hostname": "moth", "metadata": {"color": "gr\u00fcn"}, "user_data": user_data}
        for name, value in told.items():
            assert value == wanted[name], f"the guest is told other {name} than was asked for"

    def test_handle_is_json(self, driver: VirtDriver, new: New) -> None:
        """spawn returns a mapping that survives JSON, for the core stores it."""
        must_be_json(driver.spawn(new()), "the handle that spawn returned")

    def test_state_and_guests_agree(self, driver: VirtDriver, new: New) -> None:
        """guests() lists every guest once and no other, and says of each what state() says."""
        assert self.listed(driver) == {}
        first, second = self.spawn(driver, new()), self.spawn(driver, new())
        self.stop(driver, second)
        listed = self.listed(driver)
        assert set(listed) == {first.uuid, second.uuid}
        assert listed == {uuid: self.power(driver, uuid) for uuid in listed}
        self.destroy(driver, first)
        assert set(self.listed(driver)) == {second.uuid}

    def test_found_again_after_a_crash(self, driver: VirtDriver, start: Start, new: New) -> None:
        """A new process that starts where the last was killed knows the guest, which runs on undisturbed."""
        guest = self.spawn(driver, new())
        incarnation = self.incarnation(driver, guest.uuid)
        again = start()
        assert list(self.listed(again)) == [guest.uuid], "guests() does not list it"
        self.must_run(again, guest.uuid, "after a new start")
        assert self.incarnation(again, guest.uuid) == incarnation, "the guest was started anew"

    def test_stopped_guest_is_found_again(self, driver: VirtDriver, start: Start, new: New) -> None:
        """A guest that is shut down is one too: it is listed, stays shut down over a restart, and can be started."""
        request = new()
        guest = self.spawn(driver, request)
        self.stop(driver, guest)
        assert list(self.listed(driver)) == [guest.uuid], "guests() does not list a guest that is shut down"
        again = start()
        assert list(self.listed(again)) == [guest.uuid], "after a new start guests() does not list it"
        self.must_not_run(again, guest.uuid, "after a new start")
        again.power_on(PowerOnRequest(guest, request.network_info, request.hardware))
        self.must_run(again, guest.uuid, "after power_on")

    def test_known_without_its_handle(self, driver: VirtDriver, new: New) -> None:
        """A guest whose handle was lost is known by its UUID alone."""
        request = new()
        before = self.leftovers(driver)
        self.spawn(driver, request)
        guest = GuestRef(request.uuid)
        self.stop(driver, guest)
        driver.power_on(PowerOnRequest(guest, request.network_info, request.hardware))
        self.must_run(driver, guest.uuid, "after power_on without the handle")
        self.destroy(driver, guest)
        self.must_be_gone(driver, guest.uuid, before, "after destroy without the handle")

    def test_spawn_again_replaces(self, driver: VirtDriver, new: New) -> None:
        """A second spawn for the same UUID replaces what the first made: one guest, made anew, and one destroy."""
        before = self.leftovers(driver)
        request = new()
        self.spawn(driver, request)
        first = self.incarnation(driver, request.uuid)
        guest = self.spawn(driver, request)
        assert list(self.listed(driver)) == [guest.uuid]
        self.must_run(driver, guest.uuid, "after a second spawn")
        assert first is None or self.incarnation(driver, guest.uuid) != first, "the first guest still stands"
        self.destroy(driver, guest)
        self.must_be_gone(driver, guest.uuid, before, "after two spawns and one destroy")

    def test_interrupted_spawn_is_replaced(self, driver: VirtDriver, start: Start, new: New, image_file: Path) -> None:
        """What a spawn left that was killed in the middle is listed, does not count as running, and is replaced by the
        next spawn."""
        request = new()
        before = self.leftovers(driver)
        self.interrupt_spawn(driver, request, image_file)
        again = start()
        listed = self.listed(again)
        left = sorted(set(self.leftovers(again)) - set(before))
        assert request.uuid in listed or not left, f"guests() does not list it, but this is left: {', '.join(left)}"
        if listed.get(request.uuid) is PowerState.RUNNING:
            self.must_run(again, request.uuid, "after a spawn that was killed")
        guest = self.spawn(again, request)
        assert list(self.listed(again)) == [guest.uuid]
        self.must_run(again, guest.uuid, "after the second spawn")
        self.destroy(again, guest)
        self.must_be_gone(again, guest.uuid, before, "after destroy")

    def test_interrupted_spawn_can_be_destroyed(
        self, driver: VirtDriver, start: Start, new: New, image_file: Path
    ) -> None:
        """destroy removes all that a spawn left that was killed in the middle."""
        request = new()
        before = self.leftovers(driver)
        self.interrupt_spawn(driver, request, image_file)
        again = start()
        self.destroy(again, GuestRef(request.uuid))
        self.must_be_gone(again, request.uuid, before, "after destroy")

    def test_destroy_leaves_nothing(self, driver: VirtDriver, new: New) -> None:
        """On return of destroy nothing of the guest is left: no disk, no process, no entry in guests()."""
        before = self.leftovers(driver)
        guest, other = self.spawn(driver, new()), self.spawn(driver, new())
        self.destroy(driver, guest)
        with refused(errors.GuestNotFound):
            driver.state(guest)
        self.must_run(driver, other.uuid, "after another guest's destroy")
        self.destroy(driver, other)
        for each in (guest, other):
            self.must_be_gone(driver, each.uuid, before, "after destroy")

    def test_destroyed_guest_stays_gone(self, driver: VirtDriver, start: Start, new: New) -> None:
        """A guest that was destroyed does not come back with the next process."""
        guest = self.spawn(driver, new())
        self.destroy(driver, guest)
        assert self.listed(start()) == {}

    def test_destroy_twice(self, driver: VirtDriver, new: New) -> None:
        """To destroy a guest that is gone, or never was, is no error."""
        guest = self.spawn(driver, new())
        self.destroy(driver, guest)
        self.destroy(driver, guest)
        self.destroy(driver, GuestRef(UNKNOWN))
        assert self.listed(driver) == {}

    def test_destroy_of_a_stopped_guest(self, driver: VirtDriver, new: New) -> None:
        """destroy leaves nothing of a guest that is shut down."""
        before = self.leftovers(driver)
        guest = self.spawn(driver, new())
        self.stop(driver, guest)
        self.destroy(driver, guest)
        self.must_be_gone(driver, guest.uuid, before, "after destroy of a stopped guest")

    def test_destroy_without_disks(self, driver: VirtDriver, new: New) -> None:
        """destroy that spares the disks ends the guest; a destroy after it leaves nothing."""
        before = self.leftovers(driver)
        guest = self.spawn(driver, new())
        driver.destroy(DestroyRequest(guest, disks=False))
        assert self.listed(driver).get(guest.uuid) is not PowerState.RUNNING
        assert not self.running(driver, guest.uuid), "the guest still runs"
        self.destroy(driver, guest)
        self.must_be_gone(driver, guest.uuid, before, "after the second destroy")

    def test_power_off_keeps_the_guest(self, driver: VirtDriver, new: New) -> None:
        """On return of power_off the guest does not run and its disks are kept; power_on starts it again."""
        request = new()
        guest = self.spawn(driver, request)
        first, data = self.incarnation(driver, guest.uuid), self.root_data(driver, guest.uuid)
        self.stop(driver, guest)
        self.must_not_run(driver, guest.uuid, "after power_off")
        assert self.root_data(driver, guest.uuid) == data, "the root disk has other data after power_off"
        data = self.stop_with_data(driver, guest)
        driver.power_on(PowerOnRequest(guest, request.network_info, request.hardware))
        self.must_run(driver, guest.uuid, "after power_on")
        assert self.root_data(driver, guest.uuid) == data, "the root disk has other data after power_on"
        assert first is None or self.incarnation(driver, guest.uuid) != first, "power_on did not start it"

    def test_power_off_asks_first(self, driver: VirtDriver, new: New) -> None:
        """power_off with a time limit ends a guest too that does not do as it is asked."""
        guest = self.spawn(driver, new())
        driver.power_off(PowerOffRequest(guest, timeout=1))
        self.must_not_run(driver, guest.uuid, "after power_off")

    def test_power_off_twice(self, driver: VirtDriver, new: New) -> None:
        """power_off of a guest that is shut down is no error."""
        guest = self.spawn(driver, new())
        self.stop(driver, guest)
        self.stop(driver, guest)
        self.must_not_run(driver, guest.uuid, "after power_off")

    def test_power_on_twice(self, driver: VirtDriver, new: New) -> None:
        """power_on of a guest that runs is no error and does not start it anew."""
        request = new()
        guest = self.spawn(driver, request)
        first = self.incarnation(driver, guest.uuid)
        driver.power_on(PowerOnRequest(guest, request.network_info, request.hardware))
        self.must_run(driver, guest.uuid, "after power_on")
        assert self.incarnation(driver, guest.uuid) == first, "power_on started a guest anew that ran"

    @pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
    def test_reboot(self, driver: VirtDriver, new: New, hard: bool) -> None:
        """On return of reboot, hard or soft, the guest was restarted and runs; one that does not do as it is asked is
        forced."""
        request = new()
        guest = self.spawn(driver, request)
        data, first = self.root_data(driver, guest.uuid), self.incarnation(driver, guest.uuid)
        driver.reboot(RebootRequest(guest, hard, request.network_info, request.hardware, timeout=1))
        self.must_run(driver, guest.uuid, "after reboot")
        assert first is None or self.incarnation(driver, guest.uuid) != first, "the guest was not restarted"
        assert self.root_data(driver, guest.uuid) == data, "the root disk has other data after reboot"

    def test_unknown_guest_is_not_found(self, driver: VirtDriver) -> None:
        """Whatever is asked of a guest that never was, but destroy, raises GuestNotFound."""
        guest, network = GuestRef(UNKNOWN), NetworkInfo()
        calls: dict[str, Callable[[], object]] = {
            "state": lambda: driver.state(guest),
            "power_on": lambda: driver.power_on(PowerOnRequest(guest, network, self.hardware)),
            "power_off": lambda: driver.power_off(PowerOffRequest(guest, timeout=0)),
            "reboot": lambda: driver.reboot(RebootRequest(guest, True, network, self.hardware, timeout=0)),
        }
        for name, call in calls.items():
            with refused(errors.GuestNotFound, what=name):
                call()

    def test_guest_that_ends_is_seen(self, driver: VirtDriver, new: New) -> None:
        """A guest that ended by itself is seen to be down, and power_on starts it again."""
        request = new()
        guest = self.spawn(driver, request)
        if not self.end(driver, guest.uuid):
            pytest.skip("end() cannot end a guest")
        down = (PowerState.SHUTDOWN, PowerState.CRASHED)
        wait_until(lambda: self.power(driver, guest.uuid) in down, self.patience, "the guest's end is seen")
        driver.power_on(PowerOnRequest(guest, request.network_info, request.hardware))
        self.must_run(driver, guest.uuid, "after power_on")
