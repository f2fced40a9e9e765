"""Fixtures that more than one room uses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.helpers import postgres
from tests.helpers.cloud import Cloud

MakeCloud = Callable[..., Cloud]


@pytest.fixture(scope="session")
def fresh_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a cloud that was started once and stopped; to be copied, not used."""
    directory = tmp_path_factory.mktemp("fresh") / "state"
    Cloud(directory).start().stop()
    return directory


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a database of a PostgreSQL server, which is started for it."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL's programs are not installed (apt install postgresql)")
    pytest.importorskip("psycopg")
    with postgres.server() as url:
        yield url


@pytest.fixture
def make_cloud(fresh_state: Path, tmp_path: Path) -> Iterator[MakeCloud]:
    """Start clouds on copies of a fresh state; keyword arguments are configuration sections."""
    made: list[Cloud] = []

    def make(**sections: Mapping[str, object]) -> Cloud:
        directory = tmp_path / f"state{len(made)}"
        shutil.copytree(fresh_state, directory)
        made.append(Cloud(directory, **sections).start())
        return made[-1]

    yield make
    for cloud in made:
        cloud.stop()


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    """A running cloud with one host."""
    return make_cloud()
