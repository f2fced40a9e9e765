"""A throw-away cloud for benchmarks, and the plain HTTP client that measures it."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

VERSION = "2.96"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """One keep-alive connection to the API, with a token."""

    def __init__(self, port: int, token: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"X-Auth-Token": token, "OpenStack-API-Version": f"compute {VERSION}"}

    def request(self, method: str, path: str, body: Any = None, raw: bytes | None = None) -> tuple[int, bytes, Any]:
        """Return status, body and headers of one request."""
        headers = {**self._headers, "Content-Type": "application/octet-stream" if raw else "application/json"}
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def get(self, path: str) -> Any:
        """Return the JSON of a GET that must succeed."""
        status, body, _ = self.request("GET", path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body[:300]!r}")
        return json.loads(body)


class Cloud:
    """A running ``tenter up`` on a state directory."""

    def __init__(self, state_dir: Path, driver: str = "fake", config: str = "") -> None:
        self.state_dir, self.driver, self.port = state_dir, driver, free_port()
        state_dir.mkdir(parents=True, exist_ok=True)
        self._config = state_dir.parent / f"{state_dir.name}.conf"
        self._config.write_text(config)
        self.process: subprocess.Popen[bytes] | None = None
        self.token = ""

    def start(self) -> float:
        """Start it and return the seconds from exec to the first 200 on ``/``."""
        log = self.state_dir.parent / f"{self.state_dir.name}.log"
        command = [sys.executable, "-m", "tenter.cli.main", "up", "--state-dir", str(self.state_dir),
                   "--driver", self.driver, "--port", str(self.port), "--config-file", str(self._config)]  # fmt: skip
        began = time.perf_counter()
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if Client(self.port).request("GET", "/")[0] == 200:
                    break
            if self.process.poll() is not None or time.perf_counter() - began > 120:
                raise RuntimeError(f"tenter up did not start; see {log}")
            time.sleep(0.005)
        return time.perf_counter() - began

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def login(self) -> None:
        """Get a token with the password of clouds.yaml, once the cloud has written it."""
        path = self.state_dir / "clouds.yaml"
        while not path.exists():
            time.sleep(0.02)
        words = dict(re.findall(r"(\w+): (\S+)$", path.read_text(), re.M))
        user = {"name": words["username"], "domain": {"id": "default"}, "password": words["password"]}
        scope = {"project": {"name": words["project_name"], "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        status, answer, headers = Client(self.port).request("POST", "/identity/v3/auth/tokens", body)
        if status != 201:
            raise RuntimeError(f"login: {status} {answer[:300]!r}")
        self.token = headers["X-Subject-Token"]

    def client(self) -> Client:
        """Return a new connection with the token."""
        return Client(self.port, self.token)

    def upload_image(self, data: bytes, disk_format: str = "raw") -> str:
        """Make an image and return its id."""
        client = self.client()
        body = {"name": "bench", "disk_format": disk_format, "container_format": "bare"}
        status, answer, _ = client.request("POST", "/image/v2/images", body)
        if status != 201:
            raise RuntimeError(f"image: {status} {answer[:300]!r}")
        image = str(json.loads(answer)["id"])
        status, answer, _ = client.request("PUT", f"/image/v2/images/{image}/file", raw=data)
        if status != 204:
            raise RuntimeError(f"upload: {status} {answer[:300]!r}")
        return image

    def pids(self) -> list[int]:
        """Return the process and all its descendants."""
        assert self.process is not None
        children: dict[int, list[int]] = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
                children.setdefault(int(stat[1]), []).append(int(name))
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found


@contextlib.contextmanager
def running(driver: str = "fake", config: str = "") -> Iterator[Cloud]:
    """Yield a cloud that runs in a throw-away directory, and is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="tenter-bench-"))
    cloud = Cloud(directory / "state", driver, config)
    try:
        cloud.start()
        cloud.login()
        yield cloud
    finally:
        cloud.stop()
        shutil.rmtree(directory, ignore_errors=True)


def load(
    cloud: Cloud, clients: int, count: int, make: Callable[[int], tuple[str, str, Any]], expect: int
) -> tuple[list[float], list[bytes]]:
    """Send ``count`` requests by ``clients`` threads; return the latencies in seconds and the answers."""
    todo: SimpleQueue[int] = SimpleQueue()
    for index in range(count):
        todo.put(index)
    latencies: list[float] = []
    answers: list[bytes] = []
    failures: list[str] = []

    def work() -> None:
        client = cloud.client()
        while True:
            try:
                index = todo.get_nowait()
            except Empty:
                return
            method, path, body = make(index)
            began = time.perf_counter()
            status, answer, _ = client.request(method, path, body)
            latencies.append(time.perf_counter() - began)
            answers.append(answer)
            if status != expect:
                failures.append(f"{method} {path}: {status} {answer[:200]!r}")

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"{len(failures)} of {count} failed; first: {failures[0]}")
    return latencies, answers


def server_body(name: str, image: str, flavor: str = "42") -> dict[str, Any]:
    """Return the body of a create with one NIC on the only network."""
    return {"server": {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "auto"}}


def ms(seconds: float) -> str:
    """Return a time in milliseconds for a table."""
    return f"{seconds * 1000:.1f} ms"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of the values are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def arguments(description: str) -> argparse.Namespace:
    """Return the arguments that all benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--runs", type=int, default=5, help="how often to measure (default: 5)")
    return parser.parse_args()


def report(name: str, rows: Sequence[tuple[str, str]], figure: str, values: dict[str, Any], file: str | None) -> None:
    """Print a table and the figure as the last line; write the values to a JSON file if one is named."""
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"  {label:<{width}}  {value}")
    print(f"{name}: {figure}")
    if file:
        Path(file).write_text(json.dumps({"benchmark": name, **values}, indent=1) + "\n")
