"""The ordinary ``openstack`` client: aggregates, zones, chosen hosts, and whether hosts may be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.process import Up, kill_group

CLIENT = Path(sys.executable).with_name("openstack")

pytestmark = pytest.mark.skipif(not CLIENT.exists(), reason="the openstack client is not installed")


class Cloud(Up):
    """A ``tenter up`` with one host, host-1, and the client for it."""

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        settings = {"OS_CLIENT_CONFIG_FILE": str(self.state_dir / "clouds.yaml"), "OS_CLOUD": "tenter",
                    "OS_COMPUTE_API_VERSION": "2.100"}  # fmt: skip
        return subprocess.run(
            [CLIENT, *map(str, words)], env={**kept, **settings}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=90,
        )  # fmt: skip

    def ask(self, *words: object) -> Any:
        """Return what a command prints."""
        done = self.run(*words, "-f", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def do(self, *words: object) -> None:
        """Run a command that prints nothing."""
        done = self.run(*words)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr

    def refused(self, *words: object) -> str:
        """Return why a command fails."""
        done = self.run(*words)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def zones(self) -> dict[str, str]:
        """Return the zones of computes, and whether they can be used."""
        found = self.ask("availability", "zone", "list", "--compute")
        return {zone["Zone Name"]: zone["Zone Status"] for zone in found if zone["Zone Name"] != "internal"}

    def boot_on(self, name: str, *words: object) -> Any:
        """Create a server, wait until it is ACTIVE, and return what is shown of it."""
        return self.ask("server", "create", "--image", "tiny", "--flavor", "m1.nano", "--wait", *words, name)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    found = Cloud(tmp_path_factory.mktemp("cloud"))
    try:
        found.start().image()
        yield found
    finally:
        kill_group(found.process)


def test_aggregates_and_their_zone(cloud: Cloud) -> None:
    made = cloud.ask("aggregate", "create", "--zone", "rack1", "--property", "ssd=true", "fast")
    assert (made["name"], made["availability_zone"], made["properties"]["ssd"]) == ("fast", "rack1", "true")
    assert cloud.ask("aggregate", "add", "host", "fast", "host-1")["hosts"] == ["host-1"]
    assert cloud.zones() == {"rack1": "available"}
    (service,) = cloud.ask("compute", "service", "list", "--service", "nova-compute")
    assert (service["Host"], service["Zone"]) == ("host-1", "rack1")
    cloud.do("aggregate", "set", "--name", "faster", "--zone", "rack2", "--property", "cpu=new", "fast")
    cloud.do("aggregate", "unset", "--property", "ssd", "faster")
    shown = cloud.ask("aggregate", "show", "faster")
    assert (shown["availability_zone"], shown["properties"], shown["hosts"]) == ("rack2", {"cpu": "new"}, ["host-1"])
    (listed,) = cloud.ask("aggregate", "list", "--long")
    assert (listed["Name"], listed["UUID"]) == ("faster", shown["uuid"])
    cloud.do("aggregate", "set", "--no-property", "faster")
    assert cloud.ask("aggregate", "show", "faster")["properties"] == {}
    assert cloud.ask("hypervisor", "show", "host-1")["aggregates"] == ["faster"]
    assert "not removed" in cloud.refused("aggregate", "unset", "--property", "availability_zone", "faster")
    assert "it has hosts" in cloud.refused("aggregate", "delete", "faster")
    assert "Compute host host-2 could not be found" in cloud.refused("aggregate", "add", "host", "faster", "host-2")
    server = cloud.boot_on("there", "--availability-zone", "rack2")
    assert (server["OS-EXT-SRV-ATTR:host"], server["OS-EXT-AZ:availability_zone"]) == ("host-1", "rack2")
    assert "1 instance(s)" in cloud.refused("aggregate", "remove", "host", "faster", "host-1")
    cloud.delete_all()
    cloud.ask("aggregate", "remove", "host", "faster", "host-1")
    cloud.do("aggregate", "delete", "faster")
    assert cloud.ask("aggregate", "list") == []


def test_servers_in_zones_and_on_chosen_hosts(cloud: Cloud) -> None:
    for name, *words in (("one", "--availability-zone", "nova:host-1"), ("two", "--host", "host-1")):
        server = cloud.boot_on(name, *words)
        assert (server["OS-EXT-SRV-ATTR:host"], server["OS-EXT-AZ:availability_zone"]) == ("host-1", "nova")
    create = ("server", "create", "--image", "tiny", "--flavor", "m1.nano")
    assert "zone 'mars' is not available" in cloud.refused(*create, "--availability-zone", "mars", "x")
    said = cloud.refused(*create, "--host", "host-1", "--availability-zone", "mars", "x")
    assert "host-1 is in the availability zone 'nova', not in 'mars'" in said
    cloud.delete_all()


def test_hosts_are_disabled_with_a_reason_and_declared_down(cloud: Cloud) -> None:
    change = ("compute", "service", "set")
    cloud.do(*change, "--disable", "--disable-reason", "broken fan", "host-1", "nova-compute")
    (service,) = cloud.ask("compute", "service", "list", "--long", "--service", "nova-compute")
    assert (service["Status"], service["Disabled Reason"]) == ("disabled", "broken fan")
    assert cloud.zones() == {"nova": "not available"}
    cloud.do(*change, "--enable", "--down", "host-1", "nova-compute")
    (service,) = cloud.ask("compute", "service", "list", "--long", "--service", "nova-compute")
    assert (service["Status"], service["State"], service["Forced Down"]) == ("enabled", "down", True)
    cloud.do(*change, "--up", "host-1", "nova-compute")
    assert cloud.refused(*change, "--disable", "host-2", "nova-compute")
    assert cloud.zones() == {"nova": "available"}
