"""What audits come to is kept in the API database, whoever makes them, for whoever asks for metrics."""

from __future__ import annotations

import threading
import time
import uuid as uuidlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.cli import main
from tenter.conductor.audit import Duty
from tenter.store import audits, cell_schema, claims
from tests.conftest import MakeCloud
from tests.helpers.cloud import Cloud

QUIET = {"audit_interval": 0, "watch_interval": 3600}


def _damage(cloud: Cloud) -> None:
    with cloud.cell.db.write() as connection:
        node = connection.execute(sa.select(cell_schema.compute_nodes.c.uuid)).scalar_one()
        claims.take(connection, str(uuidlib.uuid4()), {node: {"VCPU": 2}})


def _figures(cloud: Cloud, count: int) -> audits.AuditFigures:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        found = audits.figures(cloud.fabric.api_db)
        if found is not None and found.count >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {count} audits: {found}")


def _duty(cloud: Cloud, **options: Any) -> threading.Event:
    for name, value in options.items():
        cloud.conf.set_override(name, value, "operations")
    stopped = threading.Event()
    Duty(cloud.conf, cloud.fabric.api_db, cloud.fabric.cells, cloud.embedded.network, stopped).start()
    return stopped


def test_a_conductors_audits(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations=QUIET)
    _damage(cloud)
    stopped = _duty(cloud, audit_interval=0.1, audit_grace=0, audit_repair=False)
    found = _figures(cloud, 2)
    stopped.set()
    assert (dict(found.found), dict(found.repaired)) == ({"claim.no_holder": 1}, {})
    assert 0 < found.seconds < 10 and abs(found.ended_at - time.time()) < 20
    stopped = _duty(cloud, audit_repair=True)
    found = _figures(cloud, found.count + 3)
    stopped.set()
    assert (dict(found.found), dict(found.repaired)) == ({}, {"claim.no_holder": 1})


def test_an_audit_by_hand(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations=QUIET)
    _damage(cloud)
    argv = ["audit", "--state-dir", str(cloud.state_dir), "--config-file", str(cloud.state_dir / "test.conf")]
    assert main.main(argv) == 2
    assert dict(_figures(cloud, 1).found) == {"claim.no_holder": 1}
    assert main.main([*argv, "--repair"]) == 1
    found = _figures(cloud, 2)
    assert (dict(found.found), dict(found.repaired)) == ({}, {"claim.no_holder": 1})


def test_audits_that_end_at_once_are_all_counted(make_cloud: MakeCloud) -> None:
    db = make_cloud(operations=QUIET).fabric.api_db
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: audits.record(db, 0.1, {}, {"a": 2}), range(20)))
    found = audits.figures(db)
    assert found is not None and (found.count, dict(found.repaired)) == (20, {"a": 40})


def test_an_audit_counts_although_it_cannot_be_written_down(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud(operations=QUIET)
    _damage(cloud)

    def full(*args: object) -> None:
        raise errors.ResourceExhausted("The disk is full.")

    monkeypatch.setattr(audits, "record", full)
    argv = ["audit", "--state-dir", str(cloud.state_dir), "--config-file", str(cloud.state_dir / "test.conf")]
    assert main.main(argv) == 2
