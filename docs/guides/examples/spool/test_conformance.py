import json
import shutil

from tenter_spool.notifier import SpoolNotifier

from tenter.testing import NotifierConformance


class TestSpoolNotifier(NotifierConformance):
    plugin = SpoolNotifier

    def arrived(self, notifier: SpoolNotifier) -> list:
        return [json.loads(path.read_text()) for path in sorted(notifier.spool.glob("*.json"))]

    def take_away(self, notifier: SpoolNotifier) -> bool:
        shutil.rmtree(notifier.spool)
        return True
