from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.process import Up, kill_group
from tests.helpers.simulation import make_template


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A ``tenter up`` that is not started yet; what is left of it is killed at the end."""
    it = Up(tmp_path)
    yield it
    if hasattr(it, "process"):
        kill_group(it.process)


@pytest.fixture(scope="session")
def machine_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The databases of a simulated cloud that was never used; to be copied."""
    return make_template(tmp_path_factory.mktemp("machine") / "template")
