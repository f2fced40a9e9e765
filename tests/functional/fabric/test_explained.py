"""A server that cannot be placed: its fault, its placement, ``tenter explain`` and ``tenter replay``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers import process


def _tenter(up: process.Up, *args: object) -> tuple[int, str, str]:
    return process.run(*args, "--state-dir", up.state_dir, "--config-file", up.conf_file, COLUMNS="160")


def _server(up: process.Up, image: str, name: str, flavor: str) -> str:
    server = {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "auto"}
    status, answer = up.compute("POST", "/servers", {"server": server})
    assert status == 202, answer
    return str(answer["server"]["id"])


def _placement(up: process.Up, path: str) -> Any:
    status, answer = up.compute("GET", f"/tenter/{path}/placement")
    assert status == 200, answer
    return answer["placement"]


def test_a_server_that_is_nowhere_says_why(tmp_path: Path) -> None:
    up = process.Up(tmp_path, process.CONF + "[fake]\nmemory_mib = 8192\n").start()
    try:
        image = up.image()
        small, large = _server(up, image, "small", "42"), _server(up, image, "large", "5")
        assert up.settled() == {small: "ACTIVE", large: "ERROR"}
        _, shown = up.compute("GET", f"/servers/{large}")
        fault = shown["server"]["fault"]
        assert "ram.short (asked 16384, at most " in fault["message"] and "host-1" not in fault["message"]
        assert fault["details"].startswith("host-1: ResourceFilter: ram.short (asked 16384, free ")
        (placed,), (failed,) = _placement(up, f"servers/{small}"), _placement(up, f"servers/{large}")
        assert (placed["placed"], placed["chosen"]["host"]) == (True, "host-1")
        assert (failed["placed"], failed["reasons"][0]["code"], failed["hosts_left"]) == (False, "ram.short", 0)
        assert _placement(up, f"operations/{failed['operation']}") == [failed]
        code, out, err = _tenter(up, "explain", "large")
        assert code == 0 and "not placed" in out and "host-1" in out and "ram.short" in out, (out, err)
        same, other = tmp_path / "same.conf", tmp_path / "other.conf"
        same.touch()
        other.write_text("[scheduler]\nfilters = ComputeFilter\n")
        for server in (small, large):
            code, out, err = _tenter(up, "replay", server, "--with-config", same)
            assert code == 0 and out.endswith("The same.\n"), (out, err)
        code, out, err = _tenter(up, "replay", large, "--json", "--with-config", other)
        found = json.loads(out)
        assert found["changed"] == [{"host": "host-1", "then": "ResourceFilter: ram.short", "now": "passed"}]
        assert found["chosen"] == {"then": None, "now": ["host-1"]}
        up.delete_all()
        assert up.compute("GET", f"/tenter/servers/{large}/placement")[0] == 404
        assert _placement(up, f"operations/{failed['operation']}") == [failed]
    finally:
        up.kill()
