"""Comparing what guests do with what is recorded: a guest that died shows as stopped, not as active."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from tenter.contracts.virt import PowerState, VirtDriver
from tenter.operations import moments
from tenter.operations.power import VM_STATES
from tenter.plugins.emitter import SILENT, Emitter
from tenter.store import instances
from tenter.store.cell_schema import instances as table
from tenter.store.engine import Database, now

LOG = logging.getLogger(__name__)


def sync(db: Database, host: str, virt: VirtDriver, hooks: Emitter = SILENT) -> int:
    """Write the power state of every instance on the host that nothing is being done to; return how many changed."""
    rows = instances.on_host(db, host)
    if not rows:
        return 0
    power = {guest.uuid: guest.power for guest in virt.guests()}
    changed = 0
    for row in rows:
        if row["task_state"] is not None or row["vm_state"] not in instances.HAVE_GUESTS:
            continue
        seen = power.get(row["uuid"], PowerState.NOSTATE)
        vm_state = VM_STATES.get(seen, "stopped" if seen == PowerState.NOSTATE else row["vm_state"])
        if (int(seen), vm_state) == (row["power_state"], row["vm_state"]):
            continue
        LOG.info("Instance %s is %s (was %s), by itself", row["uuid"], vm_state, row["vm_state"])
        with db.write() as connection:
            done = connection.execute(
                sa.update(table)
                .where(table.c.uuid == row["uuid"], table.c.task_state.is_(None), table.c.host == host)
                .values(power_state=int(seen), vm_state=vm_state, updated_at=now())
            ).rowcount
        changed += 1
        if done:
            moments.state_changed(hooks, row, None, vm_state, int(seen))
    return changed
