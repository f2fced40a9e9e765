"""Filters that keep instances together or apart by hints: SameHostFilter, DifferentHostFilter,
SimpleCIDRAffinityFilter."""

from __future__ import annotations

import ipaddress
import socket

from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts
from tenter_plugins.filters.hints import MALFORMED, hint, words


class SameHostFilter(MaskFilter):
    """Hint ``same_host``: the UUID of an instance, or a list. Accepts hosts that have one of them.

    Instances that have no host are not looked at; if none has one, no host will do. Codes: ``same_host.elsewhere``
    (``asked``), ``hint.malformed``. Source: Nova, admin/scheduling, SameHostFilter.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that have none of the instances."""
        asked = words(request, "same_host")
        if asked is None:
            return ACCEPT_ALL.also(table.every(False), MALFORMED, hint="same_host")
        if not asked:
            return ACCEPT_ALL
        hosts = {request.hosts_of[uuid] for uuid in asked if uuid in request.hosts_of}
        return ACCEPT_ALL.also(table.among(hosts), "same_host.elsewhere", asked=asked)


class DifferentHostFilter(MaskFilter):
    """Hint ``different_host``: the UUID of an instance, or a list. Accepts hosts that have none of them.

    Codes: ``different_host.here`` (``asked``), ``hint.malformed``. Source: Nova, admin/scheduling, DifferentHostFilter.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that have one of the instances."""
        asked = words(request, "different_host")
        if asked is None:
            return ACCEPT_ALL.also(table.every(False), MALFORMED, hint="different_host")
        hosts = {request.hosts_of[uuid] for uuid in asked if uuid in request.hosts_of}
        return ACCEPT_ALL.also(~table.among(hosts), "different_host.here", asked=asked) if hosts else ACCEPT_ALL


class SimpleCIDRAffinityFilter(MaskFilter):
    """Hints ``build_near_host_ip`` (an address, IPv4 or IPv6) and ``cidr`` (the length of the prefix, ``/24`` or
    ``24``, which is the default). Accepts hosts whose address is in that network.

    Codes: ``host_ip.outside`` (``asked``), ``hint.malformed``. Source: Nova, admin/scheduling,
    SimpleCIDRAffinityFilter.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts of other networks."""
        import numpy as np

        address = hint(request, "build_near_host_ip")
        if not address:
            return ACCEPT_ALL
        length = hint(request, "cidr")
        prefix = "24" if length is None else str(length).removeprefix("/")
        if not isinstance(address, str) or not isinstance(length, (str, int, type(None))) or not _digits(prefix):
            return ACCEPT_ALL.also(table.every(False), MALFORMED, hint="build_near_host_ip and cidr")
        try:
            network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
        except ValueError as exc:
            error = str(exc)
            return ACCEPT_ALL.also(table.every(False), MALFORMED, hint="build_near_host_ip and cidr", error=error)
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        low, high = network.network_address.packed, network.broadcast_address.packed
        inside = np.fromiter((low <= _packed(family, ip) <= high for ip in table.host_ip), np.bool_, len(table))
        return ACCEPT_ALL.also(inside, "host_ip.outside", asked=str(network))


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _packed(family: socket.AddressFamily, ip: str) -> bytes:
    """Return the bytes of an address, none if it is no address of the family. Five times as fast as ipaddress."""
    try:
        return socket.inet_pton(family, ip)
    except (OSError, ValueError):
        return b""
