"""Checks of the driver itself: what it says of itself and of its host, its start and its end."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenter.contracts import virt
from tenter.contracts.base import Power, SupportsTeardown
from tenter.contracts.virt import CONTRACT, DriverInfo, VirtDriver
from tenter.testing.base import needs
from tenter.testing.virt.world import New, Start, VirtWorld, must_be_json


class HostChecks(VirtWorld):
    """What must hold without a guest, or whatever guests there are."""

    def test_is_a_driver_of_this_contract(self) -> None:
        """The class is a VirtDriver without abstract methods, written for a version of the contract that loads."""
        from tenter.plugins import compatible

        assert issubclass(self.plugin, VirtDriver)
        missing = sorted(getattr(self.plugin, "__abstractmethods__", ()))
        assert not missing, f"these methods are missing: {', '.join(missing)}"
        assert compatible(self.plugin.contract, CONTRACT), f"contract is {self.plugin.contract!r}, this is {CONTRACT!r}"

    def test_construction_is_quick_and_changes_nothing(self, make: Callable[..., VirtDriver], state_dir: Path) -> None:
        """The constructor only notes things: it is done in a second and writes nothing."""
        before = _files(state_dir)
        began = time.monotonic()
        make()
        assert time.monotonic() - began < 1, "the constructor takes longer than a second; that belongs to init_host"
        assert _files(state_dir) == before, "the constructor wrote files; that belongs to init_host"

    def test_describe_before_init_host_only_looks(self, make: Callable[..., VirtDriver]) -> None:
        """A driver that was just constructed describes itself, with every power, and changes nothing on the host."""
        driver = make()
        before = _files(driver.setup.state_dir), self.leftovers(driver)
        early = driver.describe()
        assert (_files(driver.setup.state_dir), self.leftovers(driver)) == before, "describe() changed the host"
        driver.init_host(self.host_setup(self.host))
        now = driver.describe()
        assert set(early.capabilities) == set(now.capabilities), "other capabilities before init_host than after it"
        on = {name for name, each in early.capabilities.items() if each.on}
        assert all(now.capabilities[name].on for name in on), "a capability was on before init_host and is off after it"

    def test_describes_itself(self, driver: VirtDriver) -> None:
        """describe() returns a DriverInfo with a name, a hypervisor type and capabilities that are JSON."""
        info = driver.describe()
        assert isinstance(info, DriverInfo)
        assert info.name, "name is empty"
        assert info.hypervisor_type, "hypervisor_type is empty"
        assert isinstance(info.hypervisor_version, int) and info.hypervisor_version >= 0
        for name, capability in info.capabilities.items():
            must_be_json([name, capability.on, capability.reason, capability.details], f"the capability {name}")

    def test_powers_are_advertised(self, driver: VirtDriver) -> None:
        """Every power that the class has stands in describe() under its name, and no power that it has not."""
        said = driver.describe().capabilities
        has = {each.capability for each in _powers() if isinstance(driver, each)}
        silent = sorted(has - set(said))
        assert not silent, f"the class has these powers, but describe() does not say so: {', '.join(silent)}"
        others = {each.capability for each in _powers()} - has
        lies = sorted(name for name in others if name in said and said[name].on)
        assert not lies, f"describe() claims these powers, which the class has not: {', '.join(lies)}"

    def test_what_is_off_has_a_reason(self, driver: VirtDriver) -> None:
        """Every capability that is off says why, in words for an operator."""
        mute = sorted(name for name, each in driver.describe().capabilities.items() if not each.on and not each.reason)
        assert not mute, f"no reason is given for: {', '.join(mute)}"

    def test_inventory(self, driver: VirtDriver) -> None:
        """Every node has a UUID and a name of its own, and more than nothing to offer; a single one is named as the
        host."""
        nodes = list(driver.inventory())
        assert nodes, "there is no node"
        assert len({node.uuid for node in nodes}) == len({node.name for node in nodes}) == len(nodes)
        for node in nodes:
            assert node.uuid and node.name
            assert node.vcpus > 0 and node.memory_mib > 0 and node.disk_gib > 0, f"node {node.name} offers nothing"
            must_be_json(dict(node.cpu_info), "cpu_info")
        if len(nodes) == 1:
            assert nodes[0].name == self.host

    def test_nodes_keep_their_uuids(self, driver: VirtDriver, start: Start) -> None:
        """A node keeps its UUID over restarts of the service."""
        first = {node.name: node.uuid for node in driver.inventory()}
        driver.close()
        assert {node.name: node.uuid for node in start().inventory()} == first

    def test_init_host_twice(self, driver: VirtDriver, new: New) -> None:
        """init_host may be called again: guests run on, undisturbed and known."""
        guest = self.spawn(driver, new())
        incarnation = self.incarnation(driver, guest.uuid)
        driver.init_host(self.host_setup(self.host))
        self.must_run(driver, guest.uuid, "after a second init_host")
        assert list(self.listed(driver)) == [guest.uuid]
        assert self.incarnation(driver, guest.uuid) == incarnation, "the second init_host started the guest anew"

    def test_close_twice(self, driver: VirtDriver) -> None:
        """close() may be called again."""
        driver.close()
        driver.close()

    def test_guests_go_on_after_close(self, driver: VirtDriver, start: Start, new: New) -> None:
        """close() does nothing to guests: the next process finds them running, and not started anew."""
        guest = self.spawn(driver, new())
        incarnation = self.incarnation(driver, guest.uuid)
        driver.close()
        assert self.running(driver, guest.uuid) is not False, "close() ended the guest"
        again = start()
        self.must_run(again, guest.uuid, "after close() and a new start")
        assert self.incarnation(again, guest.uuid) == incarnation, "the guest was started anew"

    @needs(SupportsTeardown)
    def test_teardown_spares_guests(self, driver: Any, new: New) -> None:
        """While there is a guest, teardown removes nothing and says so."""
        guest = self.spawn(driver, new())
        before = self.leftovers(driver)
        assert driver.teardown(), "teardown says that nothing is left, while there is a guest"
        self.must_run(driver, guest.uuid, "after teardown")
        assert sorted(set(before) - set(self.leftovers(driver))) == [], "teardown removed something beside a guest"
        self.stop(driver, guest)
        assert driver.teardown(), "teardown says that nothing is left, while there is a stopped guest"
        assert list(self.listed(driver)) == [guest.uuid]

    @needs(SupportsTeardown)
    def test_teardown_and_a_new_start(self, driver: Any, make: Callable[..., Any], new: New) -> None:
        """teardown leaves nothing, may be called again and on a driver that was just constructed, and init_host makes
        everything anew."""
        node = [each.uuid for each in driver.inventory()]
        assert driver.teardown() == []
        assert not self.installed(driver), "teardown says that nothing is left, and something is"
        assert driver.teardown() == [], "the second call does not end as the first"
        driver.close()
        again = make()
        assert again.teardown() == []
        again.init_host(self.host_setup(self.host))
        assert [each.uuid for each in again.inventory()] == node, "the node has another UUID after teardown"
        guest = self.spawn(again, new())
        self.must_run(again, guest.uuid, "after teardown and a new start")
        self.destroy(again, guest)


def _files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if not path.is_dir()}


def _powers() -> list[type[Power]]:
    """Return the powers that the contract knows."""
    found = {each for each in vars(virt).values() if inspect.isclass(each) and issubclass(each, Power)}
    return sorted((found | {SupportsTeardown}) - {Power}, key=lambda power: power.capability)
