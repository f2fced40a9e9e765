"""A reader that goes away, such as ``head``, ends what prints without a word."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = {
    "sample": ("config", "sample"),
    "list": ("plugin", "list", "--kind", "virt", "--state-dir", "state"),
    "show": ("plugin", "show", "fake", "--state-dir", "state"),
    "new": ("plugin", "new", "filter", "acme"),
    "version": ("version",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_quietly_when_its_reader_is_gone(command: str, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "tenter.cli.main", *COMMANDS[command]], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert "BrokenPipeError" not in said
