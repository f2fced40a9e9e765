"""Random walks of the simulated cloud, in which drivers never fail: see ``test_machine``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.simulation import Walk
from tests.helpers.simulation.chunks import CRASHES, WALKS, run_chunk

CHUNKS = 4


def test_there_are_enough_crashes() -> None:
    assert CHUNKS * WALKS * CRASHES >= 500


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_walks(machine_template: Path, tmp_path: Path, chunk: int) -> None:
    run_chunk(machine_template, tmp_path, chunk * 100)


def test_a_seed_repeats_a_walk(machine_template: Path, tmp_path: Path) -> None:
    stories = []
    for _ in range(2):
        walk = Walk(machine_template, tmp_path / "walk", seed=7, faults=True)
        assert walk.run(crashes=8) == []
        stories.append(walk.story())
    assert len(stories[0]) > 1000
    assert stories[0] == stories[1]
