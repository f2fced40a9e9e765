"""Whatever a plugin raises, and however, is one sentence that names it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from tenter import errors, plugins
from tenter.conf import new_conf
from tenter.contracts.filter import HostFilter
from tenter.plugins import guard, report
from tests.unit.plugins.conftest import Install

GROUP = "tenter.scheduler.filters"
HEAD = """
import asyncio
import time
from oslo_config import cfg
from tenter import errors
from tenter.contracts.filter import ACCEPT, HostFilter

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("not even that")

class Filter(HostFilter):
    contract = "filter 1.0"

    def accepts(self, host, request):
        return ACCEPT

"""
MADE = "\nclass Broken(Filter):\n    def __init__(self, setup):\n        "
BROKEN = {
    "KeyboardInterrupt at import": "raise KeyboardInterrupt",
    "cancelled at import": "raise asyncio.CancelledError",
    "mute at import": "raise Mute",
    "no repr": "class Odd:\n    def __repr__(self):\n        raise Mute\nBroken = Odd()",
    "odd subclass": "class Meta(type(Filter)):\n    def __getattribute__(cls, name):\n        raise Mute\n"
                    "class Broken(Filter, metaclass=Meta):\n    pass",
    "KeyboardInterrupt": MADE + "raise KeyboardInterrupt",
    "odd details": MADE + "wrong = errors.Conflict('x'); wrong.details = {'self': 1}; raise wrong",
    "another class": "\nclass Broken(Filter):\n    def __new__(cls, setup):\n        return 5",
    "section": "\nclass Broken(Filter):\n    section = 5\n    options = [cfg.StrOpt('port')]",
    "DEFAULT": "\nclass Broken(Filter):\n    section = 'DEFAULT'\n    options = [cfg.StrOpt('state_dir')]",
}  # fmt: skip


def _load(conf: cfg.ConfigOpts, name: str = "broken") -> HostFilter:
    return plugins.load("filter", name, HostFilter, conf, Path(conf.state_dir))


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_any_fault_is_one_sentence_with_the_name(install: Install, conf: cfg.ConfigOpts, source: str) -> None:
    install("acme", {GROUP: {"broken": "acme_guarded:Broken"}}, {"acme_guarded.py": HEAD + source})
    with pytest.raises(errors.TenterError, match=r"^The filter plugin 'broken' of acme 1.0 [^\n]+\.$"):
        _load(conf)
    assert "broken" in {each.name for each in report.reports(conf, ["filter"])}
    assert plugins.load_all("filter", ["broken"], HostFilter, conf, Path(conf.state_dir)) == []


@pytest.mark.parametrize("metadata", [b"\xff\xfe\x80", b"Name: acme\nRequires-Dist: x; python_full_version ~= 'z'\n"])
def test_damaged_metadata_hide_no_import_error(install: Install, conf: cfg.ConfigOpts, tmp_path: Path,
                                               metadata: bytes) -> None:  # fmt: skip
    install("acme", {GROUP: {"broken": "acme_guarded:Broken"}}, {"acme_guarded.py": "raise ImportError('no bus')"})
    next(tmp_path.glob("installed/*/*.dist-info/METADATA")).write_bytes(metadata)
    with pytest.raises(errors.PluginBroken, match="'broken'.* cannot be imported: no bus"):
        _load(conf)


def test_options_that_clash_say_whose_they_are(install: Install, conf: cfg.ConfigOpts) -> None:
    one, two = (f"\nclass {name}(Filter):\n    section = 'acme'\n    options = [cfg.{kind}('x')]\n"
                for name, kind in (("One", "StrOpt"), ("Two", "IntOpt")))  # fmt: skip
    names = {"one": "acme_guarded:One", "two": "acme_guarded:Two"}
    install("acme", {GROUP: names}, {"acme_guarded.py": HEAD + one + two})
    _load(conf, "one")
    with pytest.raises(errors.PluginBroken, match=r"'two' .*\[acme\] x which the filter plugin 'one' of acme 1.0 has"):
        _load(conf, "two")


def test_a_slow_start_is_named(install: Install, conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch,
                               caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    monkeypatch.setattr(guard, "SLOW", 0.1)
    install("acme", {GROUP: {"broken": "acme_guarded:Broken"}}, {"acme_guarded.py": HEAD + MADE + "time.sleep(0.4)"})
    with caplog.at_level(logging.WARNING):
        _load(conf)
    assert "The filter plugin 'broken' of acme 1.0 has been starting for 0.1 s" in caplog.text


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Of a process that was begun in the background of a script, interrupts are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_really_came_is_no_fault_of_the_plugin(interruptible: None) -> None:
    with pytest.raises(KeyboardInterrupt), guard.guarded("It", "starting", lambda exc: AssertionError(exc)):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_secret_value_is_quoted_nowhere(install: Install, conf: cfg.ConfigOpts, tmp_path: Path) -> None:
    secret = "\nclass Secret(Filter):\n    section = 'sec'\n    options = [cfg.IntOpt('pin', secret=True)]"
    install("acme", {GROUP: {"secret": "acme_guarded:Secret"}}, {"acme_guarded.py": HEAD + secret})
    (tmp_path / "secret.conf").write_text("[sec]\npin = hunter2\n")
    with pytest.raises(errors.Invalid, match=r"'secret' of acme 1.0 .*\[sec\] pin: its value \(secret\)") as raised:
        _load(new_conf([str(tmp_path / "secret.conf")], tmp_path / "state"), "secret")
    assert "hunter2" not in str(raised.value)


def test_what_is_no_file_of_text_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "b")
    (tmp_path / "c").write_bytes(b"\xff\xfe\x80")
    (tmp_path / "d").symlink_to("d")
    (tmp_path / "e").write_text("[DEFAULT]\nvirt_driver = $nosuch\n")
    words = {"a": "regular", "b": "regular", "c": "UTF-8", "d": "symbolic links",
             "e": r"\[DEFAULT\] virt_driver: .*'\$'"}  # fmt: skip
    for name, word in words.items():
        with pytest.raises(cfg.Error, match=word):
            new_conf([str(tmp_path / name)], tmp_path / "state")
