"""Virt drivers that lie about their host, or when something goes wrong, or when much happens at once."""

from __future__ import annotations

import threading
import time
import uuid as uuidlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tenter import errors
from tenter.contracts.base import Capability, PluginSetup, SupportsTeardown
from tenter.contracts.network import NetworkInfo
from tenter.contracts.virt import DestroyRequest, DriverInfo, GuestRef, HostSetup, NodeInventory, SpawnRequest
from tenter_plugins.virt.fake import FakeDriver

from .virt_liars import Liar


class ClaimsAConsole(Liar):
    """Advertises a power that it has not."""

    caught_by, words = "powers_are_advertised", "which the class has not: console"

    def describe(self) -> DriverInfo:
        info = super().describe()
        return replace(info, capabilities={**info.capabilities, "console": Capability(True)})


class HidesAPower(Liar):
    """Has a power that it does not advertise."""

    caught_by, words = "powers_are_advertised", "describe() does not say so: pause"

    def describe(self) -> DriverInfo:
        info = super().describe()
        return replace(info, capabilities={name: each for name, each in info.capabilities.items() if name != "pause"})


class OffWithoutAReason(Liar):
    """Says that something is off, and not why."""

    caught_by, words = "what_is_off_has_a_reason", "acceleration"

    def describe(self) -> DriverInfo:
        info = super().describe()
        return replace(info, capabilities={**info.capabilities, "acceleration": Capability(False)})


class DescribesItselfIntoAFile(Liar):
    """Changes the host when it is only asked what it is."""

    caught_by, words = "describe_before_init_host_only_looks", "changed the host"

    def describe(self) -> DriverInfo:
        self.scratch("probe").touch()
        return super().describe()


class KnowsNothingBeforeItsStart(Liar):
    """Has no answer before init_host."""

    caught_by, words = "describe_before_init_host_only_looks", "other capabilities"

    def describe(self) -> DriverInfo:
        info = super().describe()
        return info if self._node_uuid else replace(info, capabilities={})


class WritesWhenConstructed(Liar):
    """Makes the host ready in its constructor."""

    caught_by, words = "construction_is_quick_and_changes_nothing", "wrote files"

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self.scratch("ready").touch()


class NewNodeAtEachStart(Liar):
    """Makes its node's UUID up at each start."""

    caught_by, words = "nodes_keep_their_uuids", "assert"

    def init_host(self, setup: HostSetup) -> None:
        super().init_host(setup)
        self._node_uuid = str(uuidlib.uuid4())


class OffersNothing(Liar):
    """Says that the host has no disk."""

    caught_by, words = "inventory", "offers nothing"

    def inventory(self) -> Sequence[NodeInventory]:
        return [replace(node, disk_gib=0) for node in super().inventory()]


class ClosesOnce(Liar):
    """Cannot be closed again."""

    caught_by, words = "close_twice", "RuntimeError"
    _closed = False

    def close(self) -> None:
        if self._closed:
            self._closed = False
            raise RuntimeError("closed already")
        self._closed = True


class StartsOnce(Liar):
    """Takes a second init_host for a new host."""

    caught_by, words = "init_host_twice", "GuestNotFound"

    def init_host(self, setup: HostSetup) -> None:
        for path in self.files.directory.glob("*.json"):
            path.unlink()
        super().init_host(setup)


class LeavesADiskOfAFailedSpawn(Liar):
    """Does not clean up when the image is of no use."""

    caught_by, words = "damaged_image", "left on the host"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        disk = self.scratch(f"{request.uuid}.disk")
        disk.touch()
        handle = super().spawn(request)
        disk.unlink()
        return handle


class TrustsTheImageService(Liar):
    """Does not verify what it read."""

    caught_by, words = "damaged_image", "nothing was"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        assert request.image
        return super().spawn(replace(request, image=replace(request.image, checksum=None)))


class RaisesItsOwnError(Liar):
    """Lets an error of its own leave."""

    caught_by, words = "short_image", "OSError must not leave"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        try:
            return super().spawn(request)
        except errors.ImageUnusable as exc:
            raise OSError("the disk cannot be made") from exc


class NeverForgivesAnImage(Liar):
    """Refuses an image for ever that broke off once."""

    caught_by, words = "image_that_breaks_off", "ImageUnusable"
    _refused: set[str] = set()

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        assert request.image
        if request.image.id in self._refused:
            raise errors.ImageUnusable("This image was found to be damaged.")
        self._refused.add(request.image.id)
        return super().spawn(request)


