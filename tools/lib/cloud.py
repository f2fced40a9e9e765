"""A cloud that tools/up runs in the background, and the ordinary client that talks to it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from steps import Failed

BIN = Path(sys.executable).parent
START_SECONDS, STOP_SECONDS, CLIENT_SECONDS = 120.0, 60.0, 600.0


class Cloud:
    """The cloud of one state directory. ``port`` on 127.0.0.1."""

    def __init__(self, state_dir: Path, driver: str, port: int) -> None:
        self.state_dir, self.driver, self.port = state_dir, driver, port
        self.log = state_dir / "tenter.log"
        self.clouds = state_dir / "clouds.yaml"

    @property
    def url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self.port}"

    def pid(self) -> int | None:
        """Return the pid of the process that runs on the state directory, None if none does."""
        try:
            with open(self.state_dir / "tenter.lock") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = (self.state_dir / "tenter.lock").read_text().strip()
            return int(text) if text.isdigit() else 0
        except OSError:
            pass
        return None

    def start(self) -> None:
        """Start it in the background, if it does not run, and wait until it answers. Raises Failed."""
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = None
        if self.pid() is None:
            options = ["--state-dir", self.state_dir, "--port", str(self.port), "--driver", self.driver]
            with open(self.log, "ab") as log:
                process = subprocess.Popen(
                    [BIN / "tenter", "up", *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, cwd="/",
                )  # fmt: skip
        else:
            self._ask_port()
        deadline = time.monotonic() + START_SECONDS
        while not (self.answers() and self.clouds.exists()):
            if process is not None and process.poll() is not None:
                raise Failed(f"tenter up ended: {self.last_words()}")
            if time.monotonic() > deadline:
                raise Failed(f"the API does not answer at {self.url} after {START_SECONDS:.0f} s; see {self.log}")
            time.sleep(0.1)

    def _ask_port(self) -> None:
        """Take the port that the running cloud has, whatever was asked for."""
        endpoint = self.state_dir / "endpoint"
        if endpoint.exists():
            self.port = int(endpoint.read_text().strip().rpartition(":")[2])

    def answers(self) -> bool:
        """Return whether the API answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """Stop it; guests go on running. Not running is no error. Raises Failed."""
        deadline = time.monotonic() + STOP_SECONDS
        signalled = 0
        while (pid := self.pid()) is not None:
            if pid and pid != signalled:
                os.kill(pid, signal.SIGTERM)
                signalled = pid
            if time.monotonic() > deadline:
                raise Failed(f"tenter up (pid {pid}) does not end; see {self.log}")
            time.sleep(0.05)
        # The lock is given back a moment before the process is gone.
        while signalled and _runs(signalled) and time.monotonic() < deadline:
            time.sleep(0.02)

    def last_words(self, lines: int = 1) -> str:
        """Return the end of the log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) or "it said nothing"
        except OSError:
            return "it has no log"

    def client(self, *words: str, check: bool = True) -> str:
        """Run the ordinary ``openstack`` client and return what it printed. Raises Failed with its words."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment |= {"OS_CLIENT_CONFIG_FILE": str(self.clouds), "OS_CLOUD": "tenter", "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [BIN / "openstack", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=CLIENT_SECONDS, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise Failed(f"openstack {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout if not done.returncode else ""

    def client_json(self, *words: str) -> Any:
        """Return what the client printed with ``-f json``. Raises Failed."""
        return json.loads(self.client(*words, "-f", "json"))

    def tenter(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a ``tenter`` command on the state directory."""
        command = [BIN / "tenter", *words, "--state-dir", self.state_dir]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def purge(self) -> None:
        """Stop it and remove everything, guests and the state directory too. Raises Failed with what is left."""
        if not self.state_dir.exists():
            return
        self.stop()
        if (self.state_dir / "api.sqlite").exists():
            done = self.tenter("teardown", "--purge")
            if done.returncode:
                raise Failed(f"{done.stdout}{done.stderr}".strip())
        shutil.rmtree(self.state_dir, ignore_errors=True)


def _runs(pid: int) -> bool:
    """Return whether a process is there and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
