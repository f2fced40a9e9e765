"""``tenter`` as a process of its own, and its API by raw HTTP."""

from __future__ import annotations

import contextlib
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
from pathlib import Path
from typing import Any

CONF = """\
[DEFAULT]
virt_driver = fake
host = host-1
[local_network]
mode = none
[operations]
poll_interval = 0.2
"""


def free_port() -> int:
    """Return a port on 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*args: object, **env: str) -> subprocess.Popen[str]:
    """Start ``tenter ARGS`` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tenter.cli.main", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, **env},
    )  # fmt: skip


def run(*args: object, timeout: float = 60, **env: str) -> tuple[int, str, str]:
    """Run ``tenter ARGS`` to its end; return exit code, standard output and standard error."""
    process = command(*args, **env)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        kill_group(process)
    return process.returncode, out, err


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL a process that ``command`` started, and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


class Up:
    """One ``tenter up`` after another on one state directory and port."""

    def __init__(self, directory: Path, conf: str = CONF) -> None:
        self.state_dir = directory / "state"
        self.conf_file = directory / "tenter.conf"
        self.conf_file.write_text(conf)
        self.log = directory / "log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._token = ""

    @property
    def args(self) -> tuple[object, ...]:
        """The arguments of this ``tenter up``."""
        return ("up", "--state-dir", self.state_dir, "--config-file", self.conf_file, "--port", self.port)

    @property
    def argv(self) -> list[str]:
        """The command that runs it."""
        return [sys.executable, "-m", "tenter.cli.main", *map(str, self.args)]

    def start(self, timeout: float = 45) -> Up:
        """Start it and wait until it answers."""
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                self.argv,
                stdout=log, stderr=log, start_new_session=True, text=True,
            )  # fmt: skip
        self.ready(timeout)
        assert self.port in listening_ports(self.process.pid), "somebody else answers on the port"
        return self

    def ready(self, timeout: float = 45) -> None:
        """Wait until the API answers."""
        until = time.monotonic() + timeout
        while True:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            with contextlib.suppress(OSError):
                if self.call("GET", "/healthz", token="")[0] == 200:
                    return
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """Return the pids of the master's children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill(self) -> None:
        """SIGKILL all of it at once."""
        kill_group(self.process)

    def stop(self, how: int = signal.SIGTERM, timeout: float = 20) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(how)
        try:
            return self.process.wait(timeout)
        finally:
            kill_group(self.process)

    def call(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, Any, Any]:
        """Ask the API; return status, body (JSON or bytes) and headers."""
        headers = {"X-OpenStack-Nova-API-Version": "2.79"}
        if token is None:
            token = self._token or self.login()
        if token:
            headers["X-Auth-Token"] = token
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, _decoded(answer.read()), answer.headers
        except urllib.error.HTTPError as exc:
            return exc.code, _decoded(exc.read()), exc.headers

    def login(self) -> str:
        """Get a token with what clouds.yaml says, and remember where the services are."""
        text = (self.state_dir / "clouds.yaml").read_text()
        found = dict(re.findall(r"^ +(\w+): (.+)$", text, re.M))
        assert found["auth_url"].startswith(self.url)
        user = {"name": found["username"], "password": found["password"], "domain": {"id": "default"}}
        scope = {"project": {"name": found["project_name"], "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        auth = {"auth": {"identity": identity, "scope": scope}}
        status, answer, headers = self.call("POST", "/identity/v3/auth/tokens", auth, token="")
        assert status == 201, answer
        self.services = {
            service["type"]: service["endpoints"][0]["url"].removeprefix(self.url)
            for service in answer["token"]["catalog"]
        }
        self._token = headers["X-Subject-Token"]
        return self._token

    def image(self) -> str:
        """Return an active image's id, made now."""
        self.login()
        base = self.services["image"].rstrip("/").removesuffix("/v2")
        asked = {"name": "tiny", "disk_format": "raw", "container_format": "bare"}
        status, image, _ = self.call("POST", f"{base}/v2/images", asked)
        assert status == 201, image
        status, answer, _ = self.call("PUT", f"{base}/v2/images/{image['id']}/file", b"tiny" * 100)
        assert status == 204, answer
        return str(image["id"])

    def compute(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the Compute API."""
        if not self._token:
            self.login()
        status, answer, _ = self.call(method, self.services["compute"].rstrip("/") + path, body)
        return status, answer

    def boot(self, name: str, image: str) -> str:
        """Ask for a server and return its id."""
        server = {"name": name, "imageRef": image, "flavorRef": "42", "networks": "auto"}
        status, answer = self.compute("POST", "/servers", {"server": server})
        assert status == 202, answer
        return str(answer["server"]["id"])

    def servers(self) -> dict[str, str]:
        """Return the states of all servers by id."""
        status, answer = self.compute("GET", "/servers/detail?limit=1000")
        assert status == 200, answer
        return {server["id"]: server["status"] for server in answer["servers"]}

    def settled(self, timeout: float = 40) -> dict[str, str]:
        """Wait until every server is ACTIVE or ERROR and return their states."""
        until = time.monotonic() + timeout
        while True:
            found = self.servers()
            if set(found.values()) <= {"ACTIVE", "ERROR"}:
                return found
            assert time.monotonic() < until, found
            time.sleep(0.1)

    def delete_all(self, timeout: float = 30) -> None:
        """Delete every server and wait until nothing is left of them."""
        for uuid in self.servers():
            status, answer = self.compute("DELETE", f"/servers/{uuid}")
            assert status in (204, 404), answer
        until = time.monotonic() + timeout
        while left := self.servers():
            assert time.monotonic() < until, left
            time.sleep(0.1)
        status, ports, _ = self.call("GET", self.services["network"].rstrip("/") + "/v2.0/ports")
        assert status == 200 and ports["ports"] == []
        assert list((self.state_dir / "virt" / "fake" / "guests").iterdir()) == []


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data


def listening_ports(pid: int) -> set[int]:
    """Return the TCP ports that a process listens on, as the kernel says."""
    mine = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if found := re.match(r"socket:\[(\d+)\]", os.readlink(link)):
                mine.add(found[1])
    ports = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and words[9] in mine:
            ports.add(int(words[1].split(":")[1], 16))
    return ports
