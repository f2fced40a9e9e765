"""The model of places, leases and fences is sound, and none of its guards is there in vain."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LACKING = [name for name in ("spin", "gcc") if shutil.which(name) is None]


@pytest.mark.skipif(bool(LACKING), reason=f"needs {LACKING}: apt-get install spin gcc libc6-dev")
def test_the_model_holds_and_each_guard_is_needed() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "model-check")], capture_output=True, text=True, timeout=2400, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    model = "".join(path.read_text() for path in (ROOT / "docs" / "model").glob("*.pml"))
    guards = set(re.findall(r"def (M_\w+)", model))
    assert guards and all(f" {guard}: " in done.stdout for guard in guards), "a guard of the model is not tried"


def test_it_says_what_to_install_where_something_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "model-check")], capture_output=True, text=True, timeout=60,
        check=False, env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "apt-get install --no-install-recommends spin gcc libc6-dev" in done.stderr
