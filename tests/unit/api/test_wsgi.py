"""The importable application."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tenter_api.wsgi import LazyApplication


def test_importing_it_starts_nothing() -> None:
    code = "import sys, tenter_api.wsgi; sys.exit('tenter.cli.embedded' in sys.modules or 'falcon' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_it_is_made_once_and_again_only_after_a_failure() -> None:
    made: list[str] = []

    def make() -> Any:
        made.append("x")
        if len(made) == 1:
            raise RuntimeError("not yet")
        return lambda environ, start_response: [b"answer"]

    application = LazyApplication(make)
    with pytest.raises(RuntimeError):
        application({}, print)
    assert [application({}, print) for _ in range(2)] == [[b"answer"]] * 2
    assert len(made) == 2
