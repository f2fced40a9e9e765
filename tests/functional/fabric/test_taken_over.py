"""A step goes on within its lease and a second when the process that has it is killed, or stopped and not killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.takeover import Pair

LEASE = 2.0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path, LEASE)
    yield pair
    pair.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("renewed", [False, True])
def test_a_step_is_taken_over(pair: Pair, number: signal.Signals, renewed: bool) -> None:
    seconds = pair.strike(number, renewed)
    assert LEASE / 2 < seconds < LEASE + 1
