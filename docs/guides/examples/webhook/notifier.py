"""The notifier plugin webhook of Tenter."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import asdict

from tenter_webhook.options import OPTS

from tenter import errors
from tenter.contracts.base import PluginSetup
from tenter.contracts.notifier import Notification, Notifier


class WebhookNotifier(Notifier):
    """Posts each notification to a URL, as JSON."""

    contract = "notifier 1.0"
    section = "webhook"
    options = OPTS

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._url = setup.conf.webhook.url
        self._closed = False

    def notify(self, notification: Notification) -> None:
        """Return when the other side has it."""
        if self._closed:
            raise errors.Unavailable("The notifier is closed.")
        body = json.dumps(asdict(notification)).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)
        try:
            urllib.request.urlopen(request, timeout=0.5).close()
        except OSError as exc:  # URLError and HTTPError are such, and so is a time-out
            raise errors.Unavailable(f"{self._url} took no notification: {exc}.") from exc

    def close(self) -> None:
        """Take nothing more; nothing is on its way."""
        self._closed = True
