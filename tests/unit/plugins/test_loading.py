"""A plugin that cannot be loaded breaks itself, with one sentence that says what to do."""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from stevedore import extension

from tenter import errors, plugins
from tenter.conf import new_conf
from tenter.contracts.base import PluginSetup
from tenter.contracts.filter import ACCEPT, HostFilter
from tenter.contracts.virt import VirtDriver
from tenter_plugins.virt.fake import FakeDriver

Add = Any


class Good(HostFilter):
    section = "good"
    options = (cfg.IntOpt("size", default=3),)

    def accepts(self, host: Any, request: Any) -> Any:
        return ACCEPT


class Newer(Good):
    contract = "filter 1.1"


class Older(Good):
    contract = "filter 0.9"


class Nonsense(Good):
    contract = "filter one"


class Raising(Good):
    def __init__(self, setup: PluginSetup) -> None:
        raise RuntimeError("no such bus")


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Make entry points of group ``tenter.scheduler.filters`` for this test."""
    module = types.ModuleType("tenter_test_plugins")
    module.__dict__.update({name: value for name, value in globals().items() if not name.startswith("__")})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    group = plugins.GROUPS["filter"]
    real = extension.ExtensionManager.list_entry_points
    mine: list[metadata.EntryPoint] = []

    def entry_points(self: Any) -> list[metadata.EntryPoint]:
        return [*real(self), *mine] if self.namespace == group else list(real(self))

    monkeypatch.setattr(extension.ExtensionManager, "list_entry_points", entry_points)
    yield lambda name, value: mine.append(metadata.EntryPoint(name, value, group))


@pytest.fixture
def conf(tmp_path: Path) -> cfg.ConfigOpts:
    (tmp_path / "empty.conf").touch()
    return new_conf([str(tmp_path / "empty.conf")], tmp_path)


def _load(conf: cfg.ConfigOpts, name: str) -> HostFilter:
    return plugins.load("filter", name, HostFilter, conf, Path(conf.state_dir))


def test_a_good_one_has_its_options_and_a_directory_of_its_own(add: Add, conf: cfg.ConfigOpts) -> None:
    add("Good", "tenter_test_plugins:Good")
    good = _load(conf, "Good")
    assert good.setup.conf.good.size == 3
    assert good.setup.state_dir.is_dir() and good.setup.state_dir.name == "Good"


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("Newer", ":Newer", ["'filter 1.1'", "'filter 1.0'", "install a release of it that fits"]),
        ("Older", ":Older", ["'filter 0.9'"]),
        ("Nonsense", ":Nonsense", ["'filter one'"]),
        ("Raising", ":Raising", ["cannot start: no such bus"]),
        ("Lost", "_nowhere:Thing", ["'Lost'", "cannot be imported", "No module named", "pip install"]),
        ("Gone", ":Gone", ["'Gone'", "cannot be imported"]),
        ("Wrong", ":FakeDriver", ["no HostFilter"]),
        ("Value", ":ACCEPT", ["no HostFilter"]),
    ],
)
def test_a_broken_one_says_why(add: Add, conf: cfg.ConfigOpts, name: str, target: str, words: list[str]) -> None:
    add(name, "tenter_test_plugins" + target)
    with pytest.raises(errors.PluginBroken) as raised:
        _load(conf, name)
    assert "\n" not in str(raised.value)
    for word in [name, *words]:
        assert word in str(raised.value)


@pytest.mark.parametrize(("asked", "hint"), [("fkae", "Did you mean 'fake'?"), ("zzz", "Installed: fake, ")])
def test_an_unknown_name_says_what_is_near(asked: str, hint: str) -> None:
    with pytest.raises(errors.PluginBroken, match=f"No virt plugin is called '{asked}'") as raised:
        plugins.load_class("virt", asked, VirtDriver)
    assert hint in str(raised.value)


def test_two_of_one_name(add: Add, conf: cfg.ConfigOpts) -> None:
    add("Good", "tenter_test_plugins:Good")
    add("Good", "tenter_test_plugins:Older")
    with pytest.raises(errors.PluginBroken, match="More than one filter plugin is called 'Good'"):
        _load(conf, "Good")


def test_a_broken_extension_is_left_out(add: Add, conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("Raising", "Newer", "Good"):
        add(name, f"tenter_test_plugins:{name}")
    wanted = ["Raising", "Unheard", "Good", "Newer", "ComputeFilter"]
    with caplog.at_level(logging.ERROR, "tenter.plugins"):
        found = plugins.load_all("filter", wanted, HostFilter, conf, Path(conf.state_dir))
    assert [name for name, _ in found] == ["Good", "ComputeFilter"]
    assert len([record for record in caplog.records if record.name == "tenter.plugins"]) == 3


def test_a_value_that_is_not_allowed(add: Add, tmp_path: Path) -> None:
    add("Good", "tenter_test_plugins:Good")
    path = tmp_path / "bad.conf"
    path.write_text("[good]\nsize = big\n")
    with pytest.raises(errors.Invalid, match=r"\[good\] size: "):
        _load(new_conf([str(path)], tmp_path), "Good")


@pytest.mark.parametrize(
    ("theirs", "ours", "fits"),
    [("virt 1.0", "virt 1.0", True), ("virt 1.0", "virt 1.4", True), ("virt 1.5", "virt 1.4", False),
     ("virt 2.0", "virt 1.4", False), ("image 1.0", "virt 1.0", False), ("", "virt 1.0", False)],
)  # fmt: skip
def test_compatible(theirs: str, ours: str, fits: bool) -> None:
    assert plugins.compatible(theirs, ours) is fits


def test_the_shipped_names_are_found() -> None:
    assert {"fake", "libvirt"} <= set(plugins.names("virt"))
    assert plugins.load_class("virt", "fake", VirtDriver) is FakeDriver
