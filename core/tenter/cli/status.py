"""``tenter status``: what runs on a state directory, read from the store (the cloud need not be up)."""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from tenter import errors
from tenter.bus import InProcessBus
from tenter.cli import config, state
from tenter.operations.fabric import Fabric, open_fabric
from tenter.store import cell_schema, hosts, operations


def run(args: argparse.Namespace) -> int:
    """Print whether the API answers, the hosts and what is being done; exit code 1 if the API does not answer."""
    conf = config.read(args)
    state_dir = Path(conf.state_dir)
    if not (state_dir / "api.sqlite").exists() and not conf.database.api_connection:
        raise errors.NotFound(f"There is no cloud in {state_dir}; 'tenter up --state-dir {state_dir}' makes one.")
    console = Console()
    url = _endpoint(state_dir)
    answers = url is not None and _answers(url)
    console.print(f"API {url or 'never started'}: {'up' if answers else 'does not answer'}")
    fabric = open_fabric(conf, InProcessBus())
    try:
        _print(console, fabric)
    finally:
        fabric.close()
    return 0 if answers else 1


def _endpoint(state_dir: Path) -> str | None:
    path = state_dir / state.ENDPOINT
    return path.read_text().strip() if path.exists() else None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/healthz", timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ok")
    except (OSError, urllib.error.URLError, ValueError, KeyError):
        return False


def _print(console: Console, fabric: Fabric) -> None:
    table = Table("host", "zone", "state", "VCPU used", "MEMORY_MB used", "DISK_GB used")
    doing = Table("operation", "instance", "step", "host", "attempt")
    instances: dict[str, int] = {}
    for cell in fabric.cells.all():
        for view in hosts.host_views(cell.db, fabric.conf.compute.service_down_time):
            used = [f"{r.used} of {r.capacity}" for r in (view.resources[c] for c in ("VCPU", "MEMORY_MB", "DISK_GB"))]
            condition = ("up" if view.up else "down") + ("" if view.enabled else ", disabled")
            table.add_row(view.node, view.zone, condition, *used)
        with cell.db.read() as connection:
            i, o = cell_schema.instances, cell_schema.operations
            by_state = sa.select(i.c.vm_state, sa.func.count()).group_by(i.c.vm_state)
            for state_name, count in connection.execute(by_state):
                instances[state_name] = instances.get(state_name, 0) + count
            for row in connection.execute(sa.select(o).where(o.c.state.in_(operations.OPEN)).limit(20)).mappings():
                doing.add_row(row["kind"], row["instance_uuid"], row["step"], row["host"] or "", str(row["attempt"]))
    console.print(table)
    console.print("Servers: " + (", ".join(f"{count} {name}" for name, count in sorted(instances.items())) or "none"))
    if doing.row_count:
        console.print(doing)
