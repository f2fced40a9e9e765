"""A plugin that cannot be loaded breaks itself, with one sentence that says which distribution and what to do."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from tenter import errors, plugins
from tenter.conf import new_conf
from tenter.contracts.filter import Filter
from tenter.contracts.virt import VirtDriver
from tenter_plugins.virt.fake import FakeDriver
from tests.unit.plugins.conftest import Install

FILTERS = "tenter.scheduler.filters"
MODULE = """
    import sys
    from oslo_config import cfg
    from tenter import errors
    from tenter.contracts.filter import ACCEPT, Filter, HostFilter, MaskFilter
    from tenter.contracts.virt import VirtDriver

    class Undeclared(HostFilter):
        def accepts(self, host, request):
            return ACCEPT

    class Good(Undeclared):
        contract = "filter 1.0"
        section = "good"
        options = (cfg.IntOpt("size", default=3, help="Size."),)

    class Inherits(Good):
        pass

    class Newer(Good):
        contract = "filter 1.1"

    class Older(Good):
        contract = "filter 0.9"

    class Nonsense(Good):
        contract = "filter one"

    class Neither(Filter):
        contract = "filter 1.0"

    class Both(Good, MaskFilter):
        def mask(self, table, request):
            return ACCEPT

    class Unfinished(HostFilter):
        contract = "filter 1.0"

    class Raising(Good):
        def __init__(self, setup):
            raise RuntimeError("no such bus,\\nbut another")

    class Mute(Good):
        def __init__(self, setup):
            raise KeyError

    class Exiting(Good):
        def __init__(self, setup):
            sys.exit(3)

    class Away(Good):
        def __init__(self, setup):
            raise errors.Unavailable("The acme daemon does not answer.", port=7)

    class Clashing(Good):
        section = "api"
        options = (cfg.StrOpt("port"),)

    class Odd(Good):
        options = ("size",)

    VALUE = ACCEPT
