"""Two minutes of ``tools/chaos``, and that what it checks with can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(600)
def test_two_minutes_of_chaos(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--minutes", "2", "--seed", "11"],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=550,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    found = re.search(r"^(\d+) kills, 0 invariants broken$", done.stdout, re.M)
    assert found is not None and int(found[1]) >= 20, done.stdout
    assert list(tmp_path.iterdir()) == []
