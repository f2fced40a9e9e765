"""What must be true when nothing is being done, read by SQL and from the fake drivers' files."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.chaos.fleet import CELLS, COMPUTES, Fleet
from tests.chaos.load import Promises

RUNNING, SHUTDOWN = 1, 4
MOST_TOLD = 5
"""Cases that are named of each broken invariant."""


def rows(path: Path, query: str, *values: object) -> list[dict[str, Any]]:
    """Return what a query finds in a SQLite file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, values)]


def unsettled(fleet: Fleet) -> list[str]:
    """Return the operations that are open, the servers something is being done to, and what is left on hosts."""
    found = []
    for name, path in fleet.databases().items():
        for row in rows(path, "SELECT * FROM operations WHERE state IN ('queued', 'running')"):
            found.append(
                f"{row['kind']} of {row['instance_uuid']} in {name}: {row['state']} at step {row['step']}, host "
                f"{row['host']}, attempt {row['attempt']}/{row['step_attempt']}, owner {row['owner']}"
            )
        if name != "api":
            for row in rows(path, "SELECT uuid, task_state FROM instances WHERE task_state IS NOT NULL"):
                found.append(f"server {row['uuid']} in {name}: task_state {row['task_state']}")
            for row in rows(path, "SELECT * FROM leftovers"):
                found.append(f"what {row['instance_uuid']} left on {row['host']} in {name}: not reaped")
    for row in rows(fleet.databases()["api"], "SELECT * FROM places WHERE state = 'unscheduled'"):
        found.append(f"server {row['instance_uuid']}: not scheduled")
    return found


def settle(fleet: Fleet, timeout: float) -> list[str]:
    """Wait until nothing is being done and return what still is after ``timeout`` seconds."""
    until = time.monotonic() + timeout
    while left := unsettled(fleet):
        if time.monotonic() > until:
            return left
        time.sleep(0.5)
    return []


class Check:
    """Looks at a cloud in which nothing is being done. ``broken`` has a sentence for each case, by invariant."""

    def __init__(self, fleet: Fleet) -> None:
        self.broken: dict[str, list[str]] = {}
        databases = fleet.databases()
        self._places = {row["instance_uuid"]: row for row in rows(databases["api"], "SELECT * FROM places")}
        self._cells = {row["name"]: row["uuid"] for row in rows(databases["api"], "SELECT * FROM cells")}
        self._instances: dict[str, dict[str, Any]] = {}
        self._twice: list[str] = []
        for name in CELLS:
            for row in rows(databases[name], "SELECT * FROM instances"):
                if row["uuid"] in self._instances:
                    self._twice.append(row["uuid"])
                self._instances[row["uuid"]] = {**row, "cell": name}
        self._claims = {name: rows(databases[name], "SELECT * FROM claims") for name in CELLS}
        self._inventories = {name: rows(databases[name], "SELECT * FROM inventories") for name in CELLS}
        self._guests = {name: _guests(fleet.directory / name) for name in COMPUTES}
        network = next((fleet.shared / "network").rglob("*.sqlite"))
        self._ports = Counter(row["device_id"] for row in rows(network, "SELECT device_id FROM ports"))

    def run(self, promises: Promises) -> dict[str, list[str]]:
        """Return what is broken."""
        checks = {
            "a server has one place, and a place one server": self._check_places(),
            "claims = used = flavors of placed servers": self._check_claims(),
            "guests = servers that should be there": self._check_guests(),
            "a port has a server, and a server its port": self._check_ports(),
            "what was deleted stays deleted, what was made is there": self._check_promises(promises),
        }
        return {name: found for name, found in checks.items() if found}

    def _check_places(self) -> list[str]:
        found = [f"{uuid} is in two cells" for uuid in self._twice]
        placed = {uuid: row for uuid, row in self._places.items() if row["state"] == "placed"}
        found += [f"{uuid} has a place and no row in a cell" for uuid in placed.keys() - self._instances.keys()]
        found += [f"{uuid} is in cell {self._instances[uuid]['cell']} without a place" for uuid in
                  self._instances.keys() - placed.keys()]  # fmt: skip
        for uuid in placed.keys() & self._instances.keys():
            if placed[uuid]["cell_uuid"] != self._cells[self._instances[uuid]["cell"]]:
                found.append(f"the place of {uuid} names another cell than it is in")
        return found

    def _check_claims(self) -> list[str]:
        found = []
        for name in CELLS:
            used = {(r["provider_uuid"], r["resource_class"]): r["used"] for r in self._inventories[name]}
            sums: Counter[tuple[str, str]] = Counter()
            held: dict[str, set[tuple[str, str, int]]] = defaultdict(set)
            for claim in self._claims[name]:
                sums[claim["provider_uuid"], claim["resource_class"]] += claim["amount"]
                held[claim["holder_uuid"]].add((claim["provider_uuid"], claim["resource_class"], claim["amount"]))
            found += [
                f"{name}: {provider} {resource}: used {amount}, claimed {sums[provider, resource]}"
                for (provider, resource), amount in used.items() if amount != sums[provider, resource]
            ]  # fmt: skip
            wanted = {uuid: _amounts(row) for uuid, row in self._instances.items() if row["cell"] == name}
            for uuid in held.keys() | {uuid for uuid, amounts in wanted.items() if amounts}:
                if held[uuid] != wanted.get(uuid, set()):
                    found.append(f"{name}: {uuid} claims {held[uuid]}, should claim {wanted.get(uuid)}")
        return found

    def _check_guests(self) -> list[str]:
        found = []
        for host, guests in self._guests.items():
            for uuid in guests:
                row = self._instances.get(uuid)
                if row is None or row["host"] != host:
                    where = "nowhere" if row is None else f"on {row['host']}"
                    found.append(f"{host} has a guest {uuid}, which should be {where}")
        for uuid, row in self._instances.items():
            guest = self._guests.get(row["host"], {}).get(uuid)
            wanted = {"active": RUNNING, "stopped": SHUTDOWN}.get(row["vm_state"])
            if wanted is not None and (guest is None or guest["power"] != wanted):
                power = "no guest" if guest is None else f"a guest with power {guest['power']}"
                found.append(f"{uuid} is {row['vm_state']}, and {row['host']} has {power}")
        return found

    def _check_ports(self) -> list[str]:
        found = [f"{count} ports of {uuid or 'nobody'}, which does not exist" for uuid, count in self._ports.items()
                 if uuid not in self._instances]  # fmt: skip
        for uuid, row in self._instances.items():
            wanted = 1 if row["host"] is not None else 0
            if row["vm_state"] in ("active", "stopped") and self._ports[uuid] != wanted:
                found.append(f"{uuid} is {row['vm_state']} and has {self._ports[uuid]} ports")
            if self._ports[uuid] > wanted:
                found.append(f"{uuid} is {row['vm_state']} on {row['host']} and has {self._ports[uuid]} ports")
        return found

    def _check_promises(self, promises: Promises) -> list[str]:
        there = self._places.keys() | self._instances.keys()
        found = [f"{uuid} was deleted and is there" for uuid in promises.deleted & there]
        return found + [f"{uuid} was made, never deleted, and is not there" for uuid in promises.alive - there]


