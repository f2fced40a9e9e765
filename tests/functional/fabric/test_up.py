"""The ``tenter`` command: what it says and how it ends, whatever it is given."""

from __future__ import annotations

import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.helpers.process import CONF, Up, command, kill_group, run


def _one_line(result: tuple[int, str, str], *words: str) -> None:
    code, _, err = result
    assert code == 1, err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err
    for word in ("tenter: ", *words):
        assert word in err


def test_up_serves_restarts_and_ends(up: Up) -> None:
    up.start()
    clouds = up.state_dir / "clouds.yaml"
    assert stat.S_IMODE(clouds.stat().st_mode) == 0o600
    password = clouds.read_text()
    assert password not in up.log.read_text()
    uuid = up.boot("kept", up.image())
    up.settled()
    code, out, _ = run("status", "--state-dir", up.state_dir)
    assert code == 0 and "up" in out and "1 active" in out
    _one_line(run(*up.args), "A 'tenter up'", str(up.process.pid), "--state-dir")
    assert up.stop(signal.SIGINT) == 0
    code, out, _ = run("status", "--state-dir", up.state_dir)
    assert code == 1 and "does not answer" in out
    up.start()
    assert up.servers() == {uuid: "ACTIVE"} and clouds.read_text() == password
    up.delete_all()
    began = time.monotonic()
    assert up.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    assert "Traceback" not in up.log.read_text()


def test_a_stop_does_not_wait_for_a_long_spawn(up: Up) -> None:
    up.conf_file.write_text(CONF + "[fake]\nspawn_delay = 300\n")
    image = up.start().image()
    uuid = up.boot("slow", image)
    time.sleep(0.5)
    began = time.monotonic()
    assert up.stop(signal.SIGTERM, 30) == 0
    assert time.monotonic() - began < 20
    up.conf_file.write_text(CONF)
    up.start()
    assert up.settled() == {uuid: "ACTIVE"}


def test_a_port_in_use(up: Up) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        up.port = other.getsockname()[1]
        _one_line(run(*up.args), f"Port {up.port}", "in use", "--port")


@pytest.mark.parametrize("driver", ["fkae", "nothing-like-it"])
def test_an_unknown_driver(up: Up, driver: str) -> None:
    _one_line(run(*up.args, "--driver", driver), driver, "fake")


@pytest.mark.parametrize("kind", ["network", "image", "identity"])
def test_an_unknown_driver_of_another_kind(up: Up, kind: str) -> None:
    up.conf_file.write_text(CONF.replace("host =", f"{kind}_driver = locla\nhost ="))
    _one_line(run(*up.args), f"No {kind} plugin is called 'locla'", "'local'")


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for bad in (file, file / "below", Path("/proc/nothing/here")):
        _one_line(run("up", "--driver", "fake", "--state-dir", bad), str(bad), "--state-dir")
    _one_line(run("status", "--state-dir", tmp_path / "none"), "no cloud", "tenter up")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[api]\nthreads = many\n", ("threads", "many")),
        ("[operations]\nlease = 0\n", ("lease",)),
        ("[api\nthreads = 3\n", ()),
        ("[fake]\nvcpus = minus\n", ("vcpus",)),
    ],
)
def test_a_bad_configuration(up: Up, text: str, words: tuple[str, ...]) -> None:
    up.conf_file.write_text(CONF + text)
    _one_line(run(*up.args), *words)


def test_a_bad_port_or_a_missing_file(tmp_path: Path) -> None:
    _one_line(run("up", "--driver", "fake", "--state-dir", tmp_path, "--port", 70000), "70000")
    _one_line(run("up", "--config-file", tmp_path / "none.conf"), "none.conf")


def test_a_database_of_a_newer_release(up: Up) -> None:
    import sqlite3

    up.start()
    assert up.stop() == 0
    with sqlite3.connect(up.state_dir / "cell1.sqlite") as db:
        db.execute("UPDATE alembic_version SET version_num = 'cell999'")
    db.close()
    _one_line(run(*up.args), "cell999", "release")


def test_help_version_and_sample() -> None:
    code, out, _ = run("--help")
    assert code == 0 and "examples:" in out
    for part in (("up", "--help"), ("config", "sample", "--help")):
        assert run(*part)[0] == 0
    code, out, err = run("version")
    assert code == 0 and "falcon" in out and err == ""
    code, out, err = run("config", "sample")
    assert code == 0 and "[scheduler]" in out and "#port = 8774" in out and err == ""
    assert "#host = this machine's name" in out
    assert run("nonsense")[0] == 2
    assert run()[0] == 2


def test_an_interrupt_before_it_is_up(up: Up) -> None:
    process = command(*up.args)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=30)
    finally:
        kill_group(process)
    assert process.returncode in (0, 130, -signal.SIGINT), err
