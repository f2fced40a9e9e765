"""The notifier plugin spool of Tenter."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

from tenter import errors
from tenter.contracts.base import PluginSetup
from tenter.contracts.notifier import Notification, Notifier


class SpoolNotifier(Notifier):
    """Each notification is a file of its own; whoever has dealt with it removes it."""

    contract = "notifier 1.0"

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self.spool = setup.state_dir / "spool"
        self.spool.mkdir(exist_ok=True)
        self._last = 0
        self._closed = False

    def notify(self, notification: Notification) -> None:
        """Write a file beside and rename it, so that nobody finds half of one."""
        if self._closed:
            raise errors.Unavailable("The notifier is closed.")
        self._last = max(self._last + 1, time.time_ns())  # the clock may stand still
        name = f"{self._last:020d}.{notification.message_id}"
        draft = self.spool / f".{name}"
        try:
            draft.write_text(json.dumps(asdict(notification)), encoding="utf-8")
            draft.rename(self.spool / f"{name}.json")
        except OSError as exc:
            words = f"{self.spool} cannot be written: {exc.strerror}."
            raise errors.Unavailable(words) from exc

    def close(self) -> None:
        """Take nothing more; nothing is on its way."""
        self._closed = True
