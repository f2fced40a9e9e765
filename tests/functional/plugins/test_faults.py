"""A chosen driver that is missing or broken stops the start with one line; nothing else of a plugin does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.functional.plugins.conftest import DRIVER, Acme
from tests.helpers import distributions, process

FAULTS = {
    "import error": ("acme_driver:Nobody", "tenter-acme 1.0 cannot be imported: ", "Nobody"),
    "missing library": ("acme_lib:Driver", "tenter-acme 1.0 cannot be imported: ", "pip install 'acme-sdk'"),
    "contract version": ("acme_driver:Newer", "tenter-acme 1.0 was written for 'virt 1.7', this is 'virt 1.0'. "),
    "wrong class": ("acme_driver:Wrong", "tenter-acme 1.0 is acme_driver.Wrong, which is no VirtDriver. Install"),
    "exit at import": ("acme_exit:Driver", "tenter-acme 1.0 cannot be imported: 7 (SystemExit). "),
    "constructor": ("acme_driver:Raising", "tenter-acme 1.0 cannot start: no such bus (RuntimeError)."),
    "constructor that exits": ("acme_driver:Exiting", "tenter-acme 1.0 cannot start: licence expired (SystemExit)."),
}
"""What the entry point names, and words of the one line."""


@pytest.fixture
def faulty(acme: Acme) -> Acme:
    """The distribution tenter-acme with a driver for each fault."""
    drivers = {fault.replace(" ", "-"): value for fault, (value, *_) in FAULTS.items()}
    modules = {"acme_driver.py": DRIVER, "acme_lib.py": "import acme_sdk", "acme_exit.py": "import sys; sys.exit(7)"}
    acme.install("tenter-acme", {"tenter.virt": drivers}, modules=modules, requires=["acme-sdk>=1"])
    return acme


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_driver_stops_the_start_with_one_line(faulty: Acme, fault: str) -> None:
    name, words = fault.replace(" ", "-"), FAULTS[fault][1:]
    line = faulty.refused("up", "--driver", name, "--port", process.free_port())
    assert line.startswith(f"tenter: The virt plugin '{name}' of ")
    for word in (*words, "or choose another ([DEFAULT] virt_driver)."):
        assert word in line


def test_a_list_of_broken_drivers(faulty: Acme) -> None:
    code, out, err = faulty.run("plugin", "list", "--json", "--kind", "virt")
    assert code == 0, err
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["fake"]["state"] == "enabled"
    for fault, (_, *words) in FAULTS.items():
        row = rows[fault.replace(" ", "-")]
        assert (row["distribution"], row["version"]) == ("tenter-acme", "1.0")
        if "constructor" in fault:  # nothing is constructed for a list
            assert row["state"] == "broken" and "needs acme-sdk, not installed" in row["reason"]
            continue
        assert row["state"] == "broken"
        for word in words:
            assert word.removeprefix("tenter-acme 1.0 ") in row["reason"]
    assert rows["contract-version"]["contract"] == "virt 1.7"


def test_two_of_one_name(acme: Acme) -> None:
    acme.driver()
    acme.install("emca", {"tenter.virt": {"acme": "acme_driver:Newer"}}, version="2.0")
    acme.conf_file.write_text("[DEFAULT]\nvirt_driver = acme\n")
    for line in (acme.refused("up", "--port", process.free_port()), acme.refused("plugin", "check")):
        assert "'acme' is there 2 times" in line and "tenter-acme 1.0" in line and "emca 2.0" in line
        assert "Uninstall all but one" in line
    _, out, _ = acme.run("plugin", "list", "--kind", "virt")
    rows = [line for line in out.splitlines() if "is there 2 times" in line]
    assert len(rows) == 2 and all("broken (enabled)" in row for row in rows)


def test_an_unknown_name_and_one_that_was_removed(acme: Acme) -> None:
    acme.driver()
    acme.conf_file.write_text("[DEFAULT]\nvirt_driver = acme\n")
    assert acme.run("plugin", "check")[0] == 0
    line = acme.refused("up", "--driver", "amce", "--port", process.free_port())
    assert "No virt plugin is called 'amce'. Did you mean 'acme'?" in line
    distributions.remove(acme.directory, "tenter-acme")
    for command in (("up", "--port", process.free_port()), ("plugin", "check")):
        line = acme.refused(*command)
        assert "No virt plugin is called 'acme'. Installed: fake, libvirt" in line
        assert "Install the distribution that brings it" in line
    code, out, _ = acme.run("plugin", "list", "--json")
    row = next(each for each in json.loads(out) if each["name"] == "acme")
    assert code == 0 and row["state"] == "missing" and row["wanted"]


@pytest.mark.parametrize("role", ["conductor", "compute"])
def test_other_processes_end_in_one_line_too(acme: Acme, role: str) -> None:
    acme.install("tenter-acme", {"tenter.network": {"acme": "acme_nothing:X"}})
    assert acme.run("cell", "add", "north")[0] == 0
    acme.conf_file.write_text(acme.conf_file.read_text().replace("host =", "network_driver = acme\nhost ="))
    line = acme.refused(role, *(("--cell", "north") if role == "compute" else ()))
    assert "The network plugin 'acme' of tenter-acme 1.0 cannot be imported" in line


FILTER = """
    from tenter.contracts.filter import ACCEPT, HostFilter

    class Quiet(HostFilter):
        contract = "filter 1.0"

        def accepts(self, host, request):
            with open(self.setup.state_dir / "asked", "a") as asked:
                asked.write(host.host)
            return ACCEPT

    class Raising(Quiet):
        def __init__(self, setup):
            raise SystemExit(5)
