from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter import errors
from tenter_plugins.network.local import addresses

CIDRS = st.builds(
    lambda bits, prefix: str(IPv4Network((10 << 24 | bits, prefix), strict=False)),
    st.integers(0, 2**24 - 1),
    st.integers(8, 30),
)


def test_plan_by_default_gives_the_first_address_to_the_gateway() -> None:
    plan = addresses.plan("10.0.0.0/24")
    assert addresses.text(plan.gateway or 0) == "10.0.0.1" == addresses.text(plan.server)
    assert (addresses.text(plan.first), addresses.text(plan.last)) == ("10.0.0.2", "10.0.0.254")


def test_plan_without_gateway_still_has_an_address_for_the_host() -> None:
    plan = addresses.plan("10.0.0.0/24", gateway=None)
    assert plan.gateway is None
    assert addresses.text(plan.server) == "10.0.0.1"


def test_plan_with_the_gateway_at_the_end() -> None:
    plan = addresses.plan("10.0.0.0/24", gateway="10.0.0.254")
    assert (addresses.text(plan.first), addresses.text(plan.last)) == ("10.0.0.1", "10.0.0.253")


@pytest.mark.parametrize(
    "cidr",
    ["", "10.0.0.0", "10.0.0.1/24", "10.0.0.0/31", "10.0.0.0/33", "0.0.0.0/0", "fd00::/64", "x/24", "10.0.0.0/-1",
     "127.0.0.0/24", "224.0.0.0/24", "169.254.0.0/16", "240.0.0.0/24", "10.0.0.0/255.255.255.0/1", "10.0.0.0/٢٤"],
)  # fmt: skip
def test_bad_cidrs(cidr: str) -> None:
    with pytest.raises(errors.Invalid):
        addresses.plan(cidr)


@pytest.mark.parametrize(
    ("gateway", "pool"),
    [
        ("10.0.1.1", None),
        ("10.0.0.0", None),
        ("10.0.0.255", None),
        ("no", None),
        ("auto", ("10.0.0.1", "10.0.0.9")),
        (None, ("10.0.0.9", "10.0.0.5")),
        (None, ("10.0.0.9", "10.0.1.5")),
        (None, ("10.0.0.0", "10.0.0.5")),
        (None, ("a", "b")),
    ],
)
def test_bad_gateways_and_pools(gateway: str | None, pool: tuple[str, str] | None) -> None:
    with pytest.raises(errors.Invalid):
        addresses.plan("10.0.0.0/24", gateway, pool)


@given(CIDRS)
def test_all_but_the_gateway_can_be_given_out(cidr: str) -> None:
    plan, network = addresses.plan(cidr), IPv4Network(cidr)
    assert plan.last - plan.first + 1 == network.num_addresses - 3
    for number in (plan.first, plan.last):
        assert IPv4Address(number) in network
        assert number not in (plan.gateway, int(network.network_address), int(network.broadcast_address))
