"""Two hundred servers of one group at once, on a cloud of many processes: the rule holds, and nothing is stuck."""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.functional.fabric.test_processes import Processes
from tests.helpers.process import kill_group

CELLS = ("north", "south")
COMPUTES, CLIENTS, SERVERS = 3, 16, 200


class Many(Processes):
    """Two cells of some hosts each, two conductors, the API."""

    def start(self, timeout: float = 60) -> Many:
        """Start it all."""
        for cell in CELLS:
            assert self.cell("add", cell)[0] == 0
        self.process = self.begin("api", "api", "--workers", "2")
        for cell in CELLS:
            for number in range(COMPUTES):
                self.compute_host(f"{cell}-{number}", cell)
        self.ready(timeout)
        for number in (1, 2):
            self.begin("conductor", f"conductor-{number}")
        self.until(lambda: self.readyz()[1]["services"].get("tenter-compute", {}).get("up") == 2 * COMPUTES, timeout)
        self.until(lambda: self.readyz()[1]["services"].get("tenter-conductor", {}).get("up") == 2, timeout)
        quota = {"quota_set": dict.fromkeys(("instances", "cores", "ram", "server_group_members"), -1)}
        status, answer = self.compute("PUT", f"/os-quota-sets/{self.project()}", quota)
        assert status == 200, answer
        return self

    def begin(self, role: str, name: str, *more: object) -> subprocess.Popen[str]:
        """Start a process, which says what it says into a file: it is more than a pipe holds."""
        words = [sys.executable, "-m", "tenter.cli.main", *map(str, self.words(role, name, *more))]
        with (self.directory / f"{name}.log").open("w") as log:
            self.running[name] = subprocess.Popen(words, stdout=log, stderr=log, text=True, start_new_session=True)
        return self.running[name]

    def project(self) -> str:
        """Return the project of who asks."""
        status, answer, _ = self.call("GET", "/identity/v3/auth/projects")
        assert status == 200, answer
        return str(answer["projects"][0]["id"])

    def group(self, policy: str, most: int | None = None) -> str:
        """Make a server group and return its id."""
        rules = {} if most is None else {"rules": {"max_server_per_host": most}}
        status, answer = self.compute(
            "POST", "/os-server-groups", {"server_group": {"name": policy, "policy": policy, **rules}}
        )
        assert status == 200, answer
        return str(answer["server_group"]["id"])

    def boot_many(self, count: int, group: str) -> None:
        """Ask for servers of a group in parallel, each by a call of its own."""
        image = self.image()

        def boot(number: int) -> int:
            server = {"name": f"s{number}", "imageRef": image, "flavorRef": "42", "networks": "none"}
            asked = {"server": server, "os:scheduler_hints": {"group": group}}
            status, answer = self.compute("POST", "/servers", asked)
            assert status == 202, answer
            return status

        with ThreadPoolExecutor(CLIENTS) as pool:
            assert list(pool.map(boot, range(count))) == [202] * count

    def details(self, timeout: float = 120) -> list[dict[str, Any]]:
        """Wait until every server is ACTIVE or ERROR and return them all."""
        self.settled(timeout)
        status, answer = self.compute("GET", "/servers/detail?limit=1000")
        assert status == 200, answer
        return list(answer["servers"])

    def open_operations(self) -> int:
        """Return how many operations have not ended, in all databases."""
        found = 0
        for name in ("api", *CELLS):
            with contextlib.closing(sqlite3.connect(self.state_dir / f"{name}.sqlite")) as database:
                query = "SELECT count(*) FROM operations WHERE state NOT IN ('done', 'failed', 'cancelled')"
                found += int(database.execute(query).fetchone()[0])
        return found


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Many]:
    it = Many(tmp_path)
    yield it
    for process in it.running.values():
        kill_group(process)


def on_hosts(servers: list[dict[str, Any]], count: int) -> collections.Counter[str]:
    """Return how many ACTIVE servers are on each host; the others must say what the group has to do with it."""
    assert len(servers) == count
    for server in servers:
        if server["status"] == "ERROR":
            said = json.dumps(server["fault"])
            assert "No valid host" in said and "ServerGroup" in said, said
    return collections.Counter(server["OS-EXT-SRV-ATTR:host"] for server in servers if server["status"] == "ACTIVE")


@pytest.mark.parametrize("kill", [False, True])
def test_two_hundred_apart_on_fewer_hosts(cloud: Many, kill: bool) -> None:
    cloud.start()
    group = cloud.group("anti-affinity", 2)
    with ThreadPoolExecutor(1) as beside:
        asking = beside.submit(cloud.boot_many, SERVERS, group)
        if kill:
            time.sleep(1)
            cloud.end("conductor-1", signal.SIGKILL)
        asking.result()
    there = on_hosts(cloud.details(), SERVERS)
    assert there == {f"{cell}-{number}": 2 for cell in CELLS for number in range(COMPUTES)}
    cloud.until(lambda: cloud.open_operations() == 0)


def test_two_hundred_together(cloud: Many) -> None:
    cloud.start()
    cloud.boot_many(SERVERS, cloud.group("affinity"))
    there = on_hosts(cloud.details(), SERVERS)
    assert len(there) == 1
    cloud.until(lambda: cloud.open_operations() == 0)
