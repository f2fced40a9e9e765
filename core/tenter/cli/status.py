"""``tenter status``: what runs, measured: the API is asked, and everything else by its signs of life in the store."""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Column, Table

from tenter import errors
from tenter.bus import PollingBus
from tenter.cli import config, state
from tenter.operations.fabric import Fabric, has_api_database, open_fabric, shared_dir
from tenter.store import aggregates, api_schema, cell_schema, host_feed, instances, operations, presence
from tenter.store.engine import Database, now

MOST_OPERATIONS = 20


def run(args: argparse.Namespace) -> int:
    """Print whether the API answers, the services, the hosts and what is being done.

    Exit code 1 if the API does not answer, a cell cannot be reached, or an enabled service gives no sign of life.
    """
    conf = config.read(args)
    directory = shared_dir(conf)
    if not has_api_database(conf):
        raise errors.NotFound(f"There is no cloud in {directory}; 'tenter up --state-dir {directory}' makes one.")
    console = Console()
    url = _endpoint(directory)
    answers = url is not None and _answers(url)
    console.print(f"API {url or 'never started'}: {'up' if answers else 'does not answer'}")
    fabric = open_fabric(conf, PollingBus(), embedded=False)
    found = _Found()
    try:
        _look(fabric, found)
    finally:
        fabric.close()
    _print(console, found)
    return 0 if answers and not found.wrong else 1


@dataclass
class _Found:
    """What the databases say. ``wrong`` has a sentence for each thing that is not as it should be."""

    services: list[tuple[str, ...]] = field(default_factory=list)
    hosts: list[tuple[str, ...]] = field(default_factory=list)
    doing: list[tuple[str, ...]] = field(default_factory=list)
    servers: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def _endpoint(directory: Path) -> str | None:
    path = directory / state.ENDPOINT
    return path.read_text().strip() if path.exists() else None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/healthz", timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ok")
    except (OSError, urllib.error.URLError, ValueError, KeyError):
        return False


def _look(fabric: Fabric, found: _Found) -> None:
    down_after = fabric.conf.compute.service_down_time
    _services(fabric.api_db, api_schema.services, down_after, "", found)
    _operations(fabric.api_db, api_schema.operations, found)
    zones = aggregates.zones(fabric.api_db)
    lost = sa.select(sa.func.count()).where(api_schema.places.c.state == instances.LOST)
    with fabric.api_db.read() as connection:
        if count := connection.execute(lost).scalar_one():
            found.servers["error"] = count
    for cell in fabric.cells.all():
        try:
            _services(cell.db, cell_schema.services, down_after, cell.name, found)
            _operations(cell.db, cell_schema.operations, found)
            for node in sorted(host_feed.read_all(cell.db).hosts, key=lambda node: node.hypervisor_hostname):
                used = [f"{one.used} of {one.capacity}" for one in map(node.inventories.get, _SHOWN) if one is not None]
                up = not node.forced_down and node.last_seen >= now() - down_after
                condition = ("up" if up else "down") + (", disabled" if node.disabled else "")
                condition += f", failed {node.failed_builds} builds" if node.failed_builds else ""
                zone = zones.get(node.host, node.availability_zone)
                found.hosts.append((cell.name, node.hypervisor_hostname, zone, condition, *used))
            by_state = sa.select(cell_schema.instances.c.vm_state, sa.func.count())
            with cell.db.read() as connection:
                rows = connection.execute(by_state.group_by(cell_schema.instances.c.vm_state)).all()
            for name, count in rows:
                found.servers[name] = found.servers.get(name, 0) + count
        except errors.Unavailable as exc:
            found.wrong.append(str(exc))


_SHOWN = ("VCPU", "MEMORY_MB", "DISK_GB")


def _services(db: Database, table: sa.Table, down_after: float, cell: str, found: _Found) -> None:
    for binary, host, age, up, enabled in presence.alive(db, table, down_after):
        condition = ("up" if up else "down") + ("" if enabled else ", disabled")
        found.services.append((cell, binary, host, condition, f"{age:.1f} s ago"))
        if enabled and not up:
            found.wrong.append(f"{binary} {host} is down: its last sign of life was {age:.0f} s ago.")


def _operations(db: Database, table: sa.Table, found: _Found) -> None:
    query = sa.select(table).where(table.c.state.in_(operations.OPEN)).order_by(table.c.seq).limit(MOST_OPERATIONS)
    with db.read() as connection:
        rows = connection.execute(query).mappings().all()
    for row in rows:
        found.doing.append((row["kind"], row["instance_uuid"], row["step"], row["host"] or "", str(row["attempt"])))


def _print(console: Console, found: _Found) -> None:
    tables = (
        (("cell", "service", "host", "state", "last seen"), found.services),
        (("cell", "host", "zone", "state", "VCPU used", "MEMORY_MB used", "DISK_GB used"), found.hosts),
        (("operation", "instance", "step", "host", "attempt"), found.doing[:MOST_OPERATIONS]),
    )
    for heads, rows in tables:
        if rows:
            table = Table(*(Column(head, overflow="fold") for head in heads))
            for row in rows:
                table.add_row(*row)
            console.print(table)
    servers = ", ".join(f"{count} {name}" for name, count in sorted(found.servers.items()))
    console.print(f"Servers: {servers or 'none'}")
    for sentence in found.wrong:
        console.print(sentence, soft_wrap=True, highlight=False)
