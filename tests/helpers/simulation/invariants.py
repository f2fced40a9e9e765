"""What must be true of a simulated cloud in which nothing is being done."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import sqlalchemy as sa

from tenter.conductor.audit import Auditor
from tenter.contracts.network import NetworkScope
from tenter.operations import build
from tenter.store import api_schema, cell_schema, instances, operations, quota
from tests.helpers.simulation.cloud import LEASE, SimulatedCloud
from tests.helpers.simulation.gates import GatedNetwork
from tests.helpers.simulation.world import Process

POWER = {"active": 1, "stopped": 4}
SLACK = 3 * LEASE
"""Seconds beyond its deadline after which an operation must have ended, if there is a conductor."""


class Promises:
    """What clients were told."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.deleted: set[str] = set()
        """Servers whose delete was accepted."""
        self.unsure: set[str] = set()
        """Servers whose delete was asked for and never answered."""
        self.names: dict[str, set[str]] = {}
        """What servers were renamed to: the last name that was accepted, and those asked for since."""


def broken(cloud: SimulatedCloud, promises: Promises, whole_since: float) -> list[str]:
    """Return a sentence for each invariant that does not hold. ``whole_since``: since when all processes were there."""
    facts = _Facts(cloud)
    return [
        *cloud.world.surprises, *facts.ends(whole_since), *facts.places(), *facts.claims(), *facts.guests(),
        *facts.ports(),
        *facts.promises(promises), *(f"quota: {difference}" for difference in quota.recount(cloud.api_db)),
        *_audited(cloud),
    ]  # fmt: skip


def left_over(cloud: SimulatedCloud) -> list[str]:
    """Return what is there of a cloud in which every server was deleted."""
    facts = _Facts(cloud)
    found = [f"place of {uuid}" for uuid in facts.place_rows] + [f"row of {uuid}" for uuid in facts.rows]
    found += [f"guest {uuid} on {host}" for host, guests in facts.found_guests.items() for uuid in guests]
    found += [f"port of {uuid}" for uuid in facts.found_ports]
    found += [f"claim of {claim['holder_uuid']}" for claim in facts.claim_rows]
    return [f"left when all was deleted: {what}" for what in found]


def _audited(cloud: SimulatedCloud) -> list[str]:
    for host in cloud.hosts:
        cloud.world.run(cloud.world.spawn(cloud.processes[host], "audit", cloud.services[host].audit))
    found: list[str] = []

    def audit() -> None:
        network: Any = GatedNetwork(cloud.network, process, None)
        fabric = cloud._fabric(process)
        for finding in Auditor(fabric.conf, fabric.api_db, fabric.cells, network).run(repair=False):
            found.append(f"audit: {finding.code} of {finding.subject}: {finding.sentence}")

    process: Process = cloud.processes["api"]
    cloud.world.run(cloud.world.spawn(process, "audit", audit))
    return found