class TakesAMissingImageForAFault(Liar):
    """Calls it its own failure if there is no image."""

    caught_by, words = "missing_image", "not GuestFailed"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        try:
            return super().spawn(request)
        except errors.NotFound as exc:
            raise errors.GuestFailed(str(exc)) from exc


class SwallowsTheNetworksError(Liar):
    """Makes a guest without a network where there is none."""

    caught_by, words = "network_that_fails", "DID NOT RAISE"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        try:
            request.network_info.wait()
        except errors.NetworkFailed:
            request = replace(request, network_info=NetworkInfo())
        return super().spawn(request)


class ReplacesTheNetworksError(Liar):
    """Says that the guest failed where the network did."""

    caught_by, words = "network_that_fails", "not the network's own error"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        try:
            return super().spawn(request)
        except errors.NetworkFailed as exc:
            raise errors.GuestFailed("The guest could not be made.") from exc


class ReadsTheNetworkFirst(Liar):
    """Accepts a network that is not there yet, and waits for it before all else."""

    caught_by, words = "network_is_read_late", "before the image"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        request.network_info.wait()
        return super().spawn(request)


class OneAtATime(Liar):
    """Makes one guest at a time, however long its image takes."""

    caught_by, words = "two_at_once", "holds up another"

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._one = threading.Lock()

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        with self._one:
            return super().spawn(request)


class KeepsTheRequestInItself(Liar):
    """Mixes up guests that are made at once."""

    caught_by, words = "many_at_once", "GuestNotFound"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        self._request = request
        time.sleep(0.05)
        return super().spawn(self._request)


class LeavesWhatWasCancelled(Liar):
    """Ends a spawn that was cancelled, and leaves its disk to a destroy that does not know it."""

    caught_by, words = "cancelled_spawn", "left on the host"

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        super().spawn(request)
        if request.cancelled():
            self.destroy(DestroyRequest(GuestRef(request.uuid)))
            self.scratch(f"{request.uuid}.disk").touch()
            raise errors.StaleAttempt("cancelled")
        return {}


class RefusesToDestroyWhatIsBeingMade(Liar):
    """Raises an error of its own if destroy comes during a spawn."""

    caught_by, words = "delete_during_a_spawn", "destroy during a spawn raised"

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._making: set[str] = set()

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        self._making.add(request.uuid)
        try:
            return super().spawn(request)
        finally:
            self._making.discard(request.uuid)

    def destroy(self, request: DestroyRequest) -> None:
        if request.guest.uuid in self._making:
            raise errors.Conflict("The guest is being made.")
        super().destroy(request)


class TearsDown(FakeDriver, SupportsTeardown):
    """Honest: the fake driver with a part outside of its state directory, as a hypervisor's daemon is."""

    @property
    def daemon(self) -> Any:
        """What stands for the daemon."""
        return self.setup.state_dir.parents[1] / "daemon"

    def init_host(self, setup: HostSetup) -> None:
        super().init_host(setup)
        self.daemon.touch()

    def describe(self) -> DriverInfo:
        info = super().describe()
        return replace(info, capabilities={**info.capabilities, "teardown": Capability(True)})

    def teardown(self) -> list[str]:
        if list(self.files.directory.glob("*.json")):
            return ["There are guests."]
        self.daemon.unlink(missing_ok=True)
        return []


class TearsDownUnderGuests(TearsDown):
    """Removes its daemon whatever guests there are."""

    caught_by, words = "teardown_spares_guests", "while there is a guest"

    def teardown(self) -> list[str]:
        self.daemon.unlink(missing_ok=True)
        return []


class ForgetsItsDaemon(TearsDown):
    """Says that nothing is left."""

    caught_by, words = "teardown_and_a_new_start", "and something is"

    def teardown(self) -> list[str]:
        return ["There are guests."] if self.files.all() else []


class WithoutAType(Liar):
    """Does not say what its hypervisor is."""

    caught_by, words = "describes_itself", "hypervisor_type"

    def describe(self) -> DriverInfo:
        return replace(super().describe(), hypervisor_type="")


class ForTheNextContract(Liar):
    """Was written for a version of the contract that is not there yet."""

    caught_by, words = "is_a_driver_of_this_contract", "virt 99.0"
    contract = "virt 99.0"
