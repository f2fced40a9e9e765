"""Distributions that are installed for one test, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from tenter.conf import new_conf
from tests.helpers import distributions

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install distributions (see ``distributions.install``), each into a directory of its own on the path."""
    before = set(sys.modules)

    def make(name: str, *args: object, **options: object) -> None:
        directory = tmp_path / "installed" / f"{name}-{options.get('version', '')}-{len(sys.path)}"
        distributions.install(directory, name, *args, **options)  # type: ignore[arg-type]
        monkeypatch.syspath_prepend(directory)

    yield make
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


@pytest.fixture
def conf(tmp_path: Path) -> cfg.ConfigOpts:
    """An empty configuration."""
    (tmp_path / "empty.conf").touch()
    return new_conf([str(tmp_path / "empty.conf")], tmp_path / "state")