class _Facts:
    """All rows, guests and ports, read once."""

    def __init__(self, cloud: SimulatedCloud) -> None:
        self._cloud = cloud
        self.place_rows = {row["instance_uuid"]: row for row in _rows(cloud.api_db, api_schema.places)}
        self.rows: dict[str, dict[str, Any]] = {}
        self.claim_rows: list[dict[str, Any]] = []
        self.inventories: list[dict[str, Any]] = []
        self.operation_rows = _rows(cloud.api_db, api_schema.operations)
        self.twice = []
        for cell in cloud.cells:
            for row in _rows(cell.db, cell_schema.instances):
                if row["uuid"] in self.rows:
                    self.twice.append(row["uuid"])
                self.rows[row["uuid"]] = {**row, "cell": cell.uuid}
            self.claim_rows += _rows(cell.db, cell_schema.claims)
            self.inventories += _rows(cell.db, cell_schema.inventories)
            self.operation_rows += _rows(cell.db, cell_schema.operations)
        self.found_guests = {host: _guests(cloud, host) for host in cloud.hosts}
        everybody = NetworkScope("", is_admin=True)
        self.found_ports = Counter(port.device_id for port in cloud.network.list_ports(everybody, {}))

    def ends(self, whole_since: float) -> list[str]:
        """Every operation has ended, and not long after its deadline."""
        found = []
        for row in self.operation_rows:
            what = f"{row['kind']} {row['uuid']} of {row['instance_uuid']}"
            if row["state"] in operations.OPEN:
                found.append(f"{what} is open at step {row['step']}")
            elif row["kind"] != "delete" and row["ended_at"] > max(row["deadline"], whole_since) + SLACK:
                found.append(f"{what} ended {row['ended_at'] - row['deadline']:.0f} s after its deadline")
            if row["state"] == operations.FAILED and not (row["error"] or {}).get("code"):
                found.append(f"{what} failed without a cause")
        return found

    def places(self) -> list[str]:
        """A server has one place, and a placed one a row in that cell only."""
        found = [f"{uuid} is in two cells" for uuid in self.twice]
        placed = {uuid for uuid, row in self.place_rows.items() if row["state"] == instances.PLACED}
        found += [f"{uuid} has a place and is in no cell" for uuid in placed - self.rows.keys()]
        found += [f"{uuid} is in a cell without a place" for uuid in self.rows.keys() - placed]
        for uuid in placed & self.rows.keys():
            if self.rows[uuid]["cell"] != self.place_rows[uuid]["cell_uuid"]:
                found.append(f"the place of {uuid} names another cell")
        for uuid, row in self.place_rows.items():
            if row["state"] == instances.UNSCHEDULED:
                found.append(f"{uuid} is not scheduled")
        for uuid, row in self.rows.items():
            if row["task_state"] is not None or row["vm_state"] == "building":
                found.append(f"{uuid} is stuck in {row['vm_state']}, {row['task_state']}")
            if row["vm_state"] == "error" and not row["fault"]:
                found.append(f"{uuid} is in error without a fault")
        return found

    def claims(self) -> list[str]:
        """What is used is what is claimed, and what is claimed is what live servers need. (No leftover is there.)"""
        sums: Counter[tuple[str, str]] = Counter()
        held = defaultdict(set)
        for claim in self.claim_rows:
            sums[claim["provider_uuid"], claim["resource_class"]] += claim["amount"]
            held[claim["holder_uuid"]].add((claim["provider_uuid"], claim["resource_class"], claim["amount"]))
        found = []
        for row in self.inventories:
            claimed = sums[row["provider_uuid"], row["resource_class"]]
            if row["used"] != claimed or row["used"] > row["capacity"]:
                found.append(f"{row['resource_class']} used {row['used']} of {row['capacity']}, claimed {claimed}")
        wanted = {
            uuid: {(row["node_uuid"], rc, n) for rc, n in build.amounts(row["flavor"]).items()}
            for uuid, row in self.rows.items() if row["node_uuid"]
        }  # fmt: skip
        for uuid in held.keys() | wanted.keys():
            if held.get(uuid) != wanted.get(uuid):
                found.append(f"{uuid} claims {held.get(uuid)}, should claim {wanted.get(uuid)}")
        return found

    def guests(self) -> list[str]:
        """The guests are those of servers on their hosts, in the state that is shown."""
        found = []
        for host, guests in self.found_guests.items():
            for uuid in guests:
                row = self.rows.get(uuid)
                if row is None or row["host"] != host:
                    found.append(f"{host} has a guest {uuid}, which is {'gone' if row is None else row['host']}")
        for uuid, row in self.rows.items():
            power = self.found_guests.get(row["host"], {}).get(uuid)
            wanted = POWER.get(row["vm_state"])
            if wanted is not None and power != wanted:
                found.append(f"{uuid} is {row['vm_state']} on {row['host']}, whose guest has power {power}")
        return found

    def ports(self) -> list[str]:
        """A port has a server, and a server with a guest its port."""
        found = [f"{n} ports of {uuid}, which is gone" for uuid, n in self.found_ports.items() if uuid not in self.rows]
        for uuid, row in self.rows.items():
            most = 1 if row["host"] else 0
            least = 1 if row["vm_state"] in POWER else 0
            if not least <= self.found_ports[uuid] <= most:
                found.append(f"{uuid} is {row['vm_state']} on {row['host']} with {self.found_ports[uuid]} ports")
        return found

    def promises(self, promises: Promises) -> list[str]:
        """What was deleted is gone, what was made and not deleted is there, under the name that it was given last."""
        there = self.place_rows.keys() | self.rows.keys()
        found = [f"{uuid} was deleted and is there" for uuid in promises.deleted & there]
        lost = promises.made - promises.deleted - promises.unsure - there
        found += [f"{uuid} was made, never deleted, and is not there" for uuid in lost]
        for uuid in promises.names.keys() & there:
            name = (self.rows.get(uuid) or self.place_rows[uuid]["record"])["display_name"]
            if name not in promises.names[uuid]:
                found.append(f"{uuid} is named {name}, not {' or '.join(sorted(promises.names[uuid]))}")
        return found


def _rows(db: Any, table: sa.Table) -> list[dict[str, Any]]:
    with db.read() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def _guests(cloud: SimulatedCloud, host: str) -> dict[str, int]:
    directory = cloud.directory / host / "virt" / "fake" / "guests"
    return {path.stem: json.loads(path.read_bytes())["power"] for path in directory.glob("*.json")}
