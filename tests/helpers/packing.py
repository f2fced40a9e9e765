"""Packing a fleet until it is full: by one client, and by many in several processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tenter.store import migrate
from tenter.store.engine import Database, sqlite_url
from tests.helpers import claiming
from tests.helpers.fleet import Fleet

CLIENTS, PROCESSES = 64, 4
PACKING, TRIES = 0.95, 1.3
RATIOS = {"VCPU": 1.0, "MEMORY_MB": 1.0, "DISK_GB": 1.0}


def check(directory: Path, hosts: int, empty_cell: Callable[[], Database]) -> None:
    """Assert that many clients at once claim no more than there is, hardly less than one client does, and seldom in
    vain. ``empty_cell`` returns a cell database with its tables and nothing in them, each time."""
    api_db = Database(sqlite_url(directory / "api.sqlite"))
    migrate.upgrade(api_db, "api")
    came = {}
    for processes, clients in ((1, 1), (PROCESSES, CLIENTS)):
        db = empty_cell()
        Fleet(hosts, used=0.0, down=0.0, sizes=((16, 32_768, 400),), ratios=RATIOS).write(db)
        urls = [each.url.render_as_string(hide_password=False) for each in (api_db, db)]
        came[clients] = claiming.claim_in_processes(urls[0], urls[1], processes, clients)
        assert claiming.over_capacity(db) == []
        db.close()
    api_db.close()
    assert came[CLIENTS].memory >= PACKING * came[1].memory, came
    assert came[CLIENTS].tries < TRIES * came[CLIENTS].claims, came
