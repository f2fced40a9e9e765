"""tools/up: the whole way there and back, and what an interruption leaves."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.process import free_port

ROOT = Path(__file__).parents[2]
NEEDS_LIBVIRT = pytest.mark.skipif(
    not (shutil.which("qemu-system-x86_64") and shutil.which("libvirtd", path=f"{os.environ['PATH']}:/usr/sbin")),
    reason="needs libvirtd and QEMU: apt-get install libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86",
)


def command(*words: str) -> list[str]:
    """tools/up if an environment was made for it (tools/test says so), else its second half in this one."""
    up = [str(ROOT / "tools" / "up"), "--yes"] if os.environ.get("TENTER_VENV") else [
        sys.executable, str(ROOT / "tools" / "lib" / "up.py")]  # fmt: skip
    return [*up, *words]


def run(*words: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False
    )


def start(*words: str, temporary: Path) -> subprocess.Popen[str]:
    """Start it with ``temporary`` as the place of temporary directories."""
    return subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def processes_of(directory: Path) -> list[str]:
    """Return the pids of the processes that have a file below the directory open."""
    found = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).startswith(str(directory)):
                found.append(descriptor.parts[2])
    return found


@pytest.mark.parametrize("driver", ["fake", pytest.param("libvirt", marks=[pytest.mark.libvirt, NEEDS_LIBVIRT])])
@pytest.mark.timeout(900)
def test_check_holds(driver: str) -> None:
    done = run("--check", "--driver", driver, timeout=880)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok")] == []
    assert len(lines) >= 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = start("--check", "--driver", "fake", temporary=tmp_path)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "answers" in line:
                break
        assert processes_of(tmp_path) != []
        time.sleep(0.5)
        process.send_signal(number)
        rest = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == 1 and "interrupted" in rest, rest
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_up_again_stop_and_purge(tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = ("--driver", "fake", "--state-dir", str(state))
    port = free_port()
    try:
        first = run(*options, "--port", str(port), timeout=200)
        assert first.returncode == 0 and "export OS_CLIENT_CONFIG_FILE" in first.stdout, first.stdout + first.stderr
        second = run(*options, timeout=200)
        assert second.returncode == 0 and f"127.0.0.1:{port}" in second.stdout, second.stdout + second.stderr
        other = run("--driver", "libvirt", "--state-dir", str(state), timeout=200)
        assert other.returncode == 1 and "was made with --driver fake" in other.stdout
        stopped = run("--stop", "--state-dir", str(state), timeout=100)
        assert stopped.returncode == 0 and processes_of(state) == []
        assert (state / "virt" / "fake" / "guests").is_dir() and any((state / "virt" / "fake" / "guests").iterdir())
    finally:
        purged = run("--purge", "--state-dir", str(state), timeout=100)
    assert purged.returncode == 0 and not state.exists(), purged.stdout + purged.stderr
