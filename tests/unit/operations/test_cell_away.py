"""Builds while a cell is away: other cells take them, and nobody waits for it for long."""

from __future__ import annotations

import dataclasses
import time

import pytest

from tenter import errors
from tenter.cells.asking import Asking
from tenter.operations.fabric import add_cell, shared_dir
from tenter.store.engine import sqlite_url
from tests.helpers.cloud import CALLER, Cloud
from tests.helpers.databases import MoodyDatabase

TIMEOUT = 1.0


def with_second_cell(cloud: Cloud) -> MoodyDatabase:
    """Give the running cloud a second cell, without hosts; return its database."""
    made = add_cell(cloud.conf, cloud.fabric.api_db, "cell2")
    made.db.close()
    db = MoodyDatabase(sqlite_url(shared_dir(cloud.conf) / "cell2.sqlite"))
    cells = cloud.fabric.cells
    cells.asking = Asking(TIMEOUT, retry=60)
    cells._cells[made.uuid] = dataclasses.replace(made, db=db)
    return db


@pytest.mark.parametrize("trouble", ["away", "slow"])
def test_builds_go_to_the_other_cells(cloud: Cloud, trouble: str) -> None:
    second = with_second_cell(cloud)
    if trouble == "away":
        second.away = True
    else:
        second.hang()
    try:
        began = time.monotonic()
        made = [cloud.create(f"vm-{number}") for number in range(3)]
        for uuid in made:
            cloud.active(uuid, timeout=15)
        assert time.monotonic() - began < 15
        cloud.requests.delete(CALLER, made[0])
        assert cloud.settled(made[0]) is None
    finally:
        second.recover()


def test_a_server_in_the_cell_that_is_away_waits_unharmed(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    with_second_cell(cloud)
    cell, cells = cloud.cell, cloud.fabric.cells
    moody = MoodyDatabase(str(cell.db.url))
    cells._cells[cell.uuid] = dataclasses.replace(cell, db=moody)
    moody.away = True
    with pytest.raises(errors.Unavailable, match="Nothing is lost"):
        cloud.requests.stop(CALLER, uuid)
    moody.recover()
    cells.asking = Asking(TIMEOUT)
    assert cloud.row(uuid)["vm_state"] == "active"
    cloud.requests.delete(CALLER, uuid)
    assert cloud.settled(uuid) is None
    moody.close()
