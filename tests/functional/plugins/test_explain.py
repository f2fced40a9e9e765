"""``tenter explain`` and ``tenter replay`` on decisions of a cloud that is not up."""

from __future__ import annotations

import json
import uuid as uuidlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tenter.bus import InProcessBus
from tenter.cli.main import main
from tenter.conf import new_conf
from tenter.operations.fabric import Fabric, add_cell, open_api_database, open_fabric
from tenter.scheduler.record import Recorder
from tests.helpers import process
from tests.unit.scheduler.test_pipeline import World, ask, view

SERVER = "0a1b2c3d-0000-4000-8000-000000000001"


class Place:
    """A state directory with decisions, and ``tenter`` on it."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.state_dir, self.conf_file, self._capsys = directory / "state", directory / "tenter.conf", capsys
        self.state_dir.mkdir()
        self.conf_file.write_text(process.CONF + "[scheduler]\nfilters = ComputeFilter,ResourceFilter\nweighers =\n")
        self.conf = new_conf([str(self.conf_file)], self.state_dir)
        api_db = open_api_database(self.conf)
        add_cell(self.conf, api_db, "cell1").db.close()
        api_db.close()
        self.fabric: Fabric = open_fabric(self.conf, InProcessBus(), embedded=False)
        (directory / "world").mkdir()
        self.world = World(directory / "world")
        self.world.views = {"c1": [view("node1", used=950), view("node2"), view("node3", up=False)]}

    def decide(self, **wanted: Any) -> str:
        asked = ask(instance_uuid=SERVER, **wanted)
        decision = self.world.scheduler("compute", "resources").select(asked)
        decision.chosen = next(decision.candidates, None)
        # As they are called in the configuration.
        names = {"compute": "ComputeFilter", "resources": "ResourceFilter"}
        for each in (decision.sifted.refusals, decision.sifted.stages):
            for place, one in enumerate(each):
                key = "filter" if hasattr(one, "filter") else "name"
                each[place] = type(one)(**{**vars(one), key: names[getattr(one, key)]})  # type: ignore
        operation = SimpleNamespace(uuid=str(uuidlib.uuid4()), instance_uuid=SERVER, project_id="p")
        Recorder(self.conf, self.fabric.api_db).write(decision, operation)
        return operation.uuid

    def run(self, *args: object) -> tuple[int, str, str]:
        """Run ``tenter ARGS``; return exit code, output and error."""
        code = main([*map(str, args), "--state-dir", str(self.state_dir), "--config-file", str(self.conf_file)])
        return code, *self._capsys.readouterr()


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("COLUMNS", "160")
    found = Place(tmp_path, capsys)
    yield found
    found.fabric.close()


def test_explain(place: Place) -> None:
    code, out, err = place.run("explain", SERVER)
    assert (code, out.strip(), err) == (0, f"No decision for server {SERVER} is kept.", "")
    placed = place.decide()
    failed = place.decide(resources={"MEMORY_MB": 5000})
    code, out, err = place.run("explain", SERVER)
    assert (code, err) == (0, "")
    for words in (
        f"operation {placed}: placed on node2; hosts looked at: 3, passed: 1.",
        f"operation {failed}: not placed; hosts looked at: 3, passed: 0.",
        "2 of 3 by ResourceFilter: ram.short (asked 5000, at most 1000 free)",
        "asked 5000, free 50",
        "hosts with more free: tenter status",
        "tenter replay " + SERVER,
    ):
        assert words in out, out
    code, out, _ = place.run("explain", SERVER, "--host", "node3")
    assert "node3" in out and "node1" not in out
    code, out, _ = place.run("explain", SERVER, "--host", "node2")
    assert "node2: it passed all filters" in out and "ram.short" in out
    code, out, _ = place.run("explain", SERVER, "--host", "node9")
    assert "node9: there was no host of that name." in out
    code, out, _ = place.run("explain", SERVER, "--json")
    shown = json.loads(out)
    assert [one["chosen"] and one["chosen"]["host"] for one in shown] == ["node2", None]
    assert place.run("explain", "nobody")[::2] == (
        1, "tenter: There is no server called 'nobody'; of one that is gone, give its id.\n",
    )  # fmt: skip


def test_replay_by_another_weight(place: Place, tmp_path: Path) -> None:
    place.decide(resources={"MEMORY_MB": 10})
    other = tmp_path / "other.conf"
    other.write_text("")
    then = json.loads(place.run("replay", SERVER, "--json", "--with-config", other)[1])["chosen"]["then"]
    sign, now = ("", "node2") if then == "node1" else ("-", "node1")
    other.write_text(f"[scheduler]\nweighers = RAMWeigher\n[weighers]\nram_weight_multiplier = {sign}1\n")
    code, out, err = place.run("replay", SERVER, "--with-config", other)
    assert (code, err) == (0, ""), err
    assert f"Chosen then: {then}; now: {now}." in out
    assert out.strip().endswith("It changes; another host is chosen.")


def test_replay(place: Place, tmp_path: Path) -> None:
    operation = place.decide(resources={"MEMORY_MB": 100, "VCPU": 1})
    other, empty = tmp_path / "other.conf", tmp_path / "empty.conf"
    empty.write_text("")
    other.write_text("[scheduler]\nfilters = ResourceFilter\n")
    code, out, err = place.run("replay", operation, "--with-config", empty)
    assert (code, err) == (0, "") and out.strip().endswith("The same.")
    code, out, err = place.run("replay", SERVER, "--with-config", other)
    assert (code, err) == (0, ""), err
    assert "Chosen then: node2; now: node2, or another of the 2 that are equally good." in out
    assert "It changes; hosts that are judged otherwise: 1." in out
    code, out, _ = place.run("replay", SERVER, "--json", "--with-config", other)
    found = json.loads(out)
    assert (found["same"], found["operation"]) == (False, operation)
    assert found["changed"] == [{"host": "node3", "then": "ComputeFilter: host.down", "now": "passed"}]
    assert sorted(found["chosen"]["now"]) == ["node2", "node3"]
    unknown = str(uuidlib.uuid4())
    assert place.run("replay", unknown, "--with-config", empty)[::2] == (
        1, f"tenter: No decision is kept for an operation or a server {unknown}.\n",
    )  # fmt: skip
    broken = tmp_path / "broken.conf"
    broken.write_text("[scheduler]\nfilters = Nonsense\n")
    code, _, err = place.run("replay", SERVER, "--with-config", broken)
    assert code == 1 and "Nonsense" in err and "Traceback" not in err
    code, _, err = place.run("replay", SERVER, "--with-config", tmp_path / "missing.conf")
    assert code == 1 and err.startswith("tenter: The configuration cannot be used")
