"""A reader that goes away, such as ``head``, ends what prints without a word."""

import subprocess
import sys


def test_sample_ends_quietly_when_its_reader_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-m", "tenter.cli.main", "config", "sample"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert "BrokenPipeError" not in said
