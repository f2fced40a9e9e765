import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tenter_webhook.notifier import WebhookNotifier

from tenter.testing import NotifierConformance


class TestWebhookNotifier(NotifierConformance):
    plugin = WebhookNotifier

    @pytest.fixture(autouse=True)
    def _bus(self):
        arrived = self.bodies = []

        class Bus(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                arrived.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Bus)
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        thread.start()
        type(self).options = {"url": f"http://127.0.0.1:{self.server.server_port}"}
        yield
        self.server.shutdown()
        self.server.server_close()
        thread.join()

    def arrived(self, notifier: WebhookNotifier) -> list:
        return list(self.bodies)

    def take_away(self, notifier: WebhookNotifier) -> bool:
        self.server.shutdown()
        self.server.server_close()
        return True
