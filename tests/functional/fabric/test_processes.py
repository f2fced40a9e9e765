"""``tenter api``, ``conductor`` and ``compute`` as processes of their own, in two cells."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.process import Up, command, kill_group, run

CONF = """\
[DEFAULT]
virt_driver = fake
shared_dir = {shared}
graceful_timeout = {graceful}
[local_network]
mode = none
[operations]
poll_interval = 0.2
lease = 3
[compute]
report_interval = 0.5
service_down_time = 5
[database]
retry_interval = 0.5
[cells]
retry_interval = 0.5
timeout = 2
[api]
port = {port}
[fake]
spawn_delay = {spawn}
"""


class Processes(Up):
    """A cloud of many processes. What ``Up`` does with a cloud of one is done with its API."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory, self.state_dir = directory, directory / "shared"
        self.running: dict[str, subprocess.Popen[str]] = {}
        self.said = ""
        self.configure()

    def configure(self, spawn: float = 0, graceful: float = 3) -> None:
        """Write the configuration that processes started from now on use."""
        self.conf_file.write_text(
            CONF.format(shared=self.state_dir, port=self.port, spawn=spawn, graceful=graceful)
        )  # fmt: skip

    def words(self, role: str, name: str, *more: object) -> tuple[object, ...]:
        """Return the arguments of a process, whose state directory has its name."""
        directory = self.directory / name
        return (*role.split(), "--config-file", self.conf_file, "--state-dir", directory, *more)

    def cell(self, part: str, *more: object) -> tuple[int, str, str]:
        """Run ``tenter cell PART``."""
        return run(*self.words(f"cell {part}", "api", *more))

    def begin(self, role: str, name: str, *more: object) -> subprocess.Popen[str]:
        """Start a process."""
        self.running[name] = command(*self.words(role, name, *more))
        return self.running[name]

    def compute_host(self, name: str, cell: str) -> subprocess.Popen[str]:
        """Start the compute of a host."""
        return self.begin("compute", name, "--cell", cell, "--host", name)

    def start(self, timeout: float = 45) -> Processes:
        """Two cells of one host each, one conductor, the API with two workers."""
        for cell in ("north", "south"):
            assert self.cell("add", cell)[0] == 0
        self.process = self.begin("api", "api", "--workers", "2")
        self.begin("conductor", "conductor-1")
        for cell in ("north", "south"):
            self.compute_host(f"{cell}-1", cell)
        self.ready(timeout)
        self.until(lambda: self.readyz()[1]["services"].get("tenter-compute", {}).get("up") == 2)
        return self

    def readyz(self) -> tuple[int, Any]:
        """Return status and body of ``/readyz``."""
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            return exc.code, json.load(exc)

    def until(self, what: Callable[[], object], timeout: float = 40) -> None:
        """Wait until something is true."""
        end = time.monotonic() + timeout
        while not what():
            assert time.monotonic() < end, "not reached"
            time.sleep(0.1)

    def session(self, cell: str) -> str:
        """Return the session that a cell's only compute has."""
        with contextlib.closing(sqlite3.connect(self.state_dir / f"{cell}.sqlite")) as database:
            return str(database.execute("SELECT session FROM services WHERE binary = 'tenter-compute'").fetchone()[0])

    def end(self, name: str, how: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return exit code and standard error."""
        process = self.running.pop(name)
        process.send_signal(how)
        self.said, err = process.communicate(timeout=30)
        kill_group(process)
        return process.returncode, err

    def host_of(self, uuid: str) -> str:
        """Return the host that a server is on."""
        status, answer = self.compute("GET", f"/servers/{uuid}")
        assert status == 200, answer
        return str(answer["server"]["OS-EXT-SRV-ATTR:host"])


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Processes]:
    it = Processes(tmp_path)
    yield it
    for process in it.running.values():
        kill_group(process)


def _one_line(result: tuple[int, str, str], *words: str) -> None:
    code, _, err = result
    said = [line for line in err.strip().splitlines() if line.startswith("tenter: ")]
    assert code == 1 and len(said) == 1 and "Traceback" not in err, err
    for word in words:
        assert word in said[0]


def test_cells(cloud: Processes) -> None:
    _one_line(cloud.cell("list"), "no cloud", "tenter cell add")
    for role in ("conductor", "compute --cell north"):
        _one_line(run(*cloud.words(role, "h1")), "no cloud in", "tenter cell add", "shared_dir")
    assert not (cloud.directory / "h1").exists()
    _one_line(cloud.cell("add", "no/name"), "no/name")
    _one_line(cloud.cell("add", "north", "--database", "nonsense"), "--database")
    _one_line(cloud.cell("add", "north", "--database", f"sqlite:///{cloud.directory}/none/x.sqlite"), "database")
    (cloud.state_dir / "api.sqlite").touch()  # as an API has left it that was the first to start
    log = cloud.begin("conductor", "c1").stdout
    assert log is not None and "There are no cells yet" in log.readline()
    assert cloud.end("c1")[0] == 0
    assert cloud.cell("add", "north")[0] == 0
    _one_line(cloud.cell("add", "north"), "north", "already")
    url = f"sqlite:///{cloud.state_dir}/north.sqlite"
    _one_line(cloud.cell("add", "south", "--database", url), "Another cell")
    assert cloud.cell("disable", "north")[0] == 0
    code, out, _ = cloud.cell("list")
    assert code == 0 and "north" in out and "no" in out
    _one_line(cloud.cell("enable", "east"), "'east'", "north")
    _one_line(run(*cloud.words("compute", "h1", "--cell", "east")), "'east'", "north")


def test_a_cloud_of_processes(cloud: Processes) -> None:
    image = cloud.start().image()
    assert cloud.cell("disable", "south")[0] == 0
    time.sleep(6)  # until every process has looked
    servers = [cloud.boot(f"n{number}", image) for number in range(3)]
    assert set(cloud.settled().values()) == {"ACTIVE"}
    assert {cloud.host_of(uuid) for uuid in servers} == {"north-1"}
    code, out, _ = run(*cloud.words("status", "api"))
    assert code == 0 and "3 active" in out and "tenter-conductor" in out and "south-1" in out
    status, answer = cloud.compute("POST", f"/servers/{servers[0]}/action", {"os-getConsoleOutput": {}})
    assert status == 503 and "another process" in json.dumps(answer)
    for uuid in servers:
        assert cloud.compute("DELETE", f"/servers/{uuid}")[0] == 204
    cloud.until(lambda: cloud.servers() == {})
    for name in list(cloud.running):
        code, err = cloud.end(name)
        assert code == 0 and "Traceback" not in err, (name, err)
    assert run(*cloud.words("status", "api"))[0] == 1


def test_each_process_tells_what_it_does(cloud: Processes) -> None:
    told = cloud.directory / "told"
    with cloud.conf_file.open("a") as conf:
        conf.write(f"[notifications]\nnotifiers = file\n[notifier_file]\npath = {told}\n")
    image = cloud.start().image()
    uuid = cloud.boot("told", image)
    cloud.settled()
    host = cloud.host_of(uuid)
    assert cloud.compute("DELETE", f"/servers/{uuid}")[0] == 204
    cloud.until(lambda: cloud.servers() == {})
    for name in list(cloud.running):
        assert cloud.end(name)[0] == 0
    events = [json.loads(line) for line in told.read_text().splitlines()]
    here = socket.gethostname()
    assert {event["event_type"]: event["publisher"] for event in events if uuid in str(event["payload"])} == {
        "server.create_requested": here, "server.before_scheduling": here, "server.claimed": here,
        "server.network_allocated": host, "server.spawned": host, "server.state_changed": host,
        "operation.ended": here, "server.delete_requested": here, "server.deleted": here,
    }  # fmt: skip
    services = {(event["event_type"], event["payload"]["service_host"]) for event in events if "binary" in
                event["payload"]}  # fmt: skip
    hosts = {here, "north-1", "south-1"}
    assert services == {(f"service.{what}", name) for what in ("up", "down") for name in hosts}


def test_a_cell_that_goes_away_does_not_stop_the_other(cloud: Processes) -> None:
    cloud.start()
    image = cloud.image()
    for name in ("south-1", "conductor-1"):
        assert cloud.end(name)[0] == 0
    away = cloud.directory / "away"
    away.mkdir()
    for file in cloud.state_dir.glob("south.sqlite*"):
        shutil.move(file, away)
    # Processes that start now have never seen it; the API has it open, so it is started anew.
    assert cloud.end("api")[0] == 0
    cloud.process = cloud.begin("api", "api", "--workers", "1")
    cloud.begin("conductor", "conductor-1")
    cloud.ready()
    uuid = cloud.boot("vm", image)
    cloud.until(lambda: cloud.compute("GET", f"/servers/{uuid}")[1]["server"]["status"] == "ACTIVE")
    assert cloud.host_of(uuid) == "north-1"
    status, said = cloud.readyz()
    assert status == 200 and said["status"] == "degraded"
    assert not said["databases"]["cell south"]["answers"] and said["databases"]["cell north"]["answers"]
    code, out, _ = run(*cloud.words("status", "api"))
    assert code == 1 and "south" in out and "missing" in out.replace("\n", " ")
    assert not (cloud.state_dir / "south.sqlite").exists()
    waiting = cloud.compute_host("south-1", "south")
    time.sleep(2)
    assert waiting.poll() is None
    for file in away.iterdir():
        shutil.move(file, cloud.state_dir)
    cloud.until(lambda: cloud.readyz()[1]["status"] == "ok")
    cloud.until(lambda: cloud.readyz()[1]["services"]["tenter-compute"]["up"] == 2)


def test_a_taken_identity(cloud: Processes) -> None:
    cloud.start()
    copy = cloud.directory / "copy"
    copy.mkdir()
    shutil.copy(cloud.directory / "north-1" / "tenter-compute.id", copy)
    _one_line(run(*cloud.words("compute", "copy", "--cell", "north", "--host", "h2")), "in use", "north-1")
    _one_line(run(*cloud.words("compute", "new", "--cell", "north", "--host", "north-1")), "already served")
    _one_line(run(*cloud.words("compute", "north-1", "--cell", "north")), "A 'tenter compute'", "pid")
    _one_line(run(*cloud.words("up", "north-1")), "conductor or compute runs on", "north-1")
    assert cloud.running["north-1"].poll() is None


def test_up_makes_nothing_where_processes_run(cloud: Processes) -> None:
    assert cloud.cell("add", "north")[0] == 0
    cloud.process = cloud.begin("api", "api")
    cloud.ready()
    for name in ("shared", "another"):
        _one_line(run(*cloud.words("up", name)), "A 'tenter api', conductor or compute runs on", "shared")
    cells = cloud.cell("list")
    assert cells[0] == 0 and "north" in cells[1] and "cell1" not in cells[1]
    assert not (cloud.state_dir / "cell1.sqlite").exists()


def test_a_compute_that_lost_its_identity_ends(cloud: Processes) -> None:
    cloud.start()
    first, before = cloud.running["north-1"], cloud.session("north")
    os.kill(first.pid, signal.SIGSTOP)
    shutil.copytree(cloud.directory / "north-1", cloud.directory / "moved")
    cloud.begin("compute", "moved", "--cell", "north", "--host", "north-1")
    cloud.until(lambda: cloud.session("north") != before)
    os.kill(first.pid, signal.SIGCONT)
    _, err = first.communicate(timeout=20)
    assert first.returncode == 1 and "tenter: The identity" in err and "Traceback" not in err
    assert cloud.running["moved"].poll() is None


def test_a_renamed_host_keeps_its_servers(cloud: Processes) -> None:
    image = cloud.start().image()
    assert cloud.cell("disable", "south")[0] == 0
    time.sleep(6)
    uuid = cloud.boot("vm", image)
    assert cloud.settled() == {uuid: "ACTIVE"}
    assert cloud.end("north-1")[0] == 0
    cloud.begin("compute", "north-1", "--cell", "north", "--host", "north-9")
    cloud.until(lambda: cloud.host_of(uuid) == "north-9")
    assert cloud.compute("POST", f"/servers/{uuid}/action", {"os-stop": None})[0] == 202
    cloud.until(lambda: cloud.servers() == {uuid: "SHUTOFF"})


def test_a_stop_hands_over_what_runs(cloud: Processes) -> None:
    cloud.configure(spawn=60, graceful=1)
    image = cloud.start().image()
    uuid = cloud.boot("slow", image)
    cloud.until(lambda: cloud.compute("GET", f"/servers/{uuid}")[1]["server"]["OS-EXT-STS:task_state"] == "spawning")
    time.sleep(1)
    began, said = time.monotonic(), ""
    for name in ("north-1", "south-1", "conductor-1"):
        code, err = cloud.end(name)
        assert code == 0 and "Traceback" not in err and "Stopping" in cloud.said
        said += cloud.said
    assert "1 steps run, they have up to 1 seconds" in said and f"of instance {uuid} is handed over" in said
    assert time.monotonic() - began < 15
    cloud.configure()
    for cell in ("north", "south"):
        cloud.compute_host(f"{cell}-1", cell)
    cloud.begin("conductor", "conductor-1")
    assert cloud.settled() == {uuid: "ACTIVE"}


class _WithoutApiDatabase:
    """A process whose API database is away."""

    def __init__(self, tmp_path: Path, role: str) -> None:
        self.cloud = Processes(tmp_path)
        self._made, self._away = tmp_path / "made", tmp_path / "away"
        self._made.mkdir()
        elsewhere = {"OS_DATABASE__API_CONNECTION": f"sqlite:///{self._made}/api.sqlite"}
        assert run(*self.cloud.words("cell add", "api", "north"), **elsewhere)[0] == 0
        with self.cloud.conf_file.open("a") as conf:
            conf.write(f"[database]\napi_connection = sqlite:///{self._away}/api.sqlite\n")
        self._log = tmp_path / "log"
        with self._log.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tenter.cli.main", *map(str, self.cloud.words(role, "one"))],
                stdout=said, stderr=said,
            )  # fmt: skip

    def wait_until_it_says(self, words: str) -> None:
        self.cloud.until(lambda: words in self._log.read_text())
        assert self.process.poll() is None

    def bring_back(self) -> None:
        self._made.rename(self._away)

    def end(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0, self._log.read_text()
        assert "Traceback" not in self._log.read_text()


@pytest.fixture
def without_api_database(tmp_path: Path) -> Iterator[Callable[[str], _WithoutApiDatabase]]:
    started: list[_WithoutApiDatabase] = []

    def start(role: str) -> _WithoutApiDatabase:
        started.append(_WithoutApiDatabase(tmp_path, role))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(30)


ROLES = pytest.mark.parametrize("role", ["api", "conductor", "compute --cell north"])


@ROLES
def test_the_api_database_is_away_and_waited_for(
    without_api_database: Callable[[str], _WithoutApiDatabase], role: str
) -> None:
    """It must not need systemd, which gives up after some minutes, to be started again and again."""
    waiting = without_api_database(role)
    waiting.wait_until_it_says("Waiting: ")
    waiting.bring_back()
    waiting.wait_until_it_says(" is up")
    waiting.end()


@ROLES
def test_a_process_that_waits_at_its_start_ends_when_it_is_told(
    without_api_database: Callable[[str], _WithoutApiDatabase], role: str
) -> None:
    waiting = without_api_database(role)
    waiting.wait_until_it_says("Waiting: ")
    waiting.end()
