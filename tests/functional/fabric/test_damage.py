"""Files of the state directory are damaged: the next start says so and ends, and does not try for ever."""

from __future__ import annotations

import signal

import pytest

from tests.helpers.process import Up, command, kill_group


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [("tenter-compute.id", b"", "tenter-compute.id is damaged"), ("virt/fake/guests/x.json", b"{", "JSONDecodeError")],
    ids=["the host's key", "what a driver keeps"],
)
def test_a_damaged_file_ends_the_start(up: Up, path: str, data: bytes, said: str) -> None:
    assert up.start().stop(signal.SIGTERM) == 0
    (up.state_dir / path).write_bytes(data)
    process = command(*up.args)
    try:
        _, err = process.communicate(timeout=30)
    finally:
        kill_group(process)
    assert process.returncode == 1
    lines = [line for line in err.splitlines() if line.startswith("tenter: ")]
    assert len(lines) == 1 and said in lines[0], err


def test_it_ends_even_if_nobody_listens_to_what_it_says(up: Up) -> None:
    assert up.start().stop(signal.SIGTERM) == 0
    (up.state_dir / "tenter-compute.id").write_bytes(b"")
    process = command(*up.args)
    assert process.stdout and process.stderr
    process.stdout.close()
    process.stderr.close()
    try:
        assert process.wait(30) == 1
    finally:
        kill_group(process)
