"""How the virt kit sees processes."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tenter.testing.virt import processes


@pytest.fixture
def word() -> Iterator[str]:
    """What a child names in its environment, or another in its arguments."""
    name = str(uuid.uuid4())
    by_environment = subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={"GUEST": name})
    by_argument = subprocess.Popen(["sh", "-c", "cat; exit 0", name], stdin=subprocess.PIPE)
    yield name
    for child in (by_environment, by_argument):
        child.communicate()


def test_a_process_is_known_by_environment_and_argument(word: str) -> None:
    found = processes.naming([word])
    assert len(found) == 2 and processes.naming([]) == [] == processes.naming([str(uuid.uuid4())])
    assert {*found} <= {*processes.descendants()}


def test_a_process_in_the_middle_of_exec_is_read_again(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, empty = processes._read, set()

    def racing(pid: int, name: str) -> bytes:
        if name != "stat" and (pid, name) not in empty:
            empty.add((pid, name))
            return b""
        return read(pid, name)

    monkeypatch.setattr(processes, "_read", racing)
    assert len(processes.naming([word])) == 2


def test_a_process_keeps_its_name_and_a_zombie_is_none() -> None:
    command = ["sh", "-c", "echo; read x; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin and child.stdout and child.stdout.readline()
        (before,) = [each for each in processes.descendants() if each.pid == child.pid]
        assert str(before) == f"process {child.pid}: sh -c echo; read x; exec cat"
        child.stdin.write(b"\n!")
        child.stdin.flush()
        assert child.stdout.read(1) == b"!"
        (after,) = [each for each in processes.descendants() if each.pid == child.pid]
        assert str(after) == str(before)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.pid not in {each.pid for each in processes.descendants()}
