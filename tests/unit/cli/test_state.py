"""The state directory: its lock, and what it leaves for clients."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tenter import errors
from tenter.cli import state

HOLDER = """
import sys
from pathlib import Path
from tenter.cli import state
held = state.lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout and holder.stdout.readline() == "held\n"
    with pytest.raises(errors.Conflict, match=f"pid {holder.pid}"):
        state.lock(tmp_path)
    holder.kill()
    holder.wait(10)
    state.lock(tmp_path).close()
    state.lock(tmp_path).close()


def test_who_runs_on_a_shared_directory(tmp_path: Path) -> None:
    shared, mine, others = tmp_path / "shared", tmp_path / "mine", tmp_path / "others"
    for directory in (shared, mine, others):
        directory.mkdir()
    state.lock(shared).close()  # its pid is still in the file
    with state.lock_role(mine, "conductor", shared=shared), state.lock_role(others, "api", alone=False, shared=shared):
        for state_dir in (tmp_path / "third", shared):
            state_dir.mkdir(exist_ok=True)
            with pytest.raises(errors.Conflict, match=f"^A 'tenter api', conductor or compute runs on {shared};"):
                state.lock(state_dir, shared)
    with state.lock(tmp_path / "third", shared), pytest.raises(errors.Conflict, match="^A 'tenter up' .pid"):
        state.lock_role(mine, "conductor", shared=shared)
    (tmp_path / "link").symlink_to(shared)
    state.lock(shared, tmp_path / "link").close()


def test_clouds_yaml(tmp_path: Path) -> None:
    path = state.write_clouds(tmp_path, "http://127.0.0.1:1", "admin", "s3cret", "admin")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cloud = yaml.safe_load(path.read_text())["clouds"]["tenter"]
    assert cloud["auth"]["auth_url"] == "http://127.0.0.1:1/identity/v3"
    assert cloud["auth"]["password"] == state.read_password(tmp_path) == "s3cret"
    assert state.read_password(tmp_path / "none") is None


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.Invalid, match="Choose one with --state-dir"):
        state.prepare(tmp_path / "file")
    state.prepare(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
