"""What a conformance run says at its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKS = '''
import pytest
from tenter import errors
from tenter.contracts.image import ImageDriver
from tenter.testing import Conformance

class TestBegun(Conformance):
    kind = "image"
    plugin = ImageDriver

    @pytest.fixture
    def ready(self):
        raise errors.CapabilityMissing("init_host() is not written yet")

    @pytest.mark.parametrize("value", range(3))
    def test_value(self, value):
        """Each value holds."""

    def test_show(self):
        """It is shown."""
        raise errors.CapabilityMissing("show() is not written yet")

    @pytest.mark.parametrize("value", range(3))
    def test_early(self, ready, value):
        """It is ready."""

    def test_late(self, ready):
        """It is still ready."""

    def test_refused(self):
        """It is refused."""
        pytest.fail("show: NotFound should have been raised, not CapabilityMissing: show() is not written yet")

    def test_wrong(self):
        """It is right."""
        assert 1 == 2, "it is wrong"

    def test_elsewhere(self):
        """It is on here."""
        raise errors.CapabilityMissing("There is no KVM.")
'''


def test_what_is_not_written_yet_is_said_once_and_what_is_missing_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "test_begun.py"
    path.write_text(CHECKS)
    command = [sys.executable, "-m", "pytest", "--tb=no", "-rN", "-p", "no:cacheprovider"]
    command += ["-p", "tenter.testing.plugin", "--rootdir", str(tmp_path), str(path)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    summary = run.stdout.partition("= conformance of image ImageDriver")[2].splitlines()[1:-1]
    assert [line for line in summary if line] == [
        "1 of 7 checks hold (11 tests: some checks run with several values)",
        "missing: image.wrong: It is right.",
        "         AssertionError: it is wrong",
        "missing: image.elsewhere: It is on here.",
        "         tenter.errors.CapabilityMissing: There is no KVM.",
        "show() is not written yet: 2 checks wait for it",
        "init_host() is not written yet: 2 checks wait for it",
    ], run.stdout + run.stderr
