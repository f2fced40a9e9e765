"""The conformance kit of network drivers."""

from __future__ import annotations

import ipaddress
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from tenter import errors
from tenter.contracts.base import SupportsTeardown
from tenter.contracts.network import (
    VIF,
    AllocateRequest,
    CheckRequest,
    CreateNetwork,
    CreateSubnet,
    HostNetwork,
    InitHostRequest,
    InstancePorts,
    NetworkDriver,
    NetworkScope,
    PlugRequest,
    RequestedNetwork,
    SupportsNetworkApi,
)
from tenter.testing.base import needs
from tenter.testing.general import DriverConformance
from tenter.testing.network_api import NetworkApiChecks

PROJECT, OTHER = "1" * 32, "2" * 32
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
STRANGE = ("", " ", "no-uuid", "../..", "0" * 5000, "é\u2028", "'; --", str(uuid.UUID(int=7)))


class NetworkConformance(DriverConformance, NetworkApiChecks):
    """What must hold of a network driver::

        class TestAcme(NetworkConformance):
            plugin = AcmeNetwork

    A driver that has the power ``network_api`` makes the networks that are needed through it; any other needs
    ``make_network``. What was allocated is given back after each check, and a driver that has the power ``teardown``
    takes everything off the host.
    """

    kind: ClassVar[str] = "network"
    base = NetworkDriver

    def make_network(self, driver: Any, addresses: int) -> str:
        """Make a network of ``PROJECT`` with a subnet that has just that many addresses for ports; return its id."""
        if not isinstance(driver, SupportsNetworkApi):
            pytest.fail("override make_network(): without the power network_api the kit has no network to allocate in")
        mine = NetworkScope(PROJECT)
        number = len(driver.list_networks(mine, {}))
        base = f"192.168.{number}"
        network = driver.create_network(mine, CreateNetwork(PROJECT, f"conformance {number}"))
        pool = (f"{base}.10", f"{base}.{9 + addresses}")
        driver.create_subnet(mine, CreateSubnet(network.id, PROJECT, f"{base}.0/24", pool=pool))
        return network.id

    @pytest.fixture
    def used(self) -> set[str]:
        """The instances that something was allocated to."""
        return set()

    @pytest.fixture
    def ready(self, make: Callable[..., Any], used: set[str]) -> Iterator[Any]:
        """The driver on a host that is ready; all is taken off the host in the end."""
        driver = make()
        driver.init_host(InitHostRequest(self.host))
        yield driver
        for instance in used:
            for vif in driver.vifs(InstancePorts(instance)):
                driver.unplug(PlugRequest(instance, vif))
            driver.deallocate(InstancePorts(instance))
        if isinstance(driver, SupportsTeardown):
            assert driver.teardown() == []

    @pytest.fixture
    def boot(self, ready: Any, used: set[str]) -> Callable[..., tuple[VIF, ...]]:
        """Allocate in networks (ids, or what is requested), as a build does."""

        def allocate(*networks: str | RequestedNetwork, instance: str = "", **values: Any) -> tuple[VIF, ...]:
            instance = instance or str(uuid.uuid4())
            used.add(instance)
            wanted = tuple(RequestedNetwork(each) if isinstance(each, str) else each for each in networks)
            values = {"host": self.host, "hostname": "vm", **values}
            vifs: tuple[VIF, ...] = ready.allocate(AllocateRequest(instance, PROJECT, networks=wanted, **values))
            return vifs

        return allocate

    def test_allocate_in_order(self, ready: Any, boot: Any) -> None:
        """There is one VIF for each network, in the order asked, each with a MAC and an address of its subnet that
        nobody else has."""
        first, second = self.make_network(ready, 5), self.make_network(ready, 5)
        vifs = boot(second, first, second)
        assert [vif.network_id for vif in vifs] == [second, first, second]
        assert len({vif.id for vif in vifs}) == len({vif.mac for vif in vifs}) == len(set(_addresses(vifs))) == 3
        for vif in vifs:
            assert MAC.fullmatch(vif.mac) and not int(vif.mac[:2], 16) & 1, f"{vif.mac} is no unicast MAC address"
            assert vif.fixed_ips and vif.mtu >= 576
            for fixed in vif.fixed_ips:
                subnet = ipaddress.ip_network(fixed.subnet.cidr)
                assert ipaddress.ip_address(fixed.address) in subnet and fixed.address != fixed.subnet.gateway

    def test_allocate_again(self, ready: Any, boot: Any) -> None:
        """To allocate again for the same instance returns the same VIFs, and ``vifs`` tells them too."""
        network = self.make_network(ready, 3)
        instance = str(uuid.uuid4())
        vifs = boot(network, network, instance=instance)
        assert boot(network, network, instance=instance) == vifs
        assert ready.vifs(InstancePorts(instance)) == vifs == ready.vifs(InstancePorts(instance, self.host))
        assert ready.vifs(InstancePorts(instance, "elsewhere")) == ready.vifs(InstancePorts(str(uuid.uuid4()))) == ()

    def test_no_address_left(self, ready: Any, boot: Any) -> None:
        """Where there is no address left ResourceExhausted is raised and nothing stays allocated; what is given back
        can be had again."""
        network = self.make_network(ready, 2)
        first, late = str(uuid.uuid4()), str(uuid.uuid4())
        boot(network, instance=first)
        with pytest.raises(errors.ResourceExhausted):
            boot(network, network, instance=late)
        assert ready.vifs(InstancePorts(late)) == ()
        boot(network)
        ready.deallocate(InstancePorts(first))
        assert len(boot(network, instance=late)) == 1

    def test_second_network_fails(self, ready: Any, boot: Any) -> None:
        """Where the second of two networks fails, nothing of the first stays allocated."""
        good, full = self.make_network(ready, 1), self.make_network(ready, 1)
        boot(full)
        instance = str(uuid.uuid4())
        for bad in (full, str(uuid.UUID(int=7))):
            with pytest.raises((errors.NetworkFailed, errors.ResourceExhausted)):
                boot(good, bad, instance=instance)
            assert ready.vifs(InstancePorts(instance)) == ()
        assert len(boot(good, instance=instance)) == 1, "the only address of the first network was lost"

    def test_deallocate_again(self, ready: Any, boot: Any) -> None:
        """To give back what was given back, or never allocated, is no error."""
        network = self.make_network(ready, 1)
        instance = str(uuid.uuid4())
        boot(network, instance=instance)
        for _ in range(2):
            ready.deallocate(InstancePorts(instance))
            assert ready.vifs(InstancePorts(instance)) == ()
        ready.deallocate(InstancePorts(str(uuid.uuid4()), "elsewhere"))
        assert len(boot(network)) == 1, "the address was not given back"

    def test_deallocate_by_host(self, ready: Any, boot: Any) -> None:
        """With a host only what is bound to it is given back."""
        network = self.make_network(ready, 2)
        instance = str(uuid.uuid4())
        vifs = boot(network, instance=instance)
        ready.deallocate(InstancePorts(instance, "elsewhere"))
        assert ready.vifs(InstancePorts(instance)) == vifs
        ready.deallocate(InstancePorts(instance, self.host))
        assert ready.vifs(InstancePorts(instance)) == ()

    def test_take_over(self, ready: Any, boot: Any) -> None:
        """The next host takes over the ports of the hosts that its request names, or of any; those they had them can
        no longer give them back."""
        network = self.make_network(ready, 4)
        for replaces in ((self.host,), None):
            instance = str(uuid.uuid4())
            vifs = boot(network, instance=instance)
            taken = boot(network, instance=instance, host="next", replaces=replaces)
            assert [vif.id for vif in taken] == [vif.id for vif in vifs] and _addresses(taken) == _addresses(vifs)
            assert ready.vifs(InstancePorts(instance, "next")) == taken
            ready.deallocate(InstancePorts(instance, self.host))
            assert ready.vifs(InstancePorts(instance)) == taken

    def test_too_late(self, ready: Any, boot: Any) -> None:
        """A request that comes after the instance was made on a host that it does not name raises NetworkFailed and
        changes nothing."""
        network = self.make_network(ready, 2)
        instance = str(uuid.uuid4())
        vifs = boot(network, instance=instance)
        for replaces in ((), ("a third",)):
            with pytest.raises(errors.NetworkFailed):
                boot(network, instance=instance, host="late", replaces=replaces)
        assert ready.vifs(InstancePorts(instance, self.host)) == vifs

    def test_found_again(self, ready: Any, boot: Any, make: Callable[..., Any]) -> None:
        """After a restart everything is allocated as before, and no address is given out a second time."""
        network = self.make_network(ready, 2)
        instance = str(uuid.uuid4())
        vifs = boot(network, instance=instance)
        anew = make()
        assert anew.vifs(InstancePorts(instance)) == vifs
        request = AllocateRequest(str(uuid.uuid4()), PROJECT, self.host, "vm", (RequestedNetwork(network),))
        other = anew.allocate(request)
        try:
            assert not {*_addresses(other)} & {*_addresses(vifs)}
        finally:
            anew.deallocate(InstancePorts(request.instance_uuid))

    def test_instances_at_once(self, ready: Any, boot: Any) -> None:
        """Of instances that are allocated at once no two have the same address or MAC, and just as many get one as
        there are."""
        network = self.make_network(ready, 8)
        start = threading.Barrier(10)

        def allocate(_: int) -> tuple[VIF, ...]:
            start.wait(30)
            try:
                return tuple(boot(network))
            except errors.ResourceExhausted:
                return ()

        with ThreadPoolExecutor(10) as pool:
            vifs = [vif for found in pool.map(allocate, range(10)) for vif in found]
        assert len(vifs) == 8, f"{len(vifs)} of 8 addresses were given out to 10 instances"
        assert len(set(_addresses(vifs))) == len({vif.mac for vif in vifs}) == 8

    def test_one_instance_at_once(self, ready: Any, boot: Any) -> None:
        """An instance that is allocated several times at once has its VIFs once."""
        network = self.make_network(ready, 8)
        instance = str(uuid.uuid4())
        start = threading.Barrier(4)

        def allocate(_: int) -> tuple[VIF, ...]:
            start.wait(30)
            return tuple(boot(network, instance=instance))

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(allocate, range(4)))
        kept = ready.vifs(InstancePorts(instance))
        assert len(kept) == 1 and all(vifs == kept for vifs in found), f"{kept} is allocated, {found} was returned"

    def test_check_decides(self, ready: Any) -> None:
        """What was checked names a network for each NIC; checked again, it is the same."""
        network = self.make_network(ready, 2)
        named = (RequestedNetwork(network, tag="x"), RequestedNetwork(network))
        decided = ready.check(CheckRequest(PROJECT, named))
        assert [(each.network_id, each.tag) for each in decided] == [(network, "x"), (network, None)]
        assert ready.check(CheckRequest(PROJECT, decided)) == decided

    def test_check_finds_a_network(self, ready: Any) -> None:
        """Where no network was named there is one decided, or Conflict says that several fit."""
        self.make_network(ready, 2)
        try:
            decided = ready.check(CheckRequest(PROJECT, None))
        except errors.Conflict:
            return
        assert len(decided) == 1 and decided[0].network_id
        assert ready.check(CheckRequest(PROJECT, decided)) == decided

    def test_check_refuses(self, ready: Any, boot: Any) -> None:
        """An unknown network, port or address raises Invalid, an address that is in use Conflict, and so does, in
        either way, another project's network."""
        network = self.make_network(ready, 2)
        taken = _addresses(boot(network))[0]
        for wanted in (
            *(RequestedNetwork(strange) for strange in STRANGE),
            *(RequestedNetwork(port_id=strange) for strange in STRANGE[1:]),
            *(RequestedNetwork(network, fixed_ip=strange) for strange in ("10.250.0.1", "1.2.3", "::1", "é")),
        ):
            with pytest.raises(errors.Invalid):
                ready.check(CheckRequest(PROJECT, (wanted,)))
        with pytest.raises(errors.Conflict):
            ready.check(CheckRequest(PROJECT, (RequestedNetwork(network, fixed_ip=taken),)))
        with pytest.raises((errors.Invalid, errors.Conflict)):
            ready.check(CheckRequest(OTHER, (RequestedNetwork(network),)))

    def test_fixed_address(self, ready: Any, boot: Any) -> None:
        """An address that was asked for is the VIF's; somebody else who asks for it is refused (NetworkFailed)."""
        network = self.make_network(ready, 2)
        instance = str(uuid.uuid4())
        wanted = RequestedNetwork(network, fixed_ip=_addresses(boot(network, instance=instance))[0])
        with pytest.raises(errors.NetworkFailed):
            boot(wanted)
        ready.deallocate(InstancePorts(instance))
        assert _addresses(boot(wanted)) == [wanted.fixed_ip]

    def test_strange_networks(self, ready: Any, boot: Any) -> None:
        """To allocate in a network or at a port that does not exist raises NetworkFailed, whatever its id looks
        like."""
        for strange in STRANGE:
            for wanted in (RequestedNetwork(strange), RequestedNetwork(port_id=strange or "none")):
                with pytest.raises(errors.NetworkFailed):
                    boot(wanted)

    def test_plug_again(self, ready: Any, boot: Any) -> None:
        """To plug twice, to unplug twice and to unplug what was never plugged is no error."""
        network = self.make_network(ready, 2)
        instance = str(uuid.uuid4())
        (vif,) = boot(network, instance=instance)
        request = PlugRequest(instance, vif)
        for step in (ready.unplug, ready.plug, ready.plug, ready.unplug, ready.unplug, ready.plug, ready.unplug):
            step(request)

    def test_init_host_takes_over(self, ready: Any, boot: Any, make: Callable[..., Any]) -> None:
        """A process that starts on a host that is ready already takes over what is there: the same wiring, and what
        is plugged can be plugged and unplugged."""
        network = self.make_network(ready, 2)
        instance = str(uuid.uuid4())
        (vif,) = boot(network, instance=instance)
        ready.plug(PlugRequest(instance, vif))
        wiring = ready.init_host(InitHostRequest(self.host))
        assert isinstance(wiring, HostNetwork) and wiring.mode in ("bridge", "user", "none")
        anew = make()
        assert anew.init_host(InitHostRequest(self.host)) == wiring
        assert anew.vifs(InstancePorts(instance)) == (vif,)
        anew.plug(PlugRequest(instance, vif))
        anew.unplug(PlugRequest(instance, vif))

    def test_vif_fits_the_host(self, ready: Any, boot: Any) -> None:
        """The type of a VIF is one that the host's wiring has: a bridge VIF names its bridge and tap device."""
        wiring = ready.init_host(InitHostRequest(self.host))
        (vif,) = boot(self.make_network(ready, 1))
        assert vif.type in {"bridge": ("bridge", "ovs"), "user": ("user",), "none": ("other",)}[wiring.mode]
        if vif.type == "bridge":
            assert vif.details.get("bridge") and vif.devname and len(vif.devname) <= 15

    @needs(SupportsTeardown)
    def test_teardown(self, ready: Any, boot: Any) -> None:
        """While anything is allocated nothing is removed, and a sentence says so; after that all is removed, again is
        no error, and ``init_host`` makes all anew."""
        network = self.make_network(ready, 1)
        instance = str(uuid.uuid4())
        vifs = boot(network, instance=instance)
        ready.plug(PlugRequest(instance, vifs[0]))
        left = ready.teardown()
        assert left and all(len(sentence.split()) > 1 for sentence in left), f"it says {left}, but a VIF is plugged"
        assert ready.vifs(InstancePorts(instance)) == vifs
        ready.unplug(PlugRequest(instance, vifs[0]))
        ready.deallocate(InstancePorts(instance))
        assert ready.teardown() == ready.teardown() == []
        ready.init_host(InitHostRequest(self.host))


def _addresses(vifs: Any) -> list[str]:
    return [fixed.address for vif in vifs for fixed in vif.fixed_ips]
