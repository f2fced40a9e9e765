from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.process import Up, kill_group


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A ``tenter up`` that is not started yet; what is left of it is killed at the end."""
    it = Up(tmp_path)
    yield it
    if hasattr(it, "process"):
        kill_group(it.process)
