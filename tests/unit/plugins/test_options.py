"""Options of plugins: found without the plugin, in the sample, checked, from the environment."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from tenter import plugins
from tenter.conf import new_conf
from tenter.contracts.filter import HostFilter
from tenter.plugins.options import namespaces, unknown
from tests.unit.plugins.conftest import Install

OPTIONS = """
    from oslo_config import cfg

    OPTS = [cfg.IntOpt("size", default=3, help="Size."), cfg.StrOpt("key", secret=True, help="Key.")]

    def list_opts():
        return [("acme", OPTS)]
"""
FILTER = """
    import {library}
    from acme_options import OPTS
    from tenter.contracts.filter import ACCEPT, HostFilter

    class Acme(HostFilter):
        contract = "filter 1.0"
        section = "acme"
        options = OPTS

        def accepts(self, host, request):
            return ACCEPT
"""
FILTERS = {"tenter.scheduler.filters": {"Acme": "acme_filter:Acme"}}
LISTED = {"oslo.config.opts": {"tenter-acme": "acme_options:list_opts"}}


def _unknown(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "tenter.conf"
    file.write_text(text)
    return [sentence.removeprefix(f"{file}: ") for sentence in unknown(new_conf([str(file)], tmp_path))]


def _modules(library: str = "sys") -> dict[str, str]:
    return {"acme_options.py": OPTIONS, "acme_filter.py": FILTER.format(library=library)}


def test_a_section_of_a_plugin_that_is_not_enabled_is_known(install: Install, tmp_path: Path) -> None:
    install("acme", {**FILTERS, **LISTED}, _modules("no_such_library"))
    assert _unknown(tmp_path, "[acme]\nsize = 4\n[libvirt]\nmachine = q35\n") == []
    assert _unknown(tmp_path, "[acme]\nsice = 4\n") == ["[acme] sice is not known; did you mean size?"]
    assert "acme_filter" not in sys.modules


def test_one_that_lists_its_options_nowhere_is_known_once_it_is_enabled(install: Install, tmp_path: Path) -> None:
    install("acme", FILTERS, _modules())
    text = "[acme]\nsize = 4\n"
    assert _unknown(tmp_path, text) == ["section [acme] is not known; no plugin that is installed has it."]
    assert _unknown(tmp_path, text + "[scheduler]\nextra_filters = Acme\n") == []


def test_options_are_read_only_if_a_file_has_a_section_of_theirs(install: Install, tmp_path: Path) -> None:
    listed = {"oslo.config.opts": {"tenter-acme": "acme_never:list_opts"}}
    install("acme", {**FILTERS, **listed}, {"acme_never.py": "def list_opts(): return []"})
    assert _unknown(tmp_path, "[DEFAULT]\nhost = x\n[local_network]\nmtu = 1400\n") == []
    assert "acme_never" not in sys.modules


def test_options_that_cannot_be_read_hide_no_others(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = {"oslo.config.opts": {"tenter-acme": "acme_never:list_opts"}}
    install("acme", {**FILTERS, **listed}, {"acme_never.py": "raise SystemExit(4)"})
    with caplog.at_level(logging.WARNING):
        found = _unknown(tmp_path, "[acme]\nsize = 4\n[weighers]\ncpu_weight_multiplier = 2\n")
    assert found == ["section [acme] is not known; no plugin that is installed has it."]
    assert "acme 1.0 lists as 'tenter-acme' cannot be read: 4 (SystemExit)" in caplog.text
    assert "tenter-acme" not in namespaces() and "tenter.libvirt" in namespaces()


def test_a_plugin_s_option_from_the_environment(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conf: cfg.ConfigOpts
) -> None:
    install("acme", FILTERS, _modules())
    monkeypatch.setenv("OS_ACME__KEY", "from outside")
    found = plugins.load("filter", "Acme", HostFilter, conf, tmp_path)
    assert found.setup.conf.acme.key == "from outside"


def test_what_is_enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.conf").write_text("[scheduler]\nfilters = B, A\nextra_filters = C\nextra_filters = A,D\n")
    (tmp_path / "2.conf").write_text("[scheduler]\nextra_filters =\nextra_filters = E\nextra_weighers = W\n")
    conf = new_conf(None, tmp_path, [str(tmp_path)])
    assert plugins.enabled("filter", conf) == ["B", "A", "C", "D", "E"]
    assert plugins.enabled("weigher", conf)[-2:] == ["BuildFailureWeigher", "W"]
    assert (plugins.enabled("virt", conf), plugins.enabled("volume", conf)) == (["libvirt"], [])
    monkeypatch.setenv("OS_SCHEDULER__FILTERS", "X,Y")
    monkeypatch.setenv("OS_SCHEDULER__EXTRA_FILTERS", "Long, Name")
    assert plugins.enabled("filter", new_conf(None, tmp_path, [str(tmp_path)])) == ["X", "Y", "Long", "Name"]


def _tool(name: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", f"oslo_config.{name}", *args], capture_output=True, text=True)


def test_generator_and_validator_know_every_option(tmp_path: Path) -> None:
    """The sample with every option set to its default passes; one with an option that nobody reads does not."""
    spaces = [word for name in namespaces() for word in ("--namespace", name)]
    sample = tmp_path / "tenter.conf"
    done = _tool("generator", *spaces, "--output-file", str(sample))
    assert done.returncode == 0, done.stderr
    text = sample.read_text()
    sections = set(re.findall(r"^\[(\w+)\]$", text, re.MULTILINE))
    assert {"DEFAULT", "api", "scheduler", "libvirt", "fake", "local_network", "local_image", "local_identity",
            "weighers"} <= sections  # fmt: skip
    enabled = re.sub(r"^#(\w+ =)", r"\1", text, flags=re.MULTILINE)
    sample.write_text(enabled)
    assert enabled.count("\nmode = auto\n") == 1 and len(re.findall(r"^\w+ =", enabled, re.MULTILINE)) > 90
    done = _tool("validator", *spaces, "--input-file", str(sample))
    assert done.returncode == 0, done.stderr
    assert unknown(new_conf([str(sample)], tmp_path, check=False)) == []
    sample.write_text(enabled + "\n[weighers]\nno_such = 1\n")
    done = _tool("validator", *spaces, "--input-file", str(sample))
    assert done.returncode == 1 and "weighers/no_such" in done.stderr


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_option_of_a_shipped_plugin_is_listed_and_has_help(kind: str, tmp_path: Path) -> None:
    lines = []
    for name in plugins.names(kind):
        cls = plugins.load_class(kind, name, plugins.KINDS[kind].base())
        lines += [f"[{cls.section}]", *(f"{option.dest} = 1" for option in cls.options)] if cls.options else []
        assert all(option.help and option.help.endswith(".") for option in cls.options)
    assert _unknown(tmp_path, "\n".join(lines)) == []


@pytest.mark.parametrize("module", ["virt.libvirt.options", "network.local.options", "weighers.options", "virt.fake"])
def test_options_import_without_a_plugin_s_libraries(module: str) -> None:
    code = f"import sys, tenter_plugins.{module}; sys.exit(bool({{'libvirt', 'lxml', 'pycdlib'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
