"""``kill -9`` of the worker or of everything, while servers are being made."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import urllib.error

import pytest

from tests.helpers.process import CONF, Up

SERVERS = 20


def _boot_all(up: Up, image: str, accepted: list[str]) -> None:
    for number in range(SERVERS):
        try:
            accepted.append(up.boot(f"vm{number}", image))
        except (OSError, urllib.error.URLError, AssertionError):  # it is down just now
            time.sleep(0.1)


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_killed_while_servers_are_made(up: Up, seed: int) -> None:
    up.conf_file.write_text(CONF + "[fake]\nspawn_delay = 0.1\n")
    image = up.start().image()
    accepted: list[str] = []
    booting = threading.Thread(target=_boot_all, args=(up, image, accepted))
    booting.start()
    time.sleep(random.Random(seed).uniform(0.05, 0.6))
    up.kill()
    booting.join()
    up.start()
    found = up.settled()
    assert set(accepted) <= set(found), "a server that was answered 202 is lost"
    assert set(found.values()) <= {"ACTIVE"}, found
    up.boot("after", image)
    up.settled()
    up.delete_all()
    assert up.stop() == 0


def test_the_worker_killed_while_servers_are_made_and_deleted(up: Up) -> None:
    up.conf_file.write_text(CONF + "[fake]\nspawn_delay = 0.05\n")
    image = up.start().image()
    accepted: list[str] = []
    booting = threading.Thread(target=_boot_all, args=(up, image, accepted))
    booting.start()
    for _ in range(2):
        time.sleep(0.5)
        for pid in up.workers():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        up.ready()
    booting.join()
    found = up.settled()
    assert set(accepted) <= set(found)
    assert set(found.values()) <= {"ACTIVE"}, found
    for uuid in found:
        up.compute("DELETE", f"/servers/{uuid}")
    for pid in up.workers():
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    up.ready()
    up.delete_all()
    assert up.stop() == 0
