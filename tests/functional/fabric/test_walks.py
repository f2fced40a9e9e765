"""Random walks of the simulated cloud, in which drivers never fail: see ``test_machine``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.simulation.chunks import CRASHES, WALKS, run_chunk

CHUNKS = 4


def test_there_are_enough_crashes() -> None:
    assert CHUNKS * WALKS * CRASHES >= 500


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_walks(machine_template: Path, tmp_path: Path, chunk: int) -> None:
    run_chunk(machine_template, tmp_path, chunk * 100)
