"""``tenter audit``: what does not fit, read from the databases (the cloud need not be up)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from pathlib import Path

from oslo_config import cfg

from tenter import errors
from tenter.bus import InProcessBus
from tenter.cells import Cell
from tenter.cli import config, embedded, state
from tenter.compute import guest_audit
from tenter.conductor.audit import Auditor, record
from tenter.conductor.audit_fabric import on_host
from tenter.contracts.network import InitHostRequest, NetworkDriver
from tenter.contracts.virt import HostSetup, VirtDriver
from tenter.operations.fabric import Fabric, has_api_database, open_fabric, shared_dir
from tenter.operations.findings import Finding
from tenter.operations.membership import service_uuid
from tenter.store import presence
from tenter.store.cell_schema import services

MOST_ROUNDS = 4
CLEAN, REPAIRED, LEFT, FAILED = 0, 1, 2, 3


def run(args: argparse.Namespace) -> int:
    """Print what does not fit; return 0 if all fits, 1 if all that did not was repaired, 2 if something is left, 3 if
    the audit could not be made."""
    try:
        found = _audit(config.read(args), args.repair)
    except errors.TenterError as exc:
        print(f"tenter: {exc}", file=sys.stderr)
        return FAILED
    if args.json:
        print(json.dumps([finding.to_json() for finding in found], indent=2))
    else:
        for finding in found:
            where = f" [{finding.cell}]" if finding.cell else ""
            print(f"{finding.code}{where}: {finding.sentence} {finding.remedy}")
        print(_summary(found))
    if not found:
        return CLEAN
    return REPAIRED if all(finding.repaired for finding in found) else LEFT


def _summary(found: list[Finding]) -> str:
    if not found:
        return "All fits."
    done = sum(finding.repaired for finding in found)
    return f"{len(found)} found, {done} repaired, {len(found) - done} left."


def _audit(conf: cfg.ConfigOpts, repair: bool) -> list[Finding]:
    if not has_api_database(conf):
        raise errors.NotFound(f"There is no cloud in {shared_dir(conf)}.")
    _choose_driver(conf)
    fabric = open_fabric(conf, InProcessBus(), embedded=False)
    network = embedded.load("network", NetworkDriver, conf, shared_dir(conf))
    try:
        cell = _cell_of(conf, fabric)
        guests = _guests(conf, cell, network, repair) if cell is not None else None
        unknown = {finding.subject for finding in guests or () if finding.code == "guest.unknown"}
        auditor = Auditor(conf, fabric.api_db, fabric.cells, network, guests=unknown)
        began = time.monotonic()
        found = _records(auditor, repair)
        record(fabric.api_db, began, found)
        if guests is None:
            return found
        # What this host's compute reported the last time is older than what was seen now.
        here = f"Host {conf.host}: "
        return guests + [f for f in found if not (f.code.startswith("guest.") and f.sentence.startswith(here))]
    finally:
        network.close()
        fabric.close()


def _choose_driver(conf: cfg.ConfigOpts) -> None:
    """Take the virt driver whose guests are here: ``tenter up --driver`` says it in no configuration file."""
    used = [path.name for path in (Path(conf.state_dir) / "virt").glob("*") if path.is_dir()]
    if len(used) == 1:
        conf.set_override("virt_driver", used[0])


def _records(auditor: Auditor, repair: bool) -> list[Finding]:
    """Audit until nothing more can be repaired: one thing set right may show another."""
    done: list[Finding] = []
    for _ in range(MOST_ROUNDS):
        found = auditor.run(repair)
        now_done = [finding for finding in found if finding.repaired]
        done += now_done
        if not now_done:
            break
    return done + [finding for finding in found if not finding.repaired]


def _cell_of(conf: cfg.ConfigOpts, fabric: Fabric) -> Cell | None:
    """Return the cell of the compute whose state directory this is, if there is one."""
    state_dir = Path(conf.state_dir).absolute()
    if not (state_dir / f"{presence.COMPUTE}.id").exists():
        return None
    uuid = service_uuid(state_dir, presence.COMPUTE)
    for cell in fabric.cells.all():
        try:
            if presence.look(cell.db, services, uuid) is not None:
                return cell
        except errors.Unavailable:
            continue
    return None


def _guests(conf: cfg.ConfigOpts, cell: Cell, network: NetworkDriver, repair: bool) -> list[Finding] | None:
    """Compare this host's guests with the records; None while its compute runs, which does it itself."""
    state_dir = Path(conf.state_dir).absolute()
    try:
        held = state.lock_role(state_dir, "compute")
    except errors.Conflict:
        return None
    destroy = repair and conf.compute.unknown_guests == "destroy"
    with closing(held):
        try:
            with closing(embedded.load("virt", VirtDriver, conf, state_dir)) as virt:
                wired = network.init_host(InitHostRequest(conf.host))
                virt.init_host(HostSetup(conf.host, wired.namespace, wired.mode))
                found = guest_audit.check(cell.db, service_uuid(state_dir, presence.COMPUTE), virt, destroy=destroy)
        except errors.TenterError as exc:
            unreadable = f"The guests on this host cannot be listed: {exc}"
            return [Finding("host.unreadable", conf.host, unreadable, "Mend it.")]
    return [on_host(finding, conf.host, cell) for finding in found]
