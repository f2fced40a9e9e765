"""The kinds of things that the Network API manages: how each is listed, shown, made, changed and removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenter import errors
from tenter.contracts.network import (
    CreateNetwork,
    CreatePort,
    CreateSubnet,
    NetworkResource,
    NetworkScope,
    PortAddress,
    SupportsNetworkApi,
)
from tenter_api.network import render, schemas

Body = Mapping[str, Any]
Where = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Kind:
    """One kind. ``columns`` maps attribute names of the API to those of the contract's records, for
    filters."""

    name: NetworkResource
    create_schema: Mapping[str, Any]
    update_schema: Mapping[str, Any]
    find: Callable[[NetworkScope, Where], list[dict[str, Any]]]
    create: Callable[[NetworkScope, str, Body], dict[str, Any]]
    update: Callable[[NetworkScope, NetworkResource, str, Body], None]
    delete: Callable[[NetworkScope, str], None]
    columns: Mapping[str, str]

    @property
    def plural(self) -> str:
        """The name of the collection, in URLs and bodies."""
        return self.name + "s"


def kinds(network: SupportsNetworkApi) -> tuple[Kind, ...]:
    """Return networks, subnets and ports as a driver keeps them."""
    maker = _Maker(network)
    same = {name: name for name in ("id", "name", "project_id")} | {"tenant_id": "project_id"}
    return (
        Kind(
            "network",
            schemas.CREATE_NETWORK,
            schemas.UPDATE_NETWORK,
            lambda scope, where: [render.render_network(one) for one in network.list_networks(scope, where)],
            maker.network,
            network.update,
            network.delete_network,
            same,
        ),
        Kind(
            "subnet",
            schemas.CREATE_SUBNET,
            schemas.UPDATE_SUBNET,
            lambda scope, where: [render.render_subnet(one) for one in network.list_subnets(scope, where)],
            maker.subnet,
            network.update,
            network.delete_subnet,
            {**same, "network_id": "network_id", "cidr": "cidr"},
        ),
        Kind(
            "port",
            schemas.CREATE_PORT,
            schemas.UPDATE_PORT,
            lambda scope, where: [render.render_port(one) for one in network.list_ports(scope, where)],
            maker.port,
            network.update,
            network.delete_port,
            {**same, "network_id": "network_id", "device_id": "device_id", "mac_address": "mac"},
        ),
    )


class _Maker:
    """Turns bodies that fit their schema into the contract's requests. ``owner`` is the project that it is
    for."""

    def __init__(self, network: SupportsNetworkApi) -> None:
        self._network = network

    def network(self, scope: NetworkScope, owner: str, body: Body) -> dict[str, Any]:
        shared, mtu = body.get("shared", False), body.get("mtu")
        if shared and not scope.is_admin:
            raise errors.Forbidden("Only an administrator may make a shared network.")
        request = CreateNetwork(
            project_id=owner,
            name=body.get("name", ""),
            description=body.get("description", ""),
            shared=shared,
            admin_state_up=body.get("admin_state_up", True),
            mtu=int(mtu) if mtu else None,  # the openstack client writes it as a string
        )
        return render.render_network(self._network.create_network(scope, request))

    def subnet(self, scope: NetworkScope, owner: str, body: Body) -> dict[str, Any]:
        pools = body.get("allocation_pools")
        request = CreateSubnet(
            network_id=body["network_id"].lower(),
            project_id=owner,
            cidr=body["cidr"],
            name=body.get("name", ""),
            description=body.get("description", ""),
            gateway=body.get("gateway_ip", "auto"),
            dns=tuple(body.get("dns_nameservers", ())),
            dhcp=body.get("enable_dhcp", True),
            pool=(pools[0]["start"], pools[0]["end"]) if pools else None,
        )
        return render.render_subnet(self._network.create_subnet(scope, request))

    def port(self, scope: NetworkScope, owner: str, body: Body) -> dict[str, Any]:
        known = {group.id for group in self._network.list_security_groups(NetworkScope(owner))}
        if unknown := set(body.get("security_groups", ())) - known:
            raise errors.NotFound(f"Security group {min(unknown)} does not exist.")
        mac = body.get("mac_address")
        request = CreatePort(
            network_id=body["network_id"].lower(),
            project_id=owner,
            name=body.get("name", ""),
            description=body.get("description", ""),
            mac=mac.lower() if mac else None,
            admin_state_up=body.get("admin_state_up", True),
            fixed_ips=tuple(
                PortAddress(ip.get("subnet_id"), ip.get("ip_address")) for ip in body.get("fixed_ips", ())
            ),
        )
        return render.render_port(self._network.create_port(scope, request))
