"""This host's part of bridged networks: a namespace, a bridge and a DHCP server a network, reservations a
port.

The database says what there should be; everything here is made to agree with it, as often as asked.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from tenter_plugins.network.local.dhcp import DhcpRange, Dnsmasq, ensure_directory, host_line
from tenter_plugins.network.local.names import bridge_name, tap_name
from tenter_plugins.network.local.namespace import TOOLS, Namespace, tool

RUNTIME = Path("/run/tenter")
"""Where DHCP servers keep their files: as short-lived as the namespaces, and open to a server that gave up
root."""


@dataclass(frozen=True)
class WiredSubnet:
    """``server`` is the address that the bridge has in it."""

    cidr: str
    server: str
    gateway: str | None
    dns: tuple[str, ...]
    dhcp: bool


@dataclass(frozen=True)
class WiredNetwork:
    """What has to be made of one network."""

    id: str
    mtu: int
    subnets: tuple[WiredSubnet, ...]


@dataclass(frozen=True)
class Reservation:
    """A port that DHCP knows."""

    port_id: str
    mac: str
    address: str
    hostname: str = ""

    @property
    def line(self) -> str:
        """The reservation as dnsmasq reads it."""
        return host_line(self.mac, self.address, self.hostname)


class Wiring:
    """Bridges and DHCP servers in one namespace. Thread-safe."""

    def __init__(self, namespace: str, lease: int) -> None:
        self._namespace = Namespace(namespace)
        self._directory = RUNTIME / namespace
        self._lease = lease
        self._lock = threading.RLock()
        self._bridges: dict[str, WiredNetwork] = {}
        self._made_in: int | None = None
        """The namespace (its inode) that the bridges are in."""

    def init(self, wanted: Mapping[WiredNetwork, Sequence[Reservation]]) -> None:
        """Make namespace, bridges and servers for just these networks; what is there already is taken over.

        Raises NetworkFailed with what to install.
        """
        for name in TOOLS:
            tool(name)
        with self._lock:
            self._enter()
            ensure_directory(RUNTIME)
            ensure_directory(self._directory)
            self._prune({network.id for network in wanted})
            for network, reservations in wanted.items():
                self.ensure(network)
                self._dnsmasq(network.id).replace({entry.port_id: entry.line for entry in reservations})

    def ensure(self, network: WiredNetwork) -> None:
        """Make a network's bridge and DHCP server if they are not there, or not as they should be."""
        with self._lock:
            if self._made_in is None or self._namespace.inode != self._made_in:
                self._enter()
            if self._bridges.get(network.id) != network:
                self._ensure_bridge(network)
                self._bridges[network.id] = network
            ranges = [DhcpRange(part.cidr, part.gateway, part.dns) for part in network.subnets if part.dhcp]
            self._dnsmasq(network.id).ensure(ranges, network.mtu, self._lease)

    def drop(self, network_id: str) -> None:
        """Remove a network's server and bridge."""
        with self._lock:
            self._bridges.pop(network_id, None)
            self._dnsmasq(network_id).remove()
            if self._namespace.inode is not None:
                self._namespace.delete_link(bridge_name(network_id))

    def reserve(self, network: WiredNetwork, entry: Reservation) -> None:
        """Make a network ready for a port."""
        with self._lock:
            self.ensure(network)
            self._dnsmasq(network.id).reserve(entry.port_id, entry.line)

    def release(self, network_id: str, port_id: str) -> None:
        """Take a port's reservation away and make sure that its tap is gone."""
        with self._lock:
            self._dnsmasq(network_id).release(port_id)
        if self._namespace.inode is not None:
            self._namespace.delete_link(tap_name(port_id))

    def devices(self) -> dict[str, tuple[str, ...]]:
        """Return the names of what is there: ``bridges``, ``taps``, and ``namespaces``."""
        links = sorted(self._namespace.links())
        return {
            "bridges": tuple(name for name in links if name.startswith("br-")),
            "taps": tuple(name for name in links if name.startswith("tap")),
            "namespaces": (self._namespace.name,) if self._namespace.inode is not None else (),
        }

    def serving(self, network_id: str) -> bool:
        """Return whether a network's DHCP server runs."""
        with self._lock:
            return self._dnsmasq(network_id).running()

    def remove(self) -> None:
        """Remove everything: servers, bridges, namespace, files."""
        with self._lock:
            self._bridges.clear()
            self._prune(set())
            self._namespace.remove()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _enter(self) -> None:
        self._namespace.ensure()
        self._bridges.clear()
        self._made_in = self._namespace.inode

    def _dnsmasq(self, network_id: str) -> Dnsmasq:
        return Dnsmasq(self._namespace, self._directory / network_id, bridge_name(network_id))

    def _prune(self, keep: set[str]) -> None:
        if self._directory.is_dir():
            for entry in self._directory.iterdir():
                if entry.name not in keep:
                    self._dnsmasq(entry.name).remove()
        known = {bridge_name(network_id) for network_id in keep}
        for name in self.devices()["bridges"]:
            if name not in known:
                self._namespace.delete_link(name)

    def _ensure_bridge(self, network: WiredNetwork) -> None:
        name = bridge_name(network.id)
        there = self._namespace.links().get(name)
        wanted = {f"{part.server}/{IPv4Network(part.cidr).prefixlen}" for part in network.subnets}
        lines = []
        if there is None:
            # A server that is bound to an earlier bridge of this name would never hear from this one.
            self._dnsmasq(network.id).stop()
            lines.append(f"link add name {name} type bridge forward_delay 0 stp_state 0")
        else:
            found = (entry for entry in there["addr_info"] if entry["family"] == "inet")
            stale = {f"{entry['local']}/{entry['prefixlen']}" for entry in found} - wanted
            lines += [f"addr delete {address} dev {name}" for address in sorted(stale)]
        lines += [f"link set dev {name} mtu {network.mtu}", f"link set dev {name} up"]
        lines += [f"addr replace {address} dev {name}" for address in sorted(wanted)]
        self._namespace.batch(lines)
