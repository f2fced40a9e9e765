"""Comparing the guests on a host with what is recorded of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from tenter.contracts.virt import DestroyRequest, GuestRef, VirtDriver
from tenter.operations.findings import Finding
from tenter.store import leftovers
from tenter.store.cell_schema import compute_nodes, instances
from tenter.store.engine import Database
from tenter.store.instances import HAVE_GUESTS

LOG = logging.getLogger(__name__)
Busy = Callable[[str], bool]


def report(db: Database, service_uuid: str, virt: VirtDriver, busy: Busy, destroy: bool) -> list[Finding]:
    """Find what does not fit, log what was not found the last time, and keep it with the service's first node."""
    found = check(db, service_uuid, virt, busy, destroy)
    with db.write() as connection:
        mine = compute_nodes.c.service_uuid == service_uuid
        rows = connection.execute(
            sa.select(compute_nodes.c.uuid, compute_nodes.c.findings).where(mine).order_by(compute_nodes.c.uuid)
        ).all()
        if not rows:
            return found
        before = rows[0].findings or []
        kept = [finding.to_json() for finding in found if not finding.repaired]
        if kept != before:
            change = sa.update(compute_nodes).where(compute_nodes.c.uuid == rows[0].uuid)
            connection.execute(change.values(findings=kept))
    for finding in found:
        if finding.to_json() not in before:
            LOG.warning("%s: %s %s", finding.code, finding.sentence, finding.remedy)
    return found


def check(
    db: Database, service_uuid: str, virt: VirtDriver, busy: Busy = lambda uuid: False, destroy: bool = False
) -> list[Finding]:
    """Return what does not fit between the driver's guests and the records; destroy unknown guests if so told.

    Guests are listed before and after the records are read, so that one that comes or goes meanwhile is not reported.
    """
    before = {guest.uuid for guest in virt.guests()}
    hosts = {
        node: [row.uuid for row in _rows(db, node) if row.vm_state in HAVE_GUESTS and row.task_state is None]
        for node in _nodes(db, service_uuid)
    }
    known = _whereabouts(db, before)
    left = {row["instance_uuid"] for row in leftovers.of_service(db, service_uuid)}
    after = {guest.uuid for guest in virt.guests()}
    found = []
    for uuid in sorted((before & after) - left):
        if busy(uuid) or known.get(uuid, "") in hosts:
            continue
        found.append(_elsewhere(uuid) if uuid in known else _unknown(virt, uuid, destroy))
    for node, wanted in hosts.items():
        missing = [uuid for uuid in wanted if uuid not in before | after and not busy(uuid)]
        still = _whereabouts(db, missing)
        found += [_missing(uuid) for uuid in missing if still.get(uuid) == node]
    return found


def _nodes(db: Database, service_uuid: str) -> list[str]:
    query = sa.select(compute_nodes.c.uuid).where(compute_nodes.c.service_uuid == service_uuid)
    with db.read() as connection:
        return list(connection.execute(query).scalars())


def _rows(db: Database, node_uuid: str) -> Sequence[Any]:
    query = sa.select(instances.c.uuid, instances.c.vm_state, instances.c.task_state)
    with db.read() as connection:
        return connection.execute(query.where(instances.c.node_uuid == node_uuid)).all()


def _whereabouts(db: Database, uuids: Iterable[str]) -> dict[str, str | None]:
    """Return the node of each of the instances that the cell has."""
    query = sa.select(instances.c.uuid, instances.c.node_uuid)
    found: dict[str, str | None] = {}
    wanted = list(uuids)
    with db.read() as connection:
        for at in range(0, len(wanted), 500):
            some = query.where(instances.c.uuid.in_(wanted[at : at + 500]))
            found.update({row.uuid: row.node_uuid for row in connection.execute(some)})
    return found


def _unknown(virt: VirtDriver, uuid: str, destroy: bool) -> Finding:
    sentence = f"No server belongs to guest {uuid}."
    if not destroy:
        return Finding(
            "guest.unknown", uuid, sentence,
            "It is left alone; remove it with the hypervisor's tools, or set [compute] unknown_guests = destroy.",
        )  # fmt: skip
    try:
        virt.destroy(DestroyRequest(GuestRef(uuid)))
    except Exception as exc:
        return Finding("guest.unknown", uuid, sentence, f"It could not be destroyed: {exc}")
    return Finding("guest.unknown", uuid, sentence, "It was destroyed.", repaired=True)


def _elsewhere(uuid: str) -> Finding:
    return Finding(
        "guest.elsewhere", uuid, f"The server of guest {uuid} is recorded on another host, or on none.",
        "See on which host the server really is; the guest is left alone.",
    )  # fmt: skip


def _missing(uuid: str) -> Finding:
    return Finding(
        "guest.missing", uuid, f"The guest of server {uuid} is not on its host.",
        "Rebuild the server, which keeps its addresses, or delete it.",
    )  # fmt: skip
