"""Arithmetic of IPv4 subnets: what is valid, and which addresses may be given out. Nothing here has state."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from tenter import errors


@dataclass(frozen=True)
class SubnetPlan:
    """A checked subnet: ``server`` is the address that the host takes in it (the gateway where there is
    one)."""

    cidr: str
    gateway: int | None
    server: int
    first: int
    last: int


def parse_address(text: str) -> int:
    """Return an IPv4 address as a number. Raises Invalid."""
    try:
        return int(IPv4Address(text))
    except AddressValueError as exc:
        raise errors.Invalid(f"{text!r} is not a valid IPv4 address.") from exc


def parse_cidr(text: str) -> IPv4Network:
    """Return an IPv4 network of at least four addresses. Raises Invalid; bits outside of the prefix are an
    error."""
    try:
        network = IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError) as exc:
        raise errors.Invalid(f"{text!r} is not a valid IPv4 CIDR such as 10.0.0.0/24: {exc}.") from exc
    if "/" not in text or not 8 <= network.prefixlen <= 30:
        raise errors.Invalid(f"The prefix length of {text!r} must be from 8 to 30.")
    if (
        network.is_multicast
        or network.is_loopback
        or network.is_link_local
        or network.network_address.is_reserved
    ):
        raise errors.Invalid(f"{text!r} is a range that guests cannot use.")
    return network


def plan(cidr: str, gateway: str | None = "auto", pool: tuple[str, str] | None = None) -> SubnetPlan:
    """Return the plan of a subnet from what was asked for. Raises Invalid.

    ``gateway`` and ``pool`` as in :class:`tenter.contracts.network.CreateSubnet`.
    """
    network = parse_cidr(cidr)
    lowest, highest = int(network.network_address) + 1, int(network.broadcast_address) - 1
    gate = lowest if gateway == "auto" else None if gateway is None else parse_address(gateway)
    if gate is not None and not lowest <= gate <= highest:
        raise errors.Invalid(f"The gateway {gateway} is not a host address of {cidr}.")
    server = lowest if gate is None else gate
    if pool is None:
        first, last = lowest + (server == lowest), highest - (server == highest)
    else:
        first, last = parse_address(pool[0]), parse_address(pool[1])
    if not lowest <= first <= last <= highest:
        raise errors.Invalid(f"The allocation pool {text(first)}-{text(last)} is not inside of {cidr}.")
    if gate is not None and pool is not None and first <= gate <= last:
        raise errors.Invalid(f"The gateway {gateway} is inside of the allocation pool.")
    return SubnetPlan(str(network), gate, server, first, last)


def text(address: int) -> str:
    """Return a number as a dotted address."""
    return str(IPv4Address(address))


def server_of(cidr: str, gateway: str | None) -> str:
    """Return the address that the host has in a subnet: the gateway, or the first where there is none."""
    return gateway or str(IPv4Network(cidr)[1])
