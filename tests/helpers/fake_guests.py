"""How the conformance checks see the fake driver's guests from outside: by their files."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from tenter.contracts.virt import Hardware, PowerState, VirtDriver
from tenter.testing import VirtConformance
from tenter.testing.virt.world import VirtWorld
from tenter_plugins.virt.fake import FakeDriver
from tenter_plugins.virt.fake.guests import executed, halted


class FakeWorld(VirtWorld):
    """The kit's hooks and fixtures, for the fake driver and what is made of it; no checks."""

    __test__ = False
    plugin = FakeDriver
    patience = boot_seconds = 2.0
    cache = ("images/*",)

    def running(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit."""
        guest = self._file(driver, uuid)
        return guest is not None and guest["power"] in (PowerState.RUNNING, PowerState.PAUSED)

    def installed(self, driver: VirtDriver) -> list[str]:
        """See the kit."""
        daemon = getattr(driver, "daemon", None)
        return ["daemon"] if daemon is not None and daemon.exists() else []

    def incarnation(self, driver: VirtDriver, uuid: str) -> object:
        """See the kit."""
        return self._there(driver, uuid)["booted_ns"]

    def progress(self, driver: VirtDriver, uuid: str) -> Any:
        """See the kit."""
        return executed(self._there(driver, uuid))

    def root_data(self, driver: VirtDriver, uuid: str) -> object:
        """See the kit."""
        return (driver.setup.state_dir / "images" / self._there(driver, uuid)["image"]).read_bytes()

    def virtual_hardware(self, driver: VirtDriver, uuid: str) -> Hardware:
        """See the kit."""
        return Hardware(**self._there(driver, uuid)["hardware"])

    def told(self, driver: VirtDriver, uuid: str) -> Mapping[str, object]:
        """See the kit."""
        told = self._there(driver, uuid)["told"]
        return {**told, "user_data": base64.b64decode(told["user_data"])}

    def booted(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit."""
        return "booted" in self._there(driver, uuid)["console"]

    def end(self, driver: VirtDriver, uuid: str) -> bool:
        """See the kit."""
        assert isinstance(driver, FakeDriver)
        driver.files.change(uuid, lambda guest: halted(guest, PowerState.CRASHED, "crashed"))
        return True

    def _there(self, driver: VirtDriver, uuid: str) -> dict[str, Any]:
        guest = self._file(driver, uuid)
        assert guest is not None
        return guest

    def _file(self, driver: VirtDriver, uuid: str) -> dict[str, Any] | None:
        try:
            return dict(orjson.loads((driver.setup.state_dir / "guests" / f"{uuid}.json").read_bytes()))
        except FileNotFoundError:
            return None


class FakeGuests(FakeWorld, VirtConformance):
    """The whole kit."""

    __test__ = False
