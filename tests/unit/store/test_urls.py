"""A database that nothing here can speak to is one sentence, which holds no password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenter import errors
from tenter.store.engine import Database, sqlite_url, usable_url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgrsql://u:S3CRET@db/api", "of kind 'postgrsql' cannot be used: it looks like postgresql"),
        ("u:S3CRET@db", "cannot be used: it looks like"),
        ("oracle+cx_oracle://u:S3CRET@db/api", "'oracle.cx_oracle' need a driver that is not installed: pip install"),
    ],
)
def test_a_database_that_cannot_be_used(url: str, said: str) -> None:
    with pytest.raises(errors.Invalid, match=said) as caught:
        Database(url)
    assert "S3CRET" not in str(caught.value)


def test_one_that_can(tmp_path: Path) -> None:
    assert usable_url(sqlite_url(tmp_path / "a.sqlite")).get_backend_name() == "sqlite"
