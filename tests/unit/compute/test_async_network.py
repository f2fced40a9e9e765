"""A network that is allocated while the guest is made."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tenter import errors, objects
from tenter.compute.async_network import AsyncNetworkInfo
from tenter.compute.guests import vif_to_json
from tenter.contracts.network import VIF, FixedIP, Subnet
from tenter.store.columns import Json

ADDRESS = FixedIP("10.0.0.2", Subnet("s", "10.0.0.0/24", "10.0.0.1", ("10.0.0.3",)))
ONE = VIF("p", "n", "private", "fa:16:3e:00:00:01", "bridge", (ADDRESS,), "tap0", details={"bridge": "br"})


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_it_blocks_only_where_it_is_read(pool: ThreadPoolExecutor) -> None:
    go = threading.Event()
    info = AsyncNetworkInfo(pool, lambda: (go.wait(10), (ONE,))[1], 10)
    threading.Timer(0.05, go.set).start()
    assert len(info) == 1 and info[0] is ONE and list(info) == [ONE]


def test_what_it_raised_is_raised_at_the_first_read_and_plainly_later(pool: ThreadPoolExecutor) -> None:
    def fail() -> tuple[VIF, ...]:
        raise errors.ResourceExhausted("No address is left.")

    info = AsyncNetworkInfo(pool, fail, 10)
    with pytest.raises(errors.ResourceExhausted, match="No address is left."):
        info.wait()
    with pytest.raises(errors.NetworkFailed, match="No address is left."):
        list(info)


def test_the_deadline_counts_from_the_beginning(pool: ThreadPoolExecutor) -> None:
    go = threading.Event()
    info = AsyncNetworkInfo(pool, lambda: (go.wait(10), (ONE,))[1], 0.3)
    time.sleep(0.3)
    began = time.monotonic()
    with pytest.raises(errors.NetworkFailed, match="was not allocated within"):
        info.wait()
    late: list[str] = []
    info.settle(lambda: late.append("late"))
    assert time.monotonic() - began < 0.25 and late == []
    go.set()
    pool.shutdown(wait=True)
    assert late == ["late"]


def test_an_allocation_that_has_not_begun_is_cancelled(pool: ThreadPoolExecutor) -> None:
    go = threading.Event()
    pool.submit(go.wait, 10)
    info = AsyncNetworkInfo(pool, lambda: pytest.fail("it ran"), 5)
    info.settle(lambda: pytest.fail("nothing was late"))
    go.set()
    with pytest.raises(errors.NetworkFailed):
        info.wait()


def test_a_vif_is_kept_as_it_is() -> None:
    column, dialect = Json(), None
    stored = column.process_bind_param(vif_to_json(ONE), dialect)  # type: ignore[arg-type]
    kept = column.process_result_value(stored, dialect)  # type: ignore[arg-type]
    assert set(kept) == set(objects.VIF.fields)
    assert kept["fixed_ips"][0]["subnet"]["dns"] == ["10.0.0.3"] and kept["details"] == {"bridge": "br"}