def told(broken: dict[str, list[str]]) -> list[str]:
    """Return lines that name some cases of each invariant that is broken."""
    lines = []
    for name, cases in broken.items():
        lines.append(f"BROKEN: {name} ({len(cases)})")
        lines += [f"    {case}" for case in cases[:MOST_TOLD]]
    return lines


def _guests(state_dir: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_bytes()) for path in (state_dir / "virt/fake/guests").glob("*.json")}


def _amounts(row: dict[str, Any]) -> set[tuple[str, str, int]]:
    if row["node_uuid"] is None:
        return set()
    flavor = json.loads(row["flavor"])
    disk = flavor["root_gb"] + flavor["ephemeral_gb"] + -(-flavor["swap"] // 1024)
    wanted = {"VCPU": flavor["vcpus"], "MEMORY_MB": flavor["memory_mb"], "DISK_GB": disk}
    return {(row["node_uuid"], resource, amount) for resource, amount in wanted.items() if amount}


class Watch(threading.Thread):
    """Measures how long operations whose worker died wait for somebody else. ``longest`` in seconds since the last time
    that worker renewed its lease."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(daemon=True, name="watch")
        self._fleet = fleet
        self._ended = threading.Event()
        self._late: dict[tuple[str, str, str], float] = {}
        self.longest = 0.0
        self.recovered = 0

    def run(self) -> None:
        """Look twice a second until told to end."""
        while not self._ended.wait(0.5):
            try:
                self._look()
            except sqlite3.Error:  # locked by a process that is stopped just now
                continue

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self.join()

    def _look(self) -> None:
        at, late = time.time(), {}
        for name, path in self._fleet.databases().items():
            query = "SELECT uuid, owner, lease_until FROM operations WHERE state = 'running' AND lease_until < ?"
            for row in rows(path, query, at):
                late[name, row["uuid"], row["owner"]] = row["lease_until"] - self._fleet.lease
        for key, renewed in self._late.items():
            if key not in late:
                self.recovered += 1
                self.longest = max(self.longest, at - renewed)
        self._late = late


def ends(fleet: Fleet) -> dict[str, Counter[str]]:
    """Return how many operations ended how, by kind."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for path in fleet.databases().values():
        for row in rows(path, "SELECT kind, state, COUNT(*) AS n FROM operations GROUP BY kind, state"):
            found[row["kind"]][row["state"]] += row["n"]
    return found
