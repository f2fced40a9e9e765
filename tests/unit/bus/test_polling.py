"""The bus between processes without a broker."""

from __future__ import annotations

import pytest

from tenter import errors
from tenter.bus import PollingBus


class _Endpoint:
    def console_output(self, lines: int) -> str:
        return f"{lines} lines"


def test_calls_reach_this_process_only() -> None:
    bus = PollingBus()
    bus.serve("here", _Endpoint())
    assert bus.call("here", "console_output", lines=3) == "3 lines"
    with pytest.raises(errors.Unavailable, match="'?elsewhere'? is served by another process.*console output"):
        bus.call("elsewhere", "console_output", lines=3)


def test_bells_reach_this_process_only() -> None:
    bus = PollingBus()
    heard: list[tuple[str | None, str | None]] = []
    bus.listen("compute", "here", lambda uuid, cell: heard.append((uuid, cell)))
    bus.ring("compute", "here", "u", "c")
    bus.ring("compute", "elsewhere", "v", "c")
    assert heard == [("u", "c")]
