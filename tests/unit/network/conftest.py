from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.network.drivers import Local, Make, build


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Construct drivers; on one state directory unless told otherwise."""
    made: list[Local] = []

    def make(directory: Path = tmp_path, **options: object) -> Local:
        made.append(build(directory, **options))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


@pytest.fixture
def local(make: Make) -> Local:
    """The driver in mode none."""
    return make()