"""


@pytest.fixture
def acme(install: Install) -> None:
    """The distribution acme, with a filter for each class above and entry points that are wrong otherwise."""
    classes = ("Undeclared", "Good", "Inherits", "Newer", "Older", "Nonsense", "Unfinished", "Raising", "Mute",
               "Neither", "Both", "Exiting", "Away", "Clashing", "Odd", "VALUE", "VirtDriver")  # fmt: skip
    values = {name: f"acme_filters:{name}" for name in classes}
    values |= {"Lost": "acme_lost:Thing", "Gone": "acme_filters:Gone", "Malformed": "acme filters",
               "Quits": "acme_quits:Thing", "Spoilt": "acme_spoilt:Thing", "Claims": "acme_claims:Thing"}  # fmt: skip
    sources = {"acme_filters.py": MODULE, "acme_quits.py": "raise SystemExit('bye')", "acme_spoilt.py": "def (",
               "acme_claims.py": "assert 1 > 2, 'never'"}  # fmt: skip
    install("acme", {FILTERS: values}, sources, version="2.5")


def _load(conf: cfg.ConfigOpts, name: str) -> Filter:
    return plugins.load("filter", name, Filter, conf, Path(conf.state_dir))


@pytest.mark.parametrize("name", ["Good", "Inherits"])
def test_a_good_one_has_its_options_and_a_directory_of_its_own(acme: None, conf: cfg.ConfigOpts, name: str) -> None:
    good = _load(conf, name)
    assert good.setup.conf.good.size == 3
    assert good.setup.state_dir.is_dir() and good.setup.state_dir.name == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Undeclared", ["does not say which contract", 'contract = "filter 1.0"']),
        ("Newer", ["'filter 1.1'", "'filter 1.0'", "Install a release of acme that fits"]),
        ("Older", ["'filter 0.9'"]),
        ("Nonsense", ["'filter one'"]),
        ("Unfinished", ["lacks what its contract asks for: accepts"]),
        ("Neither", ["cannot be used: it must be one of HostFilter and MaskFilter. Install a release of acme"]),
        ("Both", ["cannot be used: it must be one of HostFilter and MaskFilter."]),
        ("Raising", ["cannot start: no such bus, but another (RuntimeError)"]),
        ("Mute", ["cannot start: KeyError"]),
        ("Exiting", ["cannot start: 3 (SystemExit)"]),
        ("Clashing", ["options in section [api], which is Tenter's own"]),
        ("Odd", ["options that cannot be used: 'str' object"]),
        ("Lost", ["cannot be imported: No module named 'acme_lost'", "Install a"]),
        ("Gone", ["cannot be imported", "'Gone'"]),
        ("Malformed", ["'acme filters'", "module:Class"]),
        ("Quits", ["cannot be imported: bye (SystemExit)"]),
        ("Spoilt", ["cannot be imported", "SyntaxError"]),
        ("Claims", ["cannot be imported: never (AssertionError)"]),
        ("VirtDriver", ["tenter.contracts.virt.VirtDriver, which is no Filter"]),
        ("VALUE", ["Verdict(", "no Filter"]),
    ],
)
def test_a_broken_one_says_why_and_whose_it_is(acme: None, conf: cfg.ConfigOpts, name: str, words: list[str]) -> None:
    with pytest.raises(errors.PluginBroken) as raised:
        _load(conf, name)
    assert "\n" not in str(raised.value)
    for word in [f"The filter plugin '{name}' of acme 2.5 ", *words]:
        assert word in str(raised.value)


def test_what_a_constructor_says_in_our_words_keeps_its_class(acme: None, conf: cfg.ConfigOpts) -> None:
    with pytest.raises(errors.Unavailable, match="'Away' of acme 2.5 cannot start: The acme daemon") as raised:
        _load(conf, "Away")
    assert raised.value.details == {"port": 7}


def test_a_missing_library_is_named_with_what_brings_it(install: Install, conf: cfg.ConfigOpts) -> None:
    required = ["acme-sdk >= 2", "acme-fast; extra == 'fast'", "acme-other; extra == 'other'", "pluggy",
                "acme-old; python_version < '3'", "?!"]  # fmt: skip
    source = {"acme_needs.py": "import acme_sdk"}
    install("acme", {FILTERS: {"A": "acme_needs:A", "B": "acme_needs:B [fast]"}}, source, requires=required)
    with pytest.raises(errors.PluginBroken) as raised:
        _load(conf, "A")
    assert "No module named 'acme_sdk'" in str(raised.value)
    assert "needs acme-sdk, not installed: pip install 'acme-sdk', or take it out of [scheduler]" in str(raised.value)
    with pytest.raises(errors.PluginBroken, match=r"acme-sdk and acme-fast, .*: pip install 'acme-sdk' 'acme\[fast\]'"):
        _load(conf, "B")


def test_a_missing_library_that_is_declared_nowhere(install: Install, conf: cfg.ConfigOpts) -> None:
    install("acme", {"tenter.virt": {"acme": "acme_bare:A"}}, {"acme_bare.py": "import acme_sdk.v2"})
    with pytest.raises(errors.PluginBroken, match=r"Install the library that brings 'acme_sdk', or choose another"):
        plugins.load_class("virt", "acme", VirtDriver)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("fkae", "Did you mean 'fake'?"), ("FAKE", "Did you mean 'fake'?"), ("zzz", "Installed: fake, ")],
)
def test_an_unknown_name_says_what_is_near(asked: str, hint: str) -> None:
    with pytest.raises(errors.PluginBroken, match=f"No virt plugin is called '{asked}'") as raised:
        plugins.load_class("virt", asked, VirtDriver)
    assert hint in str(raised.value)
    assert "[DEFAULT] virt_driver" in str(raised.value)


@pytest.mark.parametrize("other", ["acme_filters:Newer", "acme_filters:Good"])
def test_two_of_one_name(acme: None, install: Install, conf: cfg.ConfigOpts, other: str) -> None:
    install("emca", {FILTERS: {"Good": other}})
    with pytest.raises(errors.PluginBroken, match="'Good' is there 2 times: emca 1.0 and acme 2.5 bring"):
        _load(conf, "Good")
    assert _load(conf, "Inherits")


def test_a_release_that_another_hides_does_not_count(acme: None, install: Install, conf: cfg.ConfigOpts) -> None:
    install("Acme", {FILTERS: {"Good": "acme_filters:Inherits"}}, version="3.0")
    assert type(_load(conf, "Good")).__name__ == "Inherits"
    assert "Newer" not in plugins.names("filter")


def test_a_damaged_distribution_hides_no_other(
    acme: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "damaged" / "damaged-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_bytes(b"[tenter.virt]\nx = \xff\xfe\n")
    monkeypatch.syspath_prepend(tmp_path / "damaged")
    assert "Good" in plugins.names("filter")
    assert [record.levelname for record in caplog.records if str(tmp_path / "damaged") in record.getMessage()]


def test_a_distribution_without_name(install: Install, conf: cfg.ConfigOpts, tmp_path: Path) -> None:
    install("acme", {FILTERS: {"Lost": "acme_lost:Lost"}})
    next((tmp_path / "installed").glob("*/*/METADATA")).unlink()
    with pytest.raises(errors.PluginBroken, match=r"'Lost' of a distribution without name in /.* cannot be imported"):
        _load(conf, "Lost")


def test_what_is_not_wanted_is_not_imported(acme: None, conf: cfg.ConfigOpts) -> None:
    assert "Quits" in plugins.names("filter")
    plugins.check_installed("filter", "Good")
    plugins.load_class("filter", "ComputeFilter", Filter)
    assert not [name for name in sys.modules if name.startswith("acme")]


def test_a_broken_extension_is_left_out(acme: None, conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture) -> None:
    wanted = ["Raising", "Unheard", "Good", "Newer", "Exiting", "Quits", "ComputeFilter"]
    with caplog.at_level(logging.ERROR, "tenter.plugins"):
        found = plugins.load_all("filter", wanted, Filter, conf, Path(conf.state_dir))
    assert [name for name, _ in found] == ["Good", "ComputeFilter"]
    assert len([record for record in caplog.records if record.name.startswith("tenter.plugins")]) == 5
    assert all(plugin.setup.host == conf.host for _, plugin in found)


def test_a_value_that_is_not_allowed(acme: None, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_shipped_plugin_loads_and_says_what_it_was_written_for(kind: str) -> None:
    for name in plugins.names(kind):
        plugins.load_class(kind, name, plugins.KINDS[kind].base())
