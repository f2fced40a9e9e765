"""Listeners, notifiers and API extensions of other distributions, in real processes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.distributions import environment, install
from tests.helpers.process import CONF, Up

GOOD = """
    import json
    from tenter.contracts.api import ApiExtension, Route
    from tenter.contracts.hooks import HookListener

    class Tell(HookListener):
        contract = "hooks 1.0"

        def __init__(self, setup):
            super().__init__(setup)
            self._file = open(setup.state_dir / "heard", "a")

        def _write(self, what, event):
            print(json.dumps([what, event.instance_uuid]), file=self._file, flush=True)

        def create_requested(self, event): self._write("create_requested", event)
        def claimed(self, event): self._write("claimed", event)
        def network_allocated(self, event): self._write("network_allocated", event)
        def spawned(self, event): self._write("spawned", event)
        def delete_requested(self, event): self._write("delete_requested", event)
        def deleted(self, event): self._write("deleted", event)

    class Hello:
        def on_get(self, req, resp):
            resp.media = {"hello": req.context.identity.user_name}

        def on_post(self, req, resp):
            raise RuntimeError("mine")

    class Greeter(ApiExtension):
        contract = "api 1.0"
        prefix = "greeter"

        def routes(self):
            return [Route("/hello", Hello())]
"""
BAD = """
    import time
    from tenter.contracts.hooks import HookListener

    class Raises(HookListener):
        contract = "hooks 1.0"
        def spawned(self, event):
            raise RuntimeError("no such bus")

    class Sleeps(HookListener):
        contract = "hooks 1.0"
        def claimed(self, event):
            time.sleep(1e6)

    class Misspelt(HookListener):
        contract = "hooks 1.0"
        def spawnd(self, event): pass

    class Newer(HookListener):
        contract = "hooks 2.0"

    class Cannot(HookListener):
        contract = "hooks 1.0"
        def __init__(self, setup):
            raise OSError("nobody is there")
"""
ENABLED = ["raises", "tell", "sleeps", "misspelt", "newer", "cannot", "nowhere", "unheard_of"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for distributions that all processes of the test see."""
    for name, value in environment(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "site"


def _notifications(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _await(what: Any, timeout: float = 20) -> None:
    until = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_good_ones_hear_all_whatever_the_others_do(up: Up, site: Path) -> None:
    points = {"tenter.hooks": {"tell": "acme:Tell"}, "tenter.api.extensions": {"greet": "acme:Greeter"}}
    install(site, "acme-good", points, {"acme.py": GOOD})
    names = ("raises", "sleeps", "misspelt", "newer", "cannot", "nowhere")
    points = {"tenter.hooks": {name: f"acme_bad:{name.capitalize()}" for name in names}}
    install(site, "acme-bad", points, {"acme_bad.py": BAD})
    enabled = "".join(f"enabled = {name}\n" for name in ENABLED)
    up.conf_file.write_text(
        CONF + f"[hooks]\n{enabled}budget = 0.1\n[notifications]\nnotifiers = file\n[api]\nextensions = greet\n"
    )
    up.start()
    uuid = up.boot("told", up.image())
    assert up.settled() == {uuid: "ACTIVE"}
    heard = up.state_dir / "hook" / "tell" / "heard"
    _await(lambda: "spawned" in heard.read_text())
    up.delete_all()
    _await(lambda: "deleted" in heard.read_text())
    told = [json.loads(line) for line in heard.read_text().splitlines()]
    assert told == [[name, uuid] for name in ("create_requested", "claimed", "network_allocated", "spawned",
                                              "delete_requested", "deleted")]  # fmt: skip
    for path in (up.services["compute"].rstrip("/"), "/v2.1"):
        assert up.call("GET", f"{path}/tenter/extensions/greeter/hello")[:2] == (200, {"hello": "admin"})
    assert up.call("GET", "/v2.1/tenter/extensions/greeter/hello", token="")[0] == 401
    assert up.call("POST", "/v2.1/tenter/extensions/greeter/hello")[0] == 500
    figures = up.call("GET", "/metrics")[1].decode()
    assert 'tenter_hook_failures_total{hook="spawned",kind="hook",plugin="raises"} 1.0' in figures
    assert 'tenter_hook_taken_out{kind="hook",plugin="sleeps"} 1.0' in figures
    assert up.stop() == 0
    events = _notifications(up.state_dir / "notifier" / "file" / "notifications.jsonl")
    mine = [each["event_type"] for each in events if each["payload"].get("instance_uuid") == uuid]
    assert mine == ["server.create_requested", "server.before_scheduling", "server.claimed", "server.network_allocated",
                    "server.spawned", "server.state_changed", "operation.ended", "server.delete_requested",
                    "server.deleted", "operation.ended"]  # fmt: skip
    services = [(each["event_type"], each["payload"]["binary"]) for each in events if "binary" in each["payload"]]
    assert services == [(f"service.{what}", f"tenter-{role}") for what in ("up", "down")
                        for role in ("compute", "conductor")]  # fmt: skip
    _check_log(up.log.read_text().splitlines())


def _check_log(log: list[str]) -> None:
    lines = [line for line in log if " ERROR " in line or " WARNING " in line]
    for name, words in (
        ("raises", ["acme-bad 1.0", "failed at spawned", "RuntimeError: no such bus"]),
        ("sleeps", ["acme-bad 1.0", "did not return from claimed", "not called again", "take it out"]),
        ("misspelt", ["left out", "spawnd is no hook", "did you mean spawned?"]),
        ("newer", ["left out", "'hooks 2.0'", "'hooks 1.0'"]),
        ("cannot", ["left out", "cannot start", "nobody is there"]),
        ("nowhere", ["left out", "cannot be imported", "Nowhere"]),
        ("unheard_of", ["left out", "unheard_of"]),
    ):
        (line,) = [line for line in lines if f"hook {name} is" in line or f"listener '{name}'" in line]
        assert all(word in line for word in words), line
    assert sum("Traceback" in line for line in log) == 1, "that of the extension that raised"
