"""The ``local`` network driver: shared and private networks of one host."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from tenter import errors
from tenter.contracts.base import Capability, Description, PluginSetup, SupportsTeardown
from tenter.contracts.network import (
    VIF,
    AllocateRequest,
    CheckRequest,
    CreateNetwork,
    CreatePort,
    CreateSubnet,
    HostNetwork,
    InitHostRequest,
    InstancePorts,
    NetworkDriver,
    NetworkRecord,
    NetworkResource,
    NetworkScope,
    PlugRequest,
    PortRecord,
    RequestedNetwork,
    SecurityGroupRecord,
    SubnetRecord,
    SupportsNetworkApi,
)
from tenter_plugins.network.local import addresses, security_groups
from tenter_plugins.network.local.database import NetworkDatabase
from tenter_plugins.network.local.names import namespace_name
from tenter_plugins.network.local.namespace import TOOLS, tool
from tenter_plugins.network.local.networks import Networks, Where, insert_network, insert_subnet
from tenter_plugins.network.local.options import OPTS, SECTION
from tenter_plugins.network.local.ports import Ports
from tenter_plugins.network.local.wiring import Reservation, WiredNetwork, WiredSubnet, Wiring

LOG = logging.getLogger(__name__)

_EVERYBODY = NetworkScope("", is_admin=True)
Record = TypeVar("Record", NetworkRecord, SubnetRecord, PortRecord)


class LocalNetwork(NetworkDriver, SupportsNetworkApi, SupportsTeardown):
    """Networks, subnets and ports in a SQLite file, wired on this host by bridges or by the hypervisor
    itself."""

    contract = "network 1.0"
    section = SECTION
    options = OPTS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._conf = setup.conf[self.section]
        self.mode = _mode(self._conf.mode, getattr(setup.conf, "virt_driver", ""))
        self._db = NetworkDatabase(setup.state_dir / "network.sqlite", self._seed)
        self._networks = Networks(self._db, self._conf.mtu)
        self._ports = Ports(self._db, self.mode)
        self.namespace = namespace_name(setup.state_dir) if self.mode == "bridge" else None
        self._wiring = Wiring(self.namespace, self._conf.dhcp_lease) if self.namespace else None

    def close(self) -> None:
        """Close the database. DHCP servers and bridges stay, for guests go on running."""
        self._db.close()

    def describe(self) -> Description:
        """Return the driver's powers as probed now."""
        bridge = Capability(True)
        if self.mode != "bridge":
            bridge = Capability(False, f"mode is {self.mode}")
        else:
            try:
                for name in TOOLS:
                    tool(name)
            except errors.NetworkFailed as exc:
                bridge = Capability(False, exc.message)
        user = Capability(True) if self.mode == "user" else Capability(False, f"mode is {self.mode}")
        dhcp = Capability(True) if user.on else bridge
        return Description(
            name="local",
            capabilities={
                "bridge": bridge,
                "user": user,
                "dhcp": dhcp,
                SupportsNetworkApi.capability: Capability(True),
                SupportsTeardown.capability: Capability(True),
                "ipv6": Capability(False, "the local driver knows IPv4 only"),
                "security_groups": Capability(
                    False, "the local driver filters nothing; every project has one group"
                ),
            },
        )

    def init_host(self, request: InitHostRequest) -> HostNetwork:
        """Make namespace, bridges and DHCP agree with the database (mode bridge). Raises NetworkFailed."""
        if self._wiring is not None:
            everything = self._networks.find(_EVERYBODY, {})
            self._wiring.init({self._wired(record): self._reservations(record.id) for record in everything})
        return HostNetwork(mode=self.mode, namespace=self.namespace)

    def check(self, request: CheckRequest) -> tuple[RequestedNetwork, ...]:
        """See the contract."""
        networks = request.networks
        if networks is None:
            return (RequestedNetwork(network_id=self._networks.default_for(request.project_id)),)
        for name in ("port_id", "fixed_ip"):
            named = [
                (getattr(wanted, name), wanted.network_id) for wanted in networks if getattr(wanted, name)
            ]
            if len(set(named)) != len(named):
                raise errors.Invalid(f"The same {name.replace('_', ' ')} is asked for more than once.")
        return tuple(self._ports.check(request.project_id, wanted, request.instances) for wanted in networks)

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        """See the contract."""
        return self._ports.allocate(request)

    def deallocate(self, ports: InstancePorts) -> None:
        """See the contract."""
        self._ports.deallocate(ports.instance_uuid, ports.host)

    def vifs(self, ports: InstancePorts) -> tuple[VIF, ...]:
        """See the contract."""
        return self._ports.vifs(ports.instance_uuid, ports.host)

    def plug(self, request: PlugRequest) -> None:
        """Make the VIF's bridge and DHCP reservation; the hypervisor makes the tap. Raises NetworkFailed."""
        vif = request.vif
        if self._wiring is None or vif.type != "bridge":
            return
        try:
            network = self._wired(self._networks.get(vif.network_id))
        except errors.NotFound as exc:
            raise errors.NetworkFailed(exc.message) from exc
        known = {entry.port_id: entry for entry in self._reservations(vif.network_id, vif.id)}
        if vif.id in known:
            self._wiring.reserve(network, known[vif.id])
        else:
            self._wiring.ensure(network)

    def unplug(self, request: PlugRequest) -> None:
        """Take the VIF's DHCP reservation and its tap away. Raises NetworkFailed."""
        if self._wiring is not None and request.vif.type == "bridge":
            self._wiring.release(request.vif.network_id, request.vif.id)

    def teardown(self) -> list[str]:
        """Take everything off this host that ``init_host`` and ``plug`` made, if no port is bound to an
        instance.

        Returns what is left, as the contract says. The database stays; ``init_host`` makes all anew.
        """
        if self._ports.any_bound():
            return ["The local network stays: ports are bound to instances."]
        if self._wiring is not None:
            self._wiring.remove()
        return []

    def devices(self) -> dict[str, tuple[str, ...]]:
        """Return the names of what the driver's networks have on this host now: ``bridges``, ``taps`` and
        ``namespaces``. All are empty after ``teardown``."""
        if self._wiring is None:
            return {"bridges": (), "taps": (), "namespaces": ()}
        return self._wiring.devices()

    def list_networks(self, scope: NetworkScope, where: Where) -> Sequence[NetworkRecord]:
        """See the contract."""
        return self._networks.find(scope, where)

    def create_network(self, scope: NetworkScope, request: CreateNetwork) -> NetworkRecord:
        """See the contract. Its bridge is made when the first port needs it."""
        return self._networks.get(self._networks.create(request))

    def delete_network(self, scope: NetworkScope, network_id: str) -> None:
        """See the contract."""
        self._networks.delete(scope, network_id)
        if self._wiring is not None:
            try:
                self._wiring.drop(network_id)
            except errors.NetworkFailed as exc:
                LOG.warning("What is left of network %s goes at the next start: %s", network_id, exc)

    def list_subnets(self, scope: NetworkScope, where: Where) -> Sequence[SubnetRecord]:
        """See the contract."""
        return self._networks.find_subnets(scope, where)

    def create_subnet(self, scope: NetworkScope, request: CreateSubnet) -> SubnetRecord:
        """See the contract."""
        new_id = self._networks.create_subnet(scope, request)
        return _only(self._networks.find_subnets(scope, {"id": (new_id,)}), new_id)

    def delete_subnet(self, scope: NetworkScope, subnet_id: str) -> None:
        """See the contract. The bridge follows when the next port is plugged."""
        self._networks.delete_subnet(scope, subnet_id)

    def list_ports(self, scope: NetworkScope, where: Where) -> Sequence[PortRecord]:
        """See the contract."""
        return self._ports.find(scope, where)

    def create_port(self, scope: NetworkScope, request: CreatePort) -> PortRecord:
        """See the contract."""
        new_id = self._ports.create(scope, request)
        return _only(self._ports.find(_EVERYBODY, {"id": (new_id,)}), new_id)

    def delete_port(self, scope: NetworkScope, port_id: str) -> None:
        """See the contract."""
        self._ports.delete(scope, port_id)

    def update(self, scope: NetworkScope, kind: NetworkResource, id: str, changes: Mapping[str, Any]) -> None:
        """See the contract."""
        allowed = {"name", "description"}
        allowed |= {"network": {"admin_state_up", "shared"}, "port": {"admin_state_up"}}.get(kind, set())
        if unknown := set(changes) - allowed:
            raise errors.Invalid(f"{', '.join(sorted(unknown))} of a {kind} cannot be changed.")
        if kind == "network":
            self._networks.update(scope, id, changes)
        elif kind == "subnet":
            self._networks.update_subnet(scope, id, changes)
        else:
            self._ports.update(scope, id, changes)

    def list_security_groups(self, scope: NetworkScope) -> Sequence[SecurityGroupRecord]:
        """Return the one group that every project has."""
        return (security_groups.default(scope.project_id),)

    def _seed(self, conn: sa.Connection) -> None:
        """Make the network that is there from the start."""
        request = CreateNetwork(
            project_id="", name=self._conf.network_name, description="Made at the first start", shared=True
        )
        network_id = insert_network(conn, request, self._conf.mtu, is_default=True)
        insert_subnet(
            conn,
            CreateSubnet(network_id, "", self._conf.cidr, name=request.name, dns=tuple(self._conf.dns)),
        )

    def _wired(self, network: NetworkRecord) -> WiredNetwork:
        parts = self._networks.find_subnets(_EVERYBODY, {"network_id": (network.id,)})
        return WiredNetwork(
            network.id,
            network.mtu,
            tuple(
                WiredSubnet(
                    part.cidr, addresses.server_of(part.cidr, part.gateway), part.gateway, part.dns, part.dhcp
                )
                for part in parts
            ),
        )

    def _reservations(self, network_id: str, port_id: str | None = None) -> list[Reservation]:
        return [Reservation(*row) for row in self._ports.reservations(network_id, port_id)]


def _mode(asked: str, virt_driver: str) -> str:
    """Return the mode that an option value means for this process."""
    if asked != "auto":
        return asked
    if virt_driver == "fake":
        return "none"
    return "bridge" if os.geteuid() == 0 else "user"


def _only(found: Sequence[Record], id: str) -> Record:
    if not found:
        raise errors.Conflict(f"{id} was removed while it was made.")
    return found[0]
