"""The life of a server through HTTP, with a whole cloud in a process of its own (fake guests)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WAIT = 60.0


class Cloud:
    """A running ``tenter up --driver fake``, and an administrator's token for it."""

    def __init__(self, state: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "tenter.cli.main", "up", "--state-dir", str(state), "--driver", "fake"]
        self.log = (state.parent / "up.log").open("w")
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)], stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ}
        )
        self.token = ""
        self._wait_for_api(state)
        password = re.search(r"password: *['\"]?([^'\"\s]+)", (state / "clouds.yaml").read_text())
        assert password
        user = {"name": "admin", "domain": {"id": "default"}, "password": password[1]}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        _, headers, _ = self.ask("POST", "/identity/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        self.token = headers["X-Subject-Token"]

    def _wait_for_api(self, state: Path) -> None:
        def up() -> bool:
            assert self.process.poll() is None, (state.parent / "up.log").read_text()
            try:
                return (state / "clouds.yaml").exists() and self.ask("GET", "/")[0] == 200
            except OSError:
                return False

        until(up)

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any, Any]:
        """Return status, headers and parsed body of an answer."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self.token, "OpenStack-API-Version": "compute 2.96", "Content-Type": kind}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return answer.status, answer.headers, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, error.headers, json.loads(text) if text else None

    def server(self, uuid: str) -> Any:
        return self.ask("GET", f"/v2.1/servers/{uuid}")[2]["server"]

    def act(self, uuid: str, body: Any, status: str) -> Any:
        """Do something to a server and wait until it is done and the server has the status."""
        code, _, answer = self.ask("POST", f"/v2.1/servers/{uuid}/action", body)
        assert code == 202, answer
        self.settled(uuid, status)
        return answer

    def settled(self, uuid: str, status: str) -> None:
        def done() -> bool:
            server = self.server(uuid)
            assert server["status"] != "ERROR" or status == "ERROR", server.get("fault")
            return server["status"] == status and server["OS-EXT-STS:task_state"] is None

        until(done)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.log.close()


def until(done: Callable[[], bool]) -> None:
    """Wait until something is so, or fail."""
    end = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    found = Cloud(tmp_path_factory.mktemp("cloud") / "state")
    yield found
    found.stop()


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    wanted = {"name": "tiny", "disk_format": "raw", "container_format": "bare"}
    code, _, made = cloud.ask("POST", "/image/v2/images", wanted)
    assert code == 201, made
    data = b"\0" * 4096
    assert cloud.ask("PUT", f"/image/v2/images/{made['id']}/file", data, "application/octet-stream")[0] == 204
    return str(made["id"])


def create(cloud: Cloud, image: str, **more: Any) -> str:
    body = {"server": {"name": "s", "flavorRef": "1", "imageRef": image, "networks": "auto", **more}}
    code, headers, answer = cloud.ask("POST", "/v2.1/servers", body)
    assert code == 202, answer
    uuid = str(answer["server"]["id"])
    assert headers["Location"].endswith(uuid)
    return uuid


def test_the_life_of_a_server(cloud: Cloud, image: str) -> None:
    uuid = create(cloud, image, user_data="aGVsbG8=", metadata={"a": "b"})
    cloud.settled(uuid, "ACTIVE")
    server = cloud.server(uuid)
    (addresses,) = server["addresses"].values()
    assert addresses[0]["OS-EXT-IPS:type"] == "fixed"
    assert server["OS-EXT-SRV-ATTR:user_data"] == "aGVsbG8="
    assert server["host_status"] == "UP"
    code, _, console = cloud.ask("POST", f"/v2.1/servers/{uuid}/action", {"os-getConsoleOutput": {"length": 10}})
    assert code == 200 and console["output"]
    cloud.act(uuid, {"reboot": {"type": "SOFT"}}, "ACTIVE")
    cloud.act(uuid, {"reboot": {"type": "HARD"}}, "ACTIVE")
    cloud.act(uuid, {"os-stop": None}, "SHUTOFF")
    assert cloud.ask("POST", f"/v2.1/servers/{uuid}/action", {"os-stop": None})[0] == 409
    cloud.act(uuid, {"os-start": None}, "ACTIVE")
    rebuilt = cloud.act(uuid, {"rebuild": {"imageRef": image, "name": "again"}}, "ACTIVE")
    assert rebuilt["server"]["name"] == "again"
    assert cloud.server(uuid)["addresses"] == server["addresses"]
    assert cloud.ask("DELETE", f"/v2.1/servers/{uuid}")[0] == 204
    until(lambda: cloud.ask("GET", f"/v2.1/servers/{uuid}")[0] == 404)
    code, _, actions = cloud.ask("GET", f"/v2.1/servers/{uuid}/os-instance-actions")
    assert code == 200
    names = [action["action"] for action in actions["instanceActions"]]
    assert names == ["delete", "rebuild", "start", "stop", "reboot", "reboot", "create"]


def test_every_server_is_listed_while_it_is_being_built(cloud: Cloud, image: str) -> None:
    create(cloud, image, name="fleet", networks="none", min_count=20)

    def count() -> int:
        return len(cloud.ask("GET", "/v2.1/servers?name=%5Efleet&limit=1000")[2]["servers"])

    end = time.monotonic() + WAIT
    active: list[Any] = []
    while len(active) < 20 and time.monotonic() < end:
        assert count() == 20
        active = cloud.ask("GET", "/v2.1/servers?name=%5Efleet&status=ACTIVE&limit=1000")[2]["servers"]
    assert len(active) == 20
    for server in active:
        assert cloud.ask("DELETE", f"/v2.1/servers/{server['id']}")[0] == 204
    until(lambda: count() == 0)


def test_a_server_that_no_host_can_take_ends_in_error_and_can_be_deleted(cloud: Cloud, image: str) -> None:
    most = 0x7FFFFFFF
    huge = {"flavor": {"name": "huge", "ram": most, "vcpus": most, "disk": most}}
    code, _, flavor = cloud.ask("POST", "/v2.1/flavors", huge)
    assert code == 200, flavor
    uuid = create(cloud, image, flavorRef=flavor["flavor"]["id"])
    cloud.settled(uuid, "ERROR")
    assert "host" in cloud.server(uuid)["fault"]["message"].lower()
    assert cloud.ask("DELETE", f"/v2.1/servers/{uuid}")[0] == 204
    until(lambda: cloud.ask("GET", f"/v2.1/servers/{uuid}")[0] == 404)
