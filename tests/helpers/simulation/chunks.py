"""Walks as tests run them: so many seeds in a chunk, all of them printed where something is broken."""

from __future__ import annotations

import collections
import os
from pathlib import Path

import pytest

from tests.helpers.simulation.walk import Walk

SEED = int(os.environ.get("TENTER_MACHINE_SEED", "0"))
"""Added to every seed: another number explores other walks."""
WALKS = int(os.environ.get("TENTER_MACHINE_WALKS", "5"))
"""Walks in a chunk."""
CRASHES = 26
TOLD = 250
"""Lines of the schedule that are printed of a walk that broke something; a file has all of it."""


def run_chunk(template: Path, directory: Path, first: int, faults: bool = False, audits: bool = False) -> None:
    """Walk with some seeds; fail, with the seed and the schedule, if an invariant is broken afterwards."""
    crashed_at: collections.Counter[str] = collections.Counter()
    for seed in range(SEED + first, SEED + first + WALKS):
        walk = Walk(template, directory / f"walk-{seed}", seed, faults, audits)
        broken = walk.run(CRASHES)
        if broken:
            story = directory / f"story-{seed}.txt"
            story.write_text(walk.story())
            print("\n".join(walk.story().splitlines()[-TOLD:]))
            which = f"Walk(seed={seed}, faults={faults}, audits={audits}), all of it in {story}"
            pytest.fail("\n".join([which, *broken]))
        assert walk.crashes >= CRASHES, f"seed {seed}: only {walk.crashes} crashes in {walk.world.steps} steps"
        crashed_at.update(walk.crashed_at)
    print(f"{crashed_at.total()} crashes at {len(crashed_at)} kinds of moments")
    assert len(crashed_at) >= min(20, crashed_at.total() // 4), crashed_at
