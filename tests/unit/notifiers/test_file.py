"""The file notifier: whole lines, whoever else writes, and whatever happens to the file."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter import errors
from tenter.conf import new_conf
from tenter.contracts.base import PluginSetup
from tenter.contracts.notifier import Notification
from tenter_plugins.notifiers.file import FileNotifier

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)  # fmt: skip


def a_notification(number: int = 0, **payload: Any) -> Notification:
    return Notification(str(number), "server.spawned", "1.0", "host-1", "2026-01-31T12:00:00.000000Z", payload)


def notifier(directory: Path, path: str | None = None) -> FileNotifier:
    conf = new_conf([])
    conf.register_opts(list(FileNotifier.options), group=FileNotifier.section)
    if path:
        conf.set_override("path", path, FileNotifier.section)
    return FileNotifier(PluginSetup(conf, directory))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def test_a_line_each_in_its_own_directory(tmp_path: Path) -> None:
    file = notifier(tmp_path)
    file.notify(a_notification(1, name="a\nb\u2028c"))
    file.notify(a_notification(2))
    path = tmp_path / "notifications.jsonl"
    assert [line["message_id"] for line in lines(path)] == ["1", "2"]
    assert lines(path)[0]["payload"] == {"name": "a\nb\u2028c"}
    assert set(lines(path)[1]) == {"message_id", "event_type", "version", "publisher", "timestamp", "payload"}
    assert not stat.S_IMODE(path.stat().st_mode) & 0o007, "it names servers and projects"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.dictionaries(st.text(), JSON, max_size=4))
def test_any_payload_is_one_line(tmp_path: Path, payload: dict[str, Any]) -> None:
    file = notifier(tmp_path)
    path = tmp_path / "notifications.jsonl"
    before = path.stat().st_size
    file.notify(a_notification(0, given=payload))
    file.close()
    written = path.read_bytes()[before:]
    assert written.count(b"\n") == 1 and written.endswith(b"\n")
    assert json.loads(written)["payload"]["given"] == payload


def test_a_missing_directory_is_made_for_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "log" / "tenter" / "events"
    notifier(tmp_path, str(path)).notify(a_notification(1))
    assert [line["message_id"] for line in lines(path)] == ["1"]
    assert not stat.S_IMODE(path.parent.stat().st_mode) & 0o007


def test_a_path_that_cannot_be_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.Unavailable, match=r"^\S+/file/events cannot be written \(\[notifier_file\] path\): \w"):
        notifier(tmp_path, str(tmp_path / "file" / "events"))
    with pytest.raises(errors.Unavailable, match=r"\[notifier_file\] path\): Is a directory"):
        notifier(tmp_path, str(tmp_path))


def test_what_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text('{"old": 1}\n')
    notifier(tmp_path, str(path)).notify(a_notification())
    assert [set(line) == {"old"} for line in lines(path)] == [True, False]


@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_a_file_that_was_rotated_away_is_made_anew(tmp_path: Path, how: str) -> None:
    path, old = tmp_path / "events", tmp_path / "events.1"
    file = notifier(tmp_path, str(path))
    file.notify(a_notification(1))
    os.rename(path, old) if how == "renamed" else path.unlink()
    file.notify(a_notification(2))
    assert [line["message_id"] for line in lines(path)] == ["2"]
    if how == "renamed":
        assert [line["message_id"] for line in lines(old)] == ["1"]


def _write(directory: Path, path: Path, first: int) -> None:
    file = notifier(directory, str(path))
    for number in range(first, first + 300):
        file.notify(a_notification(number, filler="x" * (number % 7 * 1000)))


def test_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, path, first)) for first in (0, 1000, 2000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    numbers = [int(line["message_id"]) for line in lines(path)]
    for first in (0, 1000, 2000):
        assert [number for number in numbers if first <= number < first + 1000] == list(range(first, first + 300))


def test_a_full_disk_spoils_one_line_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, real = notifier(tmp_path), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:10]))
    with pytest.raises(errors.Unavailable, match="took only 10 of"):
        file.notify(a_notification(1))
    monkeypatch.undo()
    file.notify(a_notification(2))
    file.notify(a_notification(3))
    text = (tmp_path / "notifications.jsonl").read_text().splitlines()
    assert len(text) == 3 and [json.loads(line)["message_id"] for line in text[1:]] == ["2", "3"]



def test_it_can_be_closed_twice(tmp_path: Path) -> None:
    file = notifier(tmp_path)
    file.close()
    file.close()
