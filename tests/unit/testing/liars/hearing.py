"""Notifiers, hook listeners and API extensions that lie."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tenter import errors
from tenter.contracts.api import ApiExtension, Route
from tenter.contracts.base import PluginSetup
from tenter.contracts.hooks import Deleted, HookListener, Spawned
from tenter.contracts.notifier import Notification, Notifier
from tenter.testing import NotifierConformance


class Lines(Notifier):
    """Appends a line to a file for each notification. Honest."""

    contract = "notifier 1.0"

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self.path = setup.state_dir / "sent"
        self.closed = False

    def notify(self, notification: Notification) -> None:
        if self.closed:
            raise errors.Unavailable("The notifier is closed.")
        self.write(json.dumps(asdict(notification)) + "\n")

    def write(self, text: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as exc:
            raise errors.Unavailable(f"{self.path} cannot be written.") from exc

    def close(self) -> None:
        self.closed = True


class LinesConformance(NotifierConformance):
    """The kit for such notifiers."""

    def arrived(self, notifier: Lines) -> list[Mapping[str, Any]]:
        text = notifier.path.read_text(encoding="utf-8") if notifier.path.exists() else ""
        return [json.loads(line) for line in text.split("\n") if line]

    def take_away(self, notifier: Lines) -> bool:
        notifier.path.mkdir()
        return True


class Buffers(Lines):
    """Keeps what it was told for later, and forgets it when it is closed."""

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self.waiting: list[str] = []

    def write(self, text: str) -> None:
        self.waiting.append(text)


class Twice(Lines):
    """Sends everything twice, to be sure."""

    def write(self, text: str) -> None:
        super().write(text)
        super().write(text)


class Narrow(Lines):
    """Sends only as much as fits."""

    def write(self, text: str) -> None:
        super().write(text if len(text) < 65536 else text.replace("x" * 1000, ""))


class Fresh(Lines):
    """Begins with an empty file."""

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self.path.write_text("")


class Piecemeal(Lines):
    """Writes a line in pieces."""

    def write(self, text: str) -> None:
        for start in range(0, len(text), 1000):
            super().write(text[start : start + 1000])
            time.sleep(0.0005)


class Deaf(Lines):
    """Takes what it is told after it was closed."""

    def close(self) -> None:
        pass


class Raw(Lines):
    """Lets through the error of its library."""

    def write(self, text: str) -> None:
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(text)


class Listener(HookListener):
    """Honest."""

    contract = "hooks 1.0"
    heard = 0

    def spawned(self, event: Spawned) -> None:
        self.heard += 1


class Misspelt(Listener):
    """Hears something that there is not."""

    def spawnd(self, event: Spawned) -> None:
        """Never called."""


class Named(Listener):
    """Believes that every server has a name."""

    def deleted(self, event: Deleted) -> None:
        self.last = event.name.upper()  # type: ignore[union-attr]


class Resource:
    """Answers."""

    def on_get(self, req: Any, resp: Any) -> None:
        resp.text = "here"


class Extension(ApiExtension):
    """Honest."""

    contract = "api 1.0"
    prefix = "acme"

    def routes(self) -> Sequence[Route]:
        return (Route("", Resource()), Route("/widgets/{widget_id}", Resource()))


class Silent(Extension):
    """Has a route at which nothing answers."""

    def routes(self) -> Sequence[Route]:
        return (Route("", object()),)


class Doubled(Extension):
    """Has one path for two resources."""

    def routes(self) -> Sequence[Route]:
        return (Route("/a", Resource()), Route("/a", Resource()))


class Wide(Extension):
    """Wants a prefix that is not its own."""

    prefix = "../servers"
