"""The file notifier holds what the kit asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tenter.testing import NotifierConformance
from tenter_plugins.notifiers.file import FileNotifier


class TestFile(NotifierConformance):
    plugin = FileNotifier

    def arrived(self, notifier: FileNotifier) -> list[Mapping[str, Any]]:
        return [json.loads(line) for line in self.path(notifier).read_text(encoding="utf-8").split("\n") if line]

    def take_away(self, notifier: FileNotifier) -> bool:
        self.path(notifier).unlink()
        self.path(notifier).mkdir()
        return True

    @staticmethod
    def path(notifier: FileNotifier) -> Path:
        return notifier.setup.state_dir / "notifications.jsonl"
