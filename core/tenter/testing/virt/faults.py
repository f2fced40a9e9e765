"""Checks of what goes wrong in the middle, and of what happens at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tenter import errors
from tenter.contracts.virt import GuestRef, ImageSource, PowerState, VirtDriver
from tenter.testing.virt.waiting import Call, WatchedNetwork, only_ours, refused
from tenter.testing.virt.world import New, VirtWorld


class FaultChecks(VirtWorld):
    """What must hold of spawns that fail, and of many at once."""

    def must_fail_cleanly(
        self, driver: VirtDriver, new: New, image: ImageSource, *expected: type[errors.TenterError]
    ) -> None:
        """Fail unless a spawn from ``image`` raises one of the ``expected`` errors and leaves nothing."""
        before = self.leftovers(driver)
        request = new(image=image)
        with refused(*expected, what="spawn"):
            driver.spawn(request)
        self.must_be_gone(driver, request.uuid, before, "after a spawn that failed")

    def test_damaged_image(self, driver: VirtDriver, new: New, image_file: Path) -> None:
        """An image whose data has not its checksum raises ImageUnusable, and nothing is left."""
        wrong = f"sha256:{'0' * 64}"
        image = self.image_source(image_file, fresh=True, checksum=wrong)
        self.must_fail_cleanly(driver, new, image, errors.ImageUnusable)

    def test_short_image(self, driver: VirtDriver, new: New, image_file: Path) -> None:
        """An image whose data ends early raises ImageUnusable, and nothing is left."""
        image = self.image_source(image_file, fresh=True)
        half = image_file.read_bytes()[: image.size // 2]
        self.must_fail_cleanly(driver, new, replace(image, open=lambda: iter([half])), errors.ImageUnusable)

    def test_image_that_breaks_off(self, driver: VirtDriver, new: New, image_file: Path) -> None:
        """An error in the middle of the image's data ends the spawn, nothing is left, and the next spawn from that
        image succeeds."""
        image = self.image_source(image_file, fresh=True)

        def broken() -> Iterator[bytes]:
            yield image_file.read_bytes()[: image.size // 2]
            raise errors.ImageUnusable("The image service went away.")

        self.must_fail_cleanly(driver, new, replace(image, open=broken), errors.ImageUnusable)
        guest = self.spawn(driver, new(image=image))
        self.must_run(driver, guest.uuid, "after a spawn from an image that had broken off")

    def test_missing_image(self, driver: VirtDriver, new: New, image_file: Path) -> None:
        """An image that is not there raises NotFound or ImageUnusable, and nothing is left."""

        def gone() -> Iterator[bytes]:
            raise errors.NotFound("There is no such image.")
            yield b""

        image = replace(self.image_source(image_file, fresh=True), open=gone)
        self.must_fail_cleanly(driver, new, image, errors.NotFound, errors.ImageUnusable)

    def test_network_that_fails(self, driver: VirtDriver, new: New) -> None:
        """What the network raised leaves spawn as it is, and nothing of the guest is left."""
        if not driver.describe().accepts_unfinished_network:
            pytest.skip("the driver takes no unfinished network")
        before = self.leftovers(driver)
        failure = errors.NetworkFailed("There is no address left.")

        def fail() -> None:
            raise failure

        request = new(network_info=WatchedNetwork([], fail))
        with pytest.raises(errors.TenterError) as caught:
            driver.spawn(request)
        assert caught.value is failure, f"spawn raised {caught.value!r}, not the network's own error"
        self.must_be_gone(driver, request.uuid, before, "after the network failed")

    def test_network_is_read_late(self, driver: VirtDriver, new: New, image_file: Path) -> None:
        """A driver that accepts an unfinished network fetches the image before it reads the network, so that both can
        be made at once."""
        if not driver.describe().accepts_unfinished_network:
            pytest.skip("the driver takes no unfinished network")
        image = self.image_source(image_file, fresh=True)
        fetched = threading.Event()
        early = []

        def opened() -> Iterator[bytes]:
            yield from image.open()
            fetched.set()

        request = new()
        network = WatchedNetwork(list(request.network_info), lambda: None if fetched.is_set() else early.append(1))
        self.spawn(driver, replace(request, image=replace(image, open=opened), network_info=network))
        assert not early, "the network was read before the image was there"

    def test_two_at_once(self, driver: VirtDriver, new: New, image_file: Path) -> None:
        """A guest whose image or network is slow holds up no other guest."""
        lazy = driver.describe().accepts_unfinished_network
        at_image, at_network = threading.Event(), threading.Event()
        go_on = threading.Event()
        image = self.image_source(image_file, fresh=True)

        def slow_image() -> Iterator[bytes]:
            at_image.set()
            assert go_on.wait(self.patience * 4)
            yield from image.open()

        def slow_network() -> None:
            at_network.set()
            assert go_on.wait(self.patience * 4)

        requests = [new(image=replace(image, open=slow_image))]
        if lazy:
            plain = new()
            requests.append(replace(plain, network_info=WatchedNetwork(list(plain.network_info), slow_network)))
        slow = [Call(lambda each=each: driver.spawn(each)) for each in requests]  # type: ignore[misc]
        try:
            together = at_image.wait(self.patience) and (not lazy or at_network.wait(self.patience))
            assert together, "one guest's slow image or network holds up another's spawn"
            other = new()
            Call(lambda: driver.spawn(other)).result(self.patience)
            self.must_run(driver, other.uuid, "while others are being made")
            Call(lambda: self.destroy(driver, GuestRef(other.uuid))).result(self.patience)
        finally:
            go_on.set()
        for call, request in zip(slow, requests, strict=True):
            call.result(self.patience)
            self.must_run(driver, request.uuid, "after its spawn, which was held up")

    def test_many_at_once(self, driver: VirtDriver, new: New) -> None:
        """Many guests are made and destroyed from as many threads at once."""
        before = self.leftovers(driver)
        requests = [new() for _ in range(self.many)]
        for call in [Call(lambda each=each: driver.spawn(each)) for each in requests]:  # type: ignore[misc]
            call.result(self.patience)
        for request in requests:
            self.must_run(driver, request.uuid, "after many spawns at once")
        assert set(self.listed(driver)) == {request.uuid for request in requests}
        for call in [Call(lambda each=each: self.destroy(driver, GuestRef(each.uuid))) for each in requests]:  # type: ignore[misc]
            call.result(self.patience)
        for request in requests:
            self.must_be_gone(driver, request.uuid, before, "after many destroys at once")

    def test_cancelled_spawn(self, driver: VirtDriver, new: New, image_file: Path) -> None:
        """A spawn that is cancelled in the middle ends soon, with one of our errors or with a guest; a destroy after it
        leaves nothing."""
        before = self.leftovers(driver)
        cancelled = threading.Event()
        image = self.image_source(image_file, fresh=True)

        def chunks() -> Iterator[bytes]:
            cancelled.set()
            yield from image.open()

        request = new(image=replace(image, open=chunks), cancelled=cancelled.is_set)
        error = Call(lambda: driver.spawn(request)).error(self.patience)
        only_ours(error, "a spawn that was cancelled")
        if error is not None:
            self.must_be_gone(driver, request.uuid, before, "after a spawn that was cancelled")
        self.destroy(driver, GuestRef(request.uuid))
        self.must_be_gone(driver, request.uuid, before, "after a spawn that was cancelled, and destroy")

    def test_delete_during_a_spawn(self, driver: VirtDriver, new: New, image_file: Path) -> None:
        """A destroy that comes during a spawn ends, as the spawn does; a destroy after both leaves nothing."""
        before = self.leftovers(driver)
        in_the_middle, go_on = threading.Event(), threading.Event()
        image = self.image_source(image_file, fresh=True)

        def chunks() -> Iterator[bytes]:
            in_the_middle.set()
            assert go_on.wait(self.patience)
            yield from image.open()

        request = new(image=replace(image, open=chunks))
        guest = GuestRef(request.uuid)
        spawning = Call(lambda: driver.spawn(request))
        try:
            assert in_the_middle.wait(self.patience), "the image was not read"
            destroying = Call(lambda: self.destroy(driver, guest))
            # Some drivers hold it up until the spawn has ended, others are done at once: both will do.
            destroying.join(0.2)
        finally:
            go_on.set()
        only_ours(spawning.error(self.patience), "a spawn during which destroy came")
        error = destroying.error(self.patience)
        assert error is None, f"destroy during a spawn raised {error!r}"
        if self.listed(driver).get(guest.uuid) is PowerState.RUNNING:
            self.must_run(driver, guest.uuid, "after a spawn and a destroy during it")
        self.destroy(driver, guest)
        self.must_be_gone(driver, guest.uuid, before, "after a spawn, a destroy during it and one after it")
