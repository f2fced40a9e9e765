"""Configuration: defaults, files, overrides, and sentences for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from tenter.conf import list_opts, new_conf
from tenter.conf.fabric import default_state_dir
from tenter.conf.opts import problems

Environment = pytest.MonkeyPatch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tenter.conf"
    path.write_text("[api]\nport = 1234\n")
    return path


def test_files_overrides_and_defaults(file: Path) -> None:
    conf = new_conf([str(file)], "/somewhere", api__threads=3, virt_driver="fake", debug=None)
    assert (conf.api.port, conf.api.threads, conf.virt_driver, conf.state_dir) == (1234, 3, "fake", "/somewhere")
    assert new_conf([str(file)]).api.threads == 12
    assert cfg.CONF is not conf and "api" not in cfg.CONF


@pytest.mark.parametrize(
    ("text", "said"),
    [("[api]\nport = 99999\n", r"\[api\] port: "), ("[compute]\nworkers = 0\n", r"\[compute\] workers: "),
     ("[operations]\nlease = soon\n", r"\[operations\] lease: "),
     ('[pci]\nalias = {"name": "gpu"}\n', r"\[pci\] alias: Either vendor_id"),
     *((f"[hooks]\nbudget = {bad}\n", r"\[hooks\] budget: ") for bad in ("nan", "inf", "1e12", "0", ""))],
)  # fmt: skip
def test_a_value_that_is_not_allowed(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(cfg.Error, match=said):
        new_conf([str(file)])


def test_aliases_of_devices_add_up(file: Path) -> None:
    file.write_text('[pci]\nalias = {"name": "a", "resource_class": "VGPU"}\n'
                    'alias = {"name": "b", "vendor_id": "10de", "product_id": "1eb8"}\n')  # fmt: skip
    found = [(alias.name, alias.resource_class) for alias in new_conf([str(file)]).pci.alias]
    assert found == [("a", "VGPU"), ("b", "CUSTOM_PCI_10DE_1EB8")]


def test_an_override_that_is_not_allowed(file: Path) -> None:
    with pytest.raises(cfg.Error, match=r"\[api\] port = 70000: "):
        new_conf([str(file)], api__port=70000)


def test_the_environment_comes_before_files_and_after_the_command_line(file: Path, monkeypatch: Environment) -> None:
    monkeypatch.setenv("OS_DATABASE__API_CONNECTION", "postgresql://tenter:secret@db/api")
    monkeypatch.setenv("OS_API__PORT", "4321")
    monkeypatch.setenv("OS_DEFAULT__HOST", "here")
    conf = new_conf([str(file)])
    assert conf.database.api_connection == "postgresql://tenter:secret@db/api"
    assert (conf.api.port, conf.host) == (4321, "here")
    assert new_conf([str(file)], api__port=1).api.port == 1
    monkeypatch.setenv("OS_API__PORT", "many")
    with pytest.raises(cfg.Error, match=r"\[api\] port: "):
        new_conf([str(file)])


def test_problems_are_all_of_them(file: Path) -> None:
    file.write_text("[api]\nport = 99999\nthreads = none\n[compute]\nworkers = 0\n")
    found = problems(new_conf([str(file)], check=False))
    assert [sentence.partition(":")[0] for sentence in found] == ["[api] port", "[api] threads", "[compute] workers"]


def test_every_option_has_help_and_a_section_of_its_own() -> None:
    for section, options in list_opts():
        for option in options:
            assert option.help and option.help.strip().endswith("."), f"[{section}] {option.name}"
        assert len({option.name for option in options}) == len(options)


def test_the_state_directory_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    assert default_state_dir() == "/home/me/state/tenter"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_state_dir() == "/var/lib/tenter"
