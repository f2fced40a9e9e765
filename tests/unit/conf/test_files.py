"""Which files are read, in which order, and what in them nobody reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from tenter.conf import files, new_conf
from tenter.conf.opts import known_options


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The directories of a user and of the machine that are looked into."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(files, "PLACES", ("~/.tenter", str(tmp_path / "etc")))
    return tmp_path / "home" / ".tenter", tmp_path / "etc"


def _write(directory: Path, **ports: int) -> None:
    """Write files that each set [api] port, by name with _ for /."""
    for name, port in ports.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".conf").write_text(f"[api]\nport = {port}\n")


def test_nothing_is_there(places: tuple[Path, Path]) -> None:
    assert new_conf().api.port == 8774


def test_drop_ins_come_after_the_file_in_the_order_of_their_names(places: tuple[Path, Path]) -> None:
    _, etc = places
    _write(etc, tenter=1)
    assert new_conf().api.port == 1
    _write(etc, conf__d__x=0)  # no directory of ours
    (etc / "conf.d").mkdir()
    _write(etc / "conf.d", **{"50-b": 3, "10-a": 2, ".99-hidden": 9})
    (etc / "conf.d" / "90-c.conf.dpkg-old").write_text("[api]\nport = 8\n")
    assert new_conf().api.port == 3
    (etc / "tenter.conf").unlink()
    assert new_conf().api.port == 3


def test_a_user_s_own_directory_is_read_instead(places: tuple[Path, Path]) -> None:
    own, etc = places
    _write(etc, tenter=1)
    (etc / "conf.d").mkdir()
    _write(etc / "conf.d", a=2)
    _write(own, tenter=5)
    assert new_conf().api.port == 5


def test_what_is_named_is_read_and_nothing_else(places: tuple[Path, Path], tmp_path: Path) -> None:
    _write(places[1], tenter=1)
    _write(tmp_path, **{"one": 11, "d/x": 13, "d/w": 12, "e/a": 14})
    one, d, e = str(tmp_path / "one.conf"), str(tmp_path / "d"), str(tmp_path / "e")
    assert new_conf([one]).api.port == 11
    assert new_conf([one], None, [d]).api.port == 13
    assert new_conf(None, None, [d, e]).api.port == 14
    assert new_conf(None, None, [e, d]).api.port == 13


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(cfg.Error, match="none cannot be read: No such file or directory"):
        new_conf(None, None, [str(tmp_path / "none")])
    with pytest.raises(cfg.Error, match=r"none\.conf"):
        new_conf([str(tmp_path / "none.conf")])
    (tmp_path / "directory.conf").mkdir()
    with pytest.raises((cfg.Error, OSError)):
        new_conf(None, None, [str(tmp_path)])


def test_what_adds_up_does_so_over_files(tmp_path: Path) -> None:
    for name in ("B", "A"):
        (tmp_path / f"{name}.conf").write_text(f"[scheduler]\nextra_filters = {name}\nextra_filters = {name}2\n")
    assert new_conf(None, None, [str(tmp_path)]).scheduler.extra_filters == ["A", "A2", "B", "B2"]


def _sentences(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "tenter.conf"
    file.write_text(text)
    conf = new_conf([str(file)], tmp_path)
    known = known_options(conf)
    found = files.find_unknown(conf.default_config_files, known)
    return [each.sentence(known).removeprefix(f"{file}: ") for each in found]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[compute]\nreserved_host_memory = 5\n",
         "[compute] reserved_host_memory is not known; did you mean reserved_host_memory_mb?"),
        ("[DEFAULT]\nlease = 5\n", "[DEFAULT] lease is not known; it belongs into [operations]."),
        ("[DEFAULT]\nzzz = 5\n", "[DEFAULT] zzz is not known."),
        ("[comptue]\nx = 1\n", "section [comptue] is not known; did you mean [compute]?"),
        ("[zzz]\nx = 1\n", "section [zzz] is not known; no plugin that is installed has it."),
    ],
)  # fmt: skip
def test_what_nobody_reads_is_named_with_what_is_near(tmp_path: Path, text: str, said: str) -> None:
    assert _sentences(tmp_path, text) == [said]


def test_what_is_known(tmp_path: Path) -> None:
    """Options of ours, of the log (former names too), of oslo.config; sections in any case; a source of values."""
    text = "[DEFAULT]\nhost = x\ndebug = true\nlogfile = x\nconfig_source = vault\n[API]\nport = 3\n"
    source = "[vault]\ndriver = remote_file\nuri = http://127.0.0.1:1/tenter.conf\n"
    assert _sentences(tmp_path, text + source) == []


def test_a_misspelt_variable_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OS_HOOKS__BUDGIT", "OS_HOOKS__BUDGET", "OS_DEFAULT__HOST", "OS_AUTH_URL", "OS_OTHERS__THING"):
        monkeypatch.setenv(name, "3")
    said = "OS_HOOKS__BUDGIT in the environment: [hooks] budgit is not known; did you mean budget?"
    assert _sentences(tmp_path, "") == [said]
