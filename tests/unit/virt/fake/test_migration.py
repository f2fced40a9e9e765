"""A crash in the middle of a fake live migration: the guest runs in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenter.contracts.virt import IncomingRequest, MigrateRequest, PowerState
from tenter_plugins.virt.fake import FakeDriver, migration
from tenter_plugins.virt.fake.guests import write
from tests.helpers.fake_guests import FakeWorld

New = Callable[..., Any]
Start = Callable[..., FakeDriver]


class TestCrash(FakeWorld):
    """Two hosts, each of which is started anew."""

    __test__ = True

    @pytest.mark.parametrize("arrived", [True, False])
    def test_the_guest_runs_in_one_place(
        self, start: Start, new: New, monkeypatch: pytest.MonkeyPatch, arrived: bool
    ) -> None:
        here, there = start(), start(host="b")
        request = new()
        guest = self.spawn(here, request)
        incoming = IncomingRequest(guest, request.name, request.hardware, request.network_info, "a")
        destination = there.prepare_incoming(incoming)

        def crash(path: Path, data: dict[str, Any]) -> None:
            if arrived:
                write(path, data)
            raise KeyboardInterrupt

        monkeypatch.setattr(migration, "write", crash)
        with pytest.raises(KeyboardInterrupt):
            here.migrate(MigrateRequest(guest, destination))
        here, there = start(), start(host="b")
        assert self.power(here, guest.uuid) is (PowerState.SHUTDOWN if arrived else PowerState.RUNNING)
        assert self.listed(there) == ({guest.uuid: PowerState.RUNNING} if arrived else {})
        if arrived:
            self.destroy(there, guest)
            assert self.power(start(), guest.uuid) is PowerState.SHUTDOWN, "it does not come back"
