"""Users of the cloud: they create, delete, stop, start, reboot, rebuild and list by raw HTTP, and remember what they
were promised."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT = 40
ACTIONS: dict[str, dict[str, Any]] = {
    "stop": {"os-stop": None},
    "start": {"os-start": None},
    "reboot": {"reboot": {"type": "HARD"}},
}
WEIGHTS = {"create": 30, "delete": 24, "stop": 10, "start": 10, "reboot": 8, "rebuild": 5, "list": 8, "show": 5}
MOST = 120
"""Servers at which no more are created."""


class NoAnswer(Exception):
    """The connection was refused, reset, or silent for too long: the API, or a worker of it, is down."""


@dataclass
class Promises:
    """What users were told. A server whose delete got no clear answer is in neither ``alive`` nor ``deleted``."""

    alive: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    """Servers whose delete was sent, whatever came back."""
    answers: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client:
    """One user's requests."""

    def __init__(self, port: int, clouds: Path) -> None:
        self._port = port
        self._found = dict(re.findall(r"^ +(\w+): (.+)$", clouds.read_text(), re.M))
        self._token = ""

    def ask(self, method: str, path: str, body: object = None, raw: bytes | None = None) -> tuple[int, Any, Any]:
        """Return status, body and headers. Raises NoAnswer."""
        headers = {"X-OpenStack-Nova-API-Version": "2.79", "X-Auth-Token": self._token}
        data = raw
        if raw is not None:
            headers["Content-Type"] = "application/octet-stream"
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            raise NoAnswer(type(exc).__name__) from exc
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text), answer.headers
        except ValueError:
            return answer.status, text, answer.headers

    def login(self) -> None:
        """Get a token; needs an API that answers."""
        user = {"name": self._found["username"], "password": self._found["password"], "domain": {"id": "default"}}
        scope = {"project": {"name": self._found["project_name"], "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        status, answer, headers = self.ask(
            "POST", "/identity/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}}
        )
        if status != 201:
            raise RuntimeError(f"No token: {status} {answer}")
        self._token = headers["X-Subject-Token"]

    def image(self) -> str:
        """Make an image and return its id; needs an API that answers."""
        asked = {"name": "tiny", "disk_format": "raw", "container_format": "bare"}
        _, image, _ = self.ask("POST", "/image/v2/images", asked)
        status, answer, _ = self.ask("PUT", f"/image/v2/images/{image['id']}/file", raw=b"tiny" * 100)
        if status != 204:
            raise RuntimeError(f"No image: {status} {answer}")
        return str(image["id"])


class User(threading.Thread):
    """Asks for random things, ``rate`` times a second at most."""

    def __init__(
        self, client: Client, image: str, promises: Promises, rng: random.Random, rate: float, stop: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self._client, self._image, self._promises, self._rng = client, image, promises, rng
        self._pause, self._stop_asked = 1 / rate, stop
        self.number = 0

    def run(self) -> None:
        """Go on until told to stop."""
        while not self._stop_asked.wait(self._pause * self._rng.uniform(0.5, 1.5)):
            what = self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            try:
                self._do(what)
            except NoAnswer as exc:
                self._count(what, f"no answer ({exc})")
                time.sleep(0.1)
            except Exception as exc:
                with self._promises.lock:
                    self._promises.broken.append(f"{what}: the answer cannot be read ({exc!r})")

    def _do(self, what: str) -> None:
        if what == "create":
            self._create()
        elif what == "list":
            self._note(what, "", *self._client.ask("GET", "/v2.1/servers/detail?limit=50")[:2])
        else:
            with self._promises.lock:
                alive = sorted(self._promises.alive)
            if alive:
                self._do_to(what, self._rng.choice(alive))

    def _create(self) -> None:
        with self._promises.lock:
            if len(self._promises.alive) >= MOST:
                return
        self.number += 1
        server = {
            "name": f"{self.name}-{self.number}", "imageRef": self._image, "flavorRef": "42", "networks": "auto",
        }  # fmt: skip
        status, answer, _ = self._client.ask("POST", "/v2.1/servers", {"server": server})
        self._note("create", "", status, answer)
        if status == 202:
            with self._promises.lock:
                self._promises.alive.add(answer["server"]["id"])

    def _do_to(self, what: str, uuid: str) -> None:
        path = f"/v2.1/servers/{uuid}"
        if what == "delete":
            self._remove(uuid, path)
        elif what == "show":
            self._note(what, uuid, *self._client.ask("GET", path)[:2])
        elif what == "rebuild":
            action = {"rebuild": {"imageRef": self._image}}
            self._note(what, uuid, *self._client.ask("POST", path + "/action", action)[:2])
        else:
            self._note(what, uuid, *self._client.ask("POST", path + "/action", ACTIONS[what])[:2])

    def _remove(self, uuid: str, path: str) -> None:
        with self._promises.lock:
            first = uuid not in self._promises.asked
            self._promises.asked.add(uuid)
            self._promises.alive.discard(uuid)
        status, answer, _ = self._client.ask("DELETE", path)
        self._count("delete", str(status))
        with self._promises.lock:
            if status == 204 or (status == 404 and not first):
                self._promises.deleted.add(uuid)
            elif status == 503:
                self._promises.alive.add(uuid)
            else:
                self._promises.broken.append(f"the first delete of {uuid} was answered {status} {answer}")
        if status == 204 and self._rng.random() < 0.3:
            status, answer, _ = self._client.ask("DELETE", path)
            self._count("delete again", str(status))
            if status not in (204, 404, 503):
                with self._promises.lock:
                    self._promises.broken.append(f"a repeated delete of {uuid} was answered {status} {answer}")

    def _note(self, what: str, uuid: str, status: int, answer: Any) -> None:
        self._count(what, str(status))
        with self._promises.lock:
            if status >= 500 and status != 503:
                self._promises.broken.append(f"{what} {uuid} was answered {status} {answer}")
            elif status == 404 and uuid in self._promises.alive:
                self._promises.broken.append(f"{what}: server {uuid}, which nobody deleted, is not found")
            elif status in (400, 401, 403):
                self._promises.broken.append(f"{what} {uuid} was answered {status} {answer}")

    def _count(self, what: str, result: str) -> None:
        with self._promises.lock:
            self._promises.answers[f"{what}: {result}"] += 1
