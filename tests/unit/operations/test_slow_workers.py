"""Workers that live but are too slow: what docs/model/place.pml has found. Two threads must not undo each other."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.operations import build
from tenter.operations.model import COMPUTE, StepContext
from tenter.store import cell_schema, instances, operations
from tests.conftest import MakeCloud
from tests.helpers.cloud import Cloud
from tests.helpers.moments import Moments


def _let_leases_run_out(cloud: Cloud) -> None:
    with cloud.cell.db.write() as connection:
        connection.execute(sa.update(cell_schema.operations).values(lease_until=0.0))


def test_a_step_is_not_taken_over_by_the_process_that_still_runs_it(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    real, calls = cloud.virt.spawn, []

    def spawn(request: Any) -> Any:
        calls.append(request.uuid)
        if len(calls) > 1:
            return real(request)
        _let_leases_run_out(cloud)
        until = time.monotonic() + 1
        with cloud.cell.db.read() as connection:
            operation = connection.execute(sa.select(cell_schema.operations.c.uuid)).scalar()
        while len(calls) == 1 and time.monotonic() < until:
            cloud.fabric.bus.ring(COMPUTE, "host-1", operation, cloud.cell.uuid)
            time.sleep(0.02)
        raise errors.GuestFailed("The first thread was slow and cleans up now, whatever a second has made.")

    cloud.virt.spawn = spawn  # type: ignore[method-assign]
    uuid = cloud.create()
    assert cloud.settled(uuid)["vm_state"] == "error"
    assert calls == [uuid]
    cloud.check()
    cloud.delete(uuid)
    cloud.empty()


def test_a_place_that_a_slow_conductor_takes_is_not_left_without_its_instance(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    look, table, uuids = build._in_cell, cell_schema.operations, [""]

    def looks_and_is_overtaken(context: StepContext) -> bool:
        in_cell = look(context)
        with cloud.fabric.api_db.write() as connection:
            instances.swap_place(connection, uuids[0], cloud.cell.uuid)
        return in_cell

    def another_conductor_gives_the_build_up() -> None:
        """It has taken the row in the cell over, too late, before the first has come to the place."""
        _let_leases_run_out(cloud)
        with cloud.cell.db.read() as connection:
            row = connection.execute(sa.select(table.c.uuid, table.c.instance_uuid)).one()
        uuids[0] = row.instance_uuid
        operation = operations.claim(cloud.cell.db, table, row.uuid, "conductor", None, "another", 60)
        assert operation is not None and operation.step == "confirm"
        monkeypatch.setattr(build, "_in_cell", looks_and_is_overtaken)
        context = StepContext(
            operation=operation, db=cloud.cell.db, table=table, cells=cloud.fabric.cells, bus=cloud.fabric.bus,
            api_db=cloud.fabric.api_db, conf=cloud.conf, cancelled=lambda: False, cell_uuid=cloud.cell.uuid,
        )  # fmt: skip
        outcome = build.Build().on_error(context, "confirm", errors.Unavailable("It was not done in time."))
        with cloud.cell.db.write() as connection:
            if outcome.gone:
                operations.fenced(connection, table, operation)
            else:
                operations.fenced(connection, table, operation, **operations.ended(operation, outcome.state))
            outcome.apply(connection)

    moments = Moments(cloud, {2: another_conductor_gives_the_build_up})
    uuid = cloud.create()
    cloud.idle(uuid)
    assert uuids == [uuid], moments.passed
    place = instances.place_of(cloud.fabric.api_db, uuid)
    assert place is not None
    assert (place["state"] == instances.PLACED) == instances.exists(cloud.cell.db, uuid)
    cloud.delete(uuid)
    cloud.empty()
