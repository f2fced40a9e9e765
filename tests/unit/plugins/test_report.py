"""What an operator is told of every plugin."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from oslo_config import cfg

from tenter import errors
from tenter.conf import new_conf
from tenter.plugins import report
from tests.unit.plugins.conftest import Install

MODULE = """
    from oslo_config import cfg
    from tenter import errors
    from tenter.contracts.base import Capability
    from tenter.contracts.filter import ACCEPT, HostFilter
    from tenter_plugins.virt.fake import FakeDriver

    print("imported")

    class Driver(FakeDriver):
        contract = "virt 1.0"
        closed = []

        def describe(self):
            (self.setup.state_dir / "seen").touch()
            print(self.setup.state_dir)
            return super().describe()

        def close(self):
            self.closed.append(self)

    class Mute(Driver):
        contract = "virt 1.0"

        def describe(self):
            raise errors.HypervisorUnavailable("acmed does not answer; start it.")

    class Filter(HostFilter):
        contract = "filter 1.0"
        section = "acme"
        options = (
            cfg.IntOpt("size", default=3, help="How large."),
            cfg.StrOpt("key", default="none of yours", secret=True, help="The key."),
        )

        def accepts(self, host, request):
            return ACCEPT
"""


@pytest.fixture
def acme(install: Install) -> None:
    groups = {
        "tenter.virt": {"acme": "acme:Driver", "mute": "acme:Mute"},
        "tenter.scheduler.filters": {"Acme": "acme:Filter", "Lost": "acme_lost:Filter"},
        "tenter.filters": {"Acme": "acme:Filter"},
    }
    install("tenter-acme", groups, {"acme.py": MODULE}, version="0.3")


def _conf(tmp_path: Path, text: str) -> cfg.ConfigOpts:
    (tmp_path / "tenter.conf").write_text(text)
    return new_conf([str(tmp_path / "tenter.conf")], tmp_path / "state")


def _report(conf: cfg.ConfigOpts, kind: str, name: str) -> report.Report:
    return next(each for each in report.reports(conf, [kind]) if each.name == name)


def test_states(acme: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = _conf(tmp_path, "[DEFAULT]\nvirt_driver = acme\n[scheduler]\nextra_filters = Lost,Lots\n")
    found = {(each.kind, each.name): each for each in report.reports(conf)}
    states = {key: each.state for key, each in found.items()}
    assert states["virt", "acme"] == "enabled" and states["virt", "fake"] == "available"
    assert states["filter", "ComputeFilter"] == "enabled" and states["filter", "Acme"] == "available"
    assert states["filter", "Lost"] == "broken" and found["filter", "Lost"].wanted
    assert "No module named 'acme_lost'" in found["filter", "Lost"].reason
    assert states["filter", "Lots"] == "missing" and "'Lost'" in found["filter", "Lots"].reason
    acme = found["virt", "acme"]
    assert (acme.distribution, acme.version, acme.contract, acme.reason) == ("tenter-acme", "0.3", "virt 1.0", "")
    assert capsys.readouterr().out == "", "what a plugin prints would spoil JSON"


def test_a_group_that_nobody_reads(acme: None) -> None:
    assert report.strange_groups() == [
        "The entry point group tenter.filters of tenter-acme 0.3 is no group of plugins; "
        "did its author mean tenter.scheduler.filters?"
    ]


def test_options_with_values_and_without_secrets(acme: None, tmp_path: Path) -> None:
    conf = _conf(tmp_path, "[acme]\nsize = 7\nkey = hunter2\n")
    found = {each.name: each for each in report.settings(_report(conf, "filter", "Acme"), conf)}
    assert dataclasses.astuple(found["size"]) == ("acme", "size", "integer", "3", "7", "How large.")
    assert "hunter2" not in str(found) and "none of yours" not in str(found)


def test_capabilities_leave_nothing_behind(acme: None, tmp_path: Path) -> None:
    conf = _conf(tmp_path, "")
    each = _report(conf, "virt", "acme")
    assert report.capabilities(each, conf, tmp_path / "state")["console_output"].on
    assert not (tmp_path / "state").exists()
    assert len(each.cls.closed) == 1 and not each.cls.closed[0].setup.state_dir.exists()  # type: ignore[union-attr]
    own = tmp_path / "state" / "virt" / "acme"
    own.mkdir(parents=True)
    report.capabilities(each, conf, tmp_path / "state")
    assert (own / "seen").exists(), "it is asked about its own state where it has one"


def test_a_driver_that_cannot_describe_itself(acme: None, tmp_path: Path) -> None:
    conf = _conf(tmp_path, "[DEFAULT]\nvirt_driver = mute\n")
    with pytest.raises(errors.HypervisorUnavailable, match="'mute' of tenter-acme 0.3 cannot start: acmed does not"):
        report.capabilities(_report(conf, "virt", "mute"), conf, tmp_path)
    assert ["acmed does not answer" in sentence for sentence in _problems(conf, tmp_path)] == [True]


def _problems(conf: cfg.ConfigOpts, tmp_path: Path) -> list[str]:
    return report.problems(conf, {"DEFAULT": tmp_path / "state"})


def test_problems_are_those_of_what_is_enabled(acme: None, tmp_path: Path) -> None:
    text = "[DEFAULT]\nvirt_driver = acme\n[scheduler]\nextra_filters = Acme\n"
    assert _problems(_conf(tmp_path, text), tmp_path) == []
    assert not (tmp_path / "state").exists()
    text = "[DEFAULT]\nvirt_driver =\nimage_driver = lokal\n[scheduler]\nextra_filters = Lost, Acme\n[acme]\nsize = x\n"
    found = _problems(_conf(tmp_path, text), tmp_path)
    assert len(found) == 4
    for words, sentence in zip(("No virt driver is chosen", "Did you mean 'local'", "'Lost' of", "[acme] size"), found):
        assert words in sentence


def test_powers() -> None:
    from tenter_plugins.network.local.driver import LocalNetwork

    assert report.powers(LocalNetwork) == ["SupportsNetworkApi", "SupportsTeardown"]
