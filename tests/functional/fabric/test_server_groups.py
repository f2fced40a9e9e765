"""Server groups with the real client, on a cloud in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.process import Up

CLIENT = Path(sys.executable).with_name("openstack")

pytestmark = pytest.mark.skipif(not CLIENT.exists(), reason="the openstack client is not installed")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(up: Up) -> Run:
    """Run the client as the administrator of a cloud that is started for it."""
    up.start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment |= {"OS_CLIENT_CONFIG_FILE": str(up.state_dir / "clouds.yaml"), "OS_CLOUD": "tenter"}

    def client(*words: str, version: str = "2.79") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(CLIENT), "--os-compute-api-version", version, *words],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return client


def ask(run: Run, *words: str, version: str = "2.79") -> Any:
    done = run(*words, "-f", "json", version=version)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def do(run: Run, *words: str) -> None:
    done = run(*words)
    assert done.returncode == 0, done.stderr


def test_the_life_of_groups(up: Up, run: Run) -> None:
    made = ask(
        run, "server", "group", "create", "--policy", "anti-affinity", "--rule", "max_server_per_host=2", "apart"
    )
    assert (made["policy"], made["rules"], made["members"]) == ("anti-affinity", {"max_server_per_host": 2}, [])
    old = ask(run, "server", "group", "create", "--policy", "soft-affinity", "near", version="2.15")
    listed = {group["Name"]: group for group in ask(run, "server", "group", "list", "--all-projects", "--long")}
    assert {name: group["Policy"] for name, group in listed.items()} == {
        "apart": "anti-affinity",
        "near": "soft-affinity",
    }
    image = up.image()
    how = ("--flavor", "42", "--image", image, "--nic", "none")
    one = ask(run, "server", "create", *how, "--hint", f"group={made['id']}", "one")["id"]
    two = ask(run, "server", "create", *how, "--server-group", "apart", "two")["id"]
    up.settled()
    shown = ask(run, "server", "group", "show", "apart")
    assert set(shown["members"]) == {one, two} and shown["id"] == made["id"]
    assert ask(run, "server", "show", one)["server_groups"] == [made["id"]]
    nobody = run("server", "create", *how, "--hint", f"group={image}", "three")
    assert nobody.returncode != 0 and f"Instance group {image} could not be found." in nobody.stderr
    do(run, "server", "delete", "--wait", "one")
    assert ask(run, "server", "group", "show", "apart")["members"] == [two]
    do(run, "server", "group", "delete", "apart", old["id"])
    assert ask(run, "server", "group", "list") == []
    assert ask(run, "server", "show", two)["server_groups"] == []
    do(run, "quota", "set", "--server-groups", "1", "admin")
    do(run, "server", "group", "create", "--policy", "affinity", "last")
    refused = run("server", "group", "create", "--policy", "affinity", "more")
    assert refused.returncode != 0 and "Quota exceeded, too many server groups." in refused.stderr
