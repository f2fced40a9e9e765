"""The processes of a cloud: API, conductors, computes of two cells. Each is started again when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers.process import free_port

CELLS = ("north", "south")
COMPUTES = {"north-1": "north", "north-2": "north", "south-1": "south", "south-2": "south"}
START_SECONDS = 60
CONF = """\
[DEFAULT]
virt_driver = fake
shared_dir = {directory}/shared
graceful_timeout = 2
[local_network]
mode = none
cidr = 10.64.0.0/12
[api]
port = {port}
threads = 6
[operations]
lease = {lease}
poll_interval = 0.25
max_takeovers = {takeovers}
[compute]
workers = 4
report_interval = 1
service_down_time = 8
power_sync_interval = 2
guest_audit_interval = 5
[quota]
instances = -1
cores = -1
ram = -1
[fake]
spawn_delay = {spawn}
power_delay = {power}
destroy_delay = {power}
faults = {faults}
"""
FAULTS = "spawn:0.04,power_on:0.03,power_off:0.03,reboot:0.03"


@dataclass
class Service:
    """One process of the cloud. ``kind`` is api, conductor or compute."""

    name: str
    kind: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    frozen: bool = False
    expected: set[int] = field(default_factory=set)
    """Exit codes that what was done to it explains."""
    starts: int = 0
    started: float = 0.0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it in a process group of its own."""
        self.expected = set()
        self.frozen = False
        self.starts += 1
        self.started = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)

    def signal(self, number: int, group: bool = False) -> None:
        """Send a signal to the process, or to its group."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, number)

    def children(self) -> list[int]:
        """Return the pids of its children."""
        assert self.process is not None
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
            return [int(pid) for pid in text.split()]
        return []


class Fleet:
    """All processes, and who starts them again."""

    def __init__(self, directory: Path, lease: float) -> None:
        self.directory, self.lease = directory, lease
        self.shared = directory / "shared"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.services: dict[str, Service] = {}
        self.odd: list[str] = []
        """Ends of processes that nothing explains."""
        self.restarts: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def databases(self) -> dict[str, Path]:
        """Return the files of the API database ("api") and of the cells', by name."""
        return {name: self.shared / f"{name}.sqlite" for name in ("api", *CELLS)}

    def start(self) -> None:
        """Make the cells, start everything, and wait until the API answers and all hosts have reported."""
        self.directory.mkdir(exist_ok=True)
        for name in CELLS:
            command = [*self._tenter("cell", "add"), "--config-file", str(self._conf("setup", 0)), "--state-dir"]
            subprocess.run([*command, str(self.directory / "api"), name], check=True, stdout=subprocess.DEVNULL)
        self._add("api", "api", 0, "--workers", "2")
        for number in (1, 2):
            self._add(f"conductor-{number}", "conductor", number)
        for number, (name, cell) in enumerate(COMPUTES.items()):
            self._add(name, "compute", number, "--cell", cell)
        for service in self.services.values():
            service.start()
        self._keeper.start()
        self.ready()

    def ready(self, timeout: float = START_SECONDS) -> None:
        """Wait until the API answers."""
        until = time.monotonic() + timeout
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                if answer.status == 200:
                    return
            if time.monotonic() > until:
                raise RuntimeError(f"The API did not answer within {timeout:.0f} s; see {self.directory}/api.log")
            time.sleep(0.1)

    def calm(self) -> None:
        """Let everything that was stopped go on; what ended is started again by the keeper."""
        for service in self.services.values():
            if service.alive:
                service.signal(signal.SIGCONT, group=True)
                service.frozen = False
        self.ready()

    def stop(self) -> None:
        """SIGTERM to all, and SIGKILL to what is left after a while; an exit code other than 0 is odd."""
        self._stopping.set()
        self._keeper.join()
        running = [service for service in self.services.values() if service.alive]
        for service in running:
            service.signal(signal.SIGTERM)
        until = time.monotonic() + 20
        for service in running:
            assert service.process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = service.process.wait(max(0.1, until - time.monotonic()))
                if code != 0:
                    self.odd.append(f"{service.name} ended with {code} when told to stop")
        self.kill()

    def kill(self) -> None:
        """SIGKILL to everything that is left."""
        self._stopping.set()
        for service in self.services.values():
            if service.process is not None:
                service.signal(signal.SIGKILL, group=True)
                service.process.wait(10)

    def _keep(self) -> None:
        while not self._stopping.wait(0.05):
            for service in self.services.values():
                if service.alive or service.process is None:
                    continue
                code = service.process.returncode
                # Workers of a master that was killed hold the port until they notice.
                port_taken = service.kind == "api" and code == 1 and time.monotonic() - service.started < 20
                if code not in service.expected and not port_taken:
                    self.odd.append(f"{service.name} ended with {code} by itself; see {service.log}")
                if port_taken:
                    time.sleep(0.2)
                self.restarts[service.kind] += 1
                service.start()

    def _add(self, name: str, kind: str, number: int, *more: str) -> None:
        command = [
            *self._tenter(kind), "--config-file", str(self._conf(name, number)),
            "--state-dir", str(self.directory / name), "--host", name, *more,
        ]  # fmt: skip
        self.services[name] = Service(name, kind, command, self.directory / f"{name}.log")

    def _tenter(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tenter.cli.main", *words]

    def _conf(self, name: str, number: int) -> Path:
        path = self.directory / f"{name}.conf"
        path.write_text(
            CONF.format(
                directory=self.directory, port=self.port, lease=self.lease, takeovers=10, faults=FAULTS,
                spawn=0.2 + 0.3 * number, power=0.1 + 0.1 * number,
            )
        )  # fmt: skip
        return path