"""


def test_a_drop_in_enables_a_filter_and_broken_ones_break_only_themselves(acme: Acme, tmp_path: Path) -> None:
    """One up with: a good filter of another distribution, broken and missing ones, and a broken unused driver."""
    acme.driver("acme_nothing:Driver")
    filters = {"Quiet": "acme_filter:Quiet", "Raising": "acme_filter:Raising", "Lost": "acme_lost:Lost"}
    acme.install("acme-filters", {"tenter.scheduler.filters": filters}, modules={"acme_filter.py": FILTER})
    drop_ins = tmp_path / "conf.d"
    drop_ins.mkdir()
    for name in ("Raising", "Quiet", "Lost", "Unheard"):
        (drop_ins / f"50-{name}.conf").write_text(f"[scheduler]\nextra_filters = {name}\n")
    up = _Up(tmp_path, acme, drop_ins)
    up.start()
    try:
        uuid = up.boot("filtered", up.image())
        assert up.settled() == {uuid: "ACTIVE"}
        up.delete_all()
    finally:
        up.stop()
    assert (up.state_dir / "filter" / "Quiet" / "asked").read_text().startswith("host-1")
    log = up.log.read_text()
    assert "Traceback" not in log and log.count("is left out") == 3
    for words in ("'Raising' of acme-filters 1.0 cannot start: 5", "'Lost' of acme-filters", "called 'Unheard'"):
        assert words in log
    code, out, err = acme.run("plugin", "check", "--config-dir", drop_ins)
    assert code == 1 and len(out.splitlines()) == 3, (out, err)


class _Up(process.Up):
    """A ``tenter up`` that finds what is installed."""

    def __init__(self, directory: Path, acme: Acme, drop_ins: Path) -> None:
        super().__init__(directory)
        self._acme, self._drop_ins = acme, drop_ins

    @property
    def args(self) -> tuple[object, ...]:
        return (*super().args, "--config-dir", self._drop_ins)

    def start(self, timeout: float = 45) -> process.Up:
        environment = distributions.environment(self._acme.directory)
        before = os.environ.get("PYTHONPATH")
        os.environ.update(environment)
        try:
            return super().start(timeout)
        finally:
            os.environ.pop("PYTHONPATH")
            if before is not None:
                os.environ["PYTHONPATH"] = before


def test_the_start_imports_only_what_is_enabled(acme: Acme) -> None:
    acme.driver("acme_loud:Driver")
    (acme.directory / "acme_loud.py").write_text("open(__file__ + '.imported', 'w')")
    acme.refused("up", "--driver", "amce", "--port", process.free_port())
    assert not (acme.directory / "acme_loud.py.imported").exists()
