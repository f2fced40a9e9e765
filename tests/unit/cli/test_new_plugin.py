"""``tenter plugin new``: what it writes, and what it refuses."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from tenter import errors
from tenter.cli import new_plugin
from tenter.cli.main import main
from tenter.contracts.filter import HostFilter, MaskFilter
from tenter.contracts.network import NetworkDriver
from tenter.contracts.weigher import ColumnWeigher, HostWeigher
from tenter.plugins.kinds import KINDS


def test_there_is_a_skeleton_of_every_kind_that_can_be_written() -> None:
    assert {*KINDS} - {*new_plugin.TEMPLATES} == {"volume"}, "volume has no kit yet"
    for kind, template in new_plugin.TEMPLATES.items():
        assert template.option in KINDS[kind].options


@pytest.mark.parametrize("kind", [*new_plugin.TEMPLATES, *new_plugin.FAST])
def test_every_skeleton_is_python_that_linters_like(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    if kind in new_plugin.FAST:
        target = new_plugin.write(new_plugin.FAST[kind][0], "acme-two", tmp_path, kind)
    else:
        target = new_plugin.write(kind, "acme-two", tmp_path)
    for path in target.rglob("*.py"):
        ast.parse(path.read_text())
    ruff = [sys.executable, "-m", "ruff"]
    chosen = ["--isolated", "--select", "E,F,I,B,UP,SIM,RET,C4,PIE,RUF"]
    for command in (["check", *chosen], ["format", "--isolated", "--check"]):
        run = subprocess.run([*ruff, *command, "."], cwd=target, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr


def test_a_skeleton_has_what_its_contract_asks_and_no_more(tmp_path: Path) -> None:
    target = new_plugin.write("network", "acme", tmp_path)
    (written,) = [node for node in ast.parse((target / "tenter_acme/driver.py").read_text()).body
                  if isinstance(node, ast.ClassDef)]  # fmt: skip
    methods = {node.name for node in written.body if isinstance(node, ast.FunctionDef)}
    assert methods == NetworkDriver.__abstractmethods__ and written.name == "AcmeNetwork"
    source = (target / "tenter_acme/driver.py").read_text()
    assert "def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:" in source
    assert '"""Return the instance\'s VIFs in the order asked' in source
    assert 'raise errors.CapabilityMissing("allocate() is not written yet")' in source


@pytest.mark.parametrize(
    ("kind", "chosen", "form"),
    [("filter", (), HostFilter), ("weigher", (), HostWeigher), ("filter", ("--mask",), MaskFilter),
     ("weigher", ("--column",), ColumnWeigher)],
)  # fmt: skip
def test_of_a_contract_with_several_forms_the_simple_one_is_written_unless_another_is_asked_for(
    kind: str, chosen: tuple[str, ...], form: type, tmp_path: Path
) -> None:
    assert main(["plugin", "new", kind, "acme", *chosen, "--directory", str(tmp_path)]) == 0
    source = (tmp_path / f"tenter-acme/tenter_acme/{kind}.py").read_text()
    (written,) = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert [ast.unparse(base) for base in written.bases] == [form.__name__]
    assert {node.name for node in written.body if isinstance(node, ast.FunctionDef)} == form.__abstractmethods__


def test_packaging_names_entry_point_options_and_drop_in(tmp_path: Path) -> None:
    target = new_plugin.write("virt", "acme", tmp_path)
    setup = configparser.ConfigParser()
    setup.read(target / "setup.cfg")
    points = setup["options.entry_points"]
    assert points["tenter.virt"].strip() == "acme = tenter_acme.driver:AcmeDriver"
    assert points["oslo.config.opts"].strip() == "tenter.acme = tenter_acme.options:list_opts"
    drop_in = (target / "50-acme.conf").read_text()
    assert "[DEFAULT]\nvirt_driver = acme\n" in drop_in
    test = (target / "tests/test_conformance.py").read_text()
    assert len([line for line in test.splitlines() if line]) == 4
    assert HostFilter.contract in (new_plugin.write("filter", "b", tmp_path) / "tenter_b/filter.py").read_text()


@pytest.mark.parametrize(
    ("kind", "forms", "told"),
    [("weigher", ("mask",), "--mask is for a new filter, not for a weigher"),
     ("filter", ("column",), "--column is for a new weigher, not for a filter"),
     ("virt", ("mask",), "--mask is for a new filter, not for a virt"),
     ("filter", ("mask", "column"), "--column is for a new weigher, not for a filter")],
)  # fmt: skip
def test_a_form_of_another_kind_is_refused(kind: str, forms: tuple[str, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match=told):
        new_plugin.write(kind, "acme", tmp_path, *forms)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "Acme", "acme_two", "-acme", "acme-", "a--b", "1acme", "a" * 41, "../acme", "é", "a b"]
)
def test_a_name_that_cannot_be_used_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="cannot be a plugin's name"):
        new_plugin.write("virt", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [("hook", "api", "its package tenter_api"), ("virt", "plugins", "its package tenter_plugins"),
     ("virt", "libvirt", "brings a virt plugin of this name"), ("notifier", "file", "brings a notifier plugin"),
     ("network", "default", r"section \[default\]"), ("virt", "quota", r"section \[quota\]"),
     ("image", "local-network", r"section \[local_network\]")],
)  # fmt: skip
def test_a_name_of_tenters_own_is_refused(kind: str, name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match=f"cannot be the plugin's name: .*{why}.*such as 'acme-{name}'"):
        new_plugin.write(kind, name, tmp_path)
    assert list(tmp_path.iterdir()) == []
    new_plugin.write(kind, f"acme-{name}", tmp_path)


def test_a_directory_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="cannot be written: File name too long"):
        new_plugin.write("virt", "acme", tmp_path / ("a" * 300))


def test_nothing_is_overwritten_and_nothing_half_made_is_left(tmp_path: Path) -> None:
    (tmp_path / "tenter-acme").mkdir()
    with pytest.raises(errors.Conflict, match="exists already"):
        new_plugin.write("virt", "acme", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.Invalid, match="cannot be written"):
        new_plugin.write("virt", "acme", tmp_path / "file")
    with pytest.raises(errors.Invalid, match="no skeleton for a 'virtual' plugin"):
        new_plugin.write("virtual", "acme", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "tenter-acme"]


def test_the_command_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "new", "virt", "acme", "--directory", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    for step in (f"cd {tmp_path}/tenter-acme", "pip install -e", "python -m pytest", "tenter up --driver acme"):
        assert step in told
    assert main(["plugin", "new", "virt", "acme", "--directory", str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("api", "extension"), ("hooks", "hook"), ("extensions", "extension"), ("Notifer", "notifier"), ("driver", "virt"),
     ("listeners", "hook")],
)  # fmt: skip
def test_a_kind_that_is_nearly_one_is_named(kind: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match=rf"Did you mean {meant}\? There are: virt, "):
        new_plugin.write(kind, "acme", tmp_path)
    with pytest.raises(errors.Invalid, match=r"plugin\. There are: virt, "):
        new_plugin.write("zzz", "acme", tmp_path)
