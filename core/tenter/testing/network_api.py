"""The checks of the power ``network_api``, part of the conformance kit of network drivers."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tenter import errors
from tenter.contracts.network import (
    CreateNetwork,
    CreatePort,
    CreateSubnet,
    InstancePorts,
    NetworkScope,
    PortAddress,
    RequestedNetwork,
    SupportsNetworkApi,
)
from tenter.testing.base import needs

PROJECT, OTHER = "1" * 32, "2" * 32
MINE, THEIRS, ADMIN = NetworkScope(PROJECT), NetworkScope(OTHER), NetworkScope(PROJECT, is_admin=True)
UNKNOWN = str(uuid.UUID(int=7))


def _network(driver: Any, scope: NetworkScope = MINE, shared: bool = False) -> str:
    network = driver.create_network(scope, CreateNetwork(scope.project_id, "made", shared=shared))
    driver.create_subnet(scope, CreateSubnet(network.id, scope.project_id, "192.168.77.0/24"))
    return str(network.id)


class NetworkApiChecks:
    """What must hold of a network driver that is the network service of an embedded fabric."""

    @needs(SupportsNetworkApi)
    def test_networks_by_project(self, ready: Any) -> None:
        """A project sees its own networks and shared ones; an admin sees all; nobody changes what is not his own
        (Forbidden) and nobody finds what he may not see (NotFound)."""
        mine, theirs = _network(ready), _network(ready, THEIRS)
        shared = _network(ready, NetworkScope(OTHER, is_admin=True), shared=True)
        seen = {network.id for network in ready.list_networks(MINE, {})}
        assert {mine, shared} <= seen and theirs not in seen
        assert {mine, theirs, shared} <= {network.id for network in ready.list_networks(ADMIN, {})}
        with pytest.raises(errors.Forbidden):
            ready.delete_network(MINE, shared)
        for network in (theirs, UNKNOWN, "", "é"):
            with pytest.raises(errors.NotFound):
                ready.delete_network(MINE, network)
            with pytest.raises(errors.NotFound):
                ready.update(MINE, "network", network, {"name": "x"})

    @needs(SupportsNetworkApi)
    def test_network_is_shown(self, ready: Any) -> None:
        """What is made is listed as it was asked for, and changed as it is asked for."""
        request = CreateNetwork(PROJECT, "é\u2028", "many words", mtu=1400)
        made = ready.create_network(MINE, request)
        assert (made.name, made.description, made.mtu, made.project_id) == ("é\u2028", "many words", 1400, PROJECT)
        assert [each for each in ready.list_networks(MINE, {}) if each.id == made.id] == [made]
        ready.update(MINE, "network", made.id, {"name": "new", "admin_state_up": False})
        (shown,) = [each for each in ready.list_networks(MINE, {"id": (made.id,)}) if each.id == made.id]
        assert (shown.name, shown.admin_state_up, shown.description) == ("new", False, "many words")

    @needs(SupportsNetworkApi)
    def test_bad_subnets(self, ready: Any) -> None:
        """A subnet that is malformed or overlaps raises Invalid, and none is made."""
        network = _network(ready)
        for values in (
            {"cidr": "no subnet"},
            {"cidr": "192.168.78.1/24"},
            {"cidr": "192.168.77.128/25"},
            {"cidr": "192.168.79.0/24", "gateway": "10.0.0.1"},
            {"cidr": "192.168.79.0/24", "pool": ("192.168.79.9", "192.168.79.2")},
            {"cidr": "192.168.79.0/24", "pool": ("192.168.80.1", "192.168.80.2")},
        ):
            with pytest.raises(errors.Invalid):
                ready.create_subnet(MINE, CreateSubnet(network, PROJECT, **values))
        assert len([each for each in ready.list_subnets(MINE, {}) if each.network_id == network]) == 1
        with pytest.raises(errors.NotFound):
            ready.create_subnet(MINE, CreateSubnet(UNKNOWN, PROJECT, "192.168.81.0/24"))

    @needs(SupportsNetworkApi)
    def test_ports(self, ready: Any) -> None:
        """A port has the address and the MAC that were asked for; one that is in use raises Conflict, one that cannot
        be had Invalid; a port is seen by its own project only."""
        network = _network(ready)
        wanted = (PortAddress(address="192.168.77.9"),)
        port = ready.create_port(MINE, CreatePort(network, PROJECT, mac="fa:16:3e:00:00:01", fixed_ips=wanted))
        assert (port.mac, port.device_id) == ("fa:16:3e:00:00:01", "")
        assert [fixed.address for fixed in port.fixed_ips] == ["192.168.77.9"]
        for request in (
            CreatePort(network, PROJECT, fixed_ips=wanted),
            CreatePort(network, PROJECT, mac="fa:16:3e:00:00:01"),
        ):
            with pytest.raises(errors.Conflict):
                ready.create_port(MINE, request)
        with pytest.raises(errors.Invalid):
            ready.create_port(MINE, CreatePort(network, PROJECT, fixed_ips=(PortAddress(address="10.250.0.1"),)))
        assert [each.id for each in ready.list_ports(MINE, {})] == [port.id]
        assert list(ready.list_ports(THEIRS, {})) == []
        with pytest.raises(errors.NotFound):
            ready.delete_port(THEIRS, port.id)
        ready.delete_port(MINE, port.id)
        with pytest.raises(errors.NotFound):
            ready.delete_port(MINE, port.id)
        assert ready.create_port(MINE, CreatePort(network, PROJECT, fixed_ips=wanted)), "its address was not given back"

    @needs(SupportsNetworkApi)
    def test_in_use(self, ready: Any, boot: Any) -> None:
        """What an instance uses cannot be removed: network, subnet and port raise Conflict until it is gone."""
        network = _network(ready)
        (vif,) = boot(network, instance=UNKNOWN)
        subnet = vif.fixed_ips[0].subnet.id
        removals = (
            lambda: ready.delete_port(MINE, vif.id),
            lambda: ready.delete_subnet(MINE, subnet),
            lambda: ready.delete_network(MINE, network),
        )
        for remove in removals:
            with pytest.raises(errors.Conflict):
                remove()
        assert ready.vifs(InstancePorts(UNKNOWN)) == (vif,)
        ready.deallocate(InstancePorts(UNKNOWN))
        ready.delete_network(MINE, network)
        assert not [each for each in ready.list_subnets(MINE, {}) if each.id == subnet]

    @needs(SupportsNetworkApi)
    def test_ports_of_the_user_stay(self, ready: Any, boot: Any) -> None:
        """A port that the user made is the instance's while it is allocated, and nobody else's; it stays, unbound,
        when the instance gives it back."""
        network = _network(ready)
        port = ready.create_port(MINE, CreatePort(network, PROJECT)).id
        wanted = RequestedNetwork(port_id=port)
        (vif,) = boot(wanted, instance=UNKNOWN)
        assert vif.id == port
        with pytest.raises(errors.NetworkFailed):
            boot(wanted)
        (bound,) = ready.list_ports(MINE, {"id": (port,)})
        assert bound.device_id == UNKNOWN
        ready.deallocate(InstancePorts(UNKNOWN))
        (left,) = ready.list_ports(MINE, {"id": (port,)})
        assert (left.device_id, left.fixed_ips, left.mac) == ("", bound.fixed_ips, bound.mac)
        assert boot(wanted)[0].mac == bound.mac

    @needs(SupportsNetworkApi)
    def test_ports_and_failure(self, ready: Any, boot: Any) -> None:
        """A port of the user is unbound again where another of the networks asked for fails."""
        network = _network(ready)
        port = ready.create_port(MINE, CreatePort(network, PROJECT)).id
        with pytest.raises(errors.NetworkFailed):
            boot(RequestedNetwork(port_id=port), UNKNOWN)
        assert [each.device_id for each in ready.list_ports(MINE, {})] == [""]
        boot(RequestedNetwork(port_id=port))
