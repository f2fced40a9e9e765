"""A whole cloud in this process, as ``tenter up`` starts it, and what must always be true of it."""

from __future__ import annotations

import time
import uuid as uuidlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tenter.cli import embedded
from tenter.conf import new_conf
from tenter.contracts.image import Image, ShowRequest, UploadRequest
from tenter.contracts.network import CheckRequest, NetworkScope, RequestedNetwork
from tenter.operations import build
from tenter.operations.requests import Caller, CreateServers
from tenter.store import api_schema, cell_schema, claims, flavors, instances, operations, quota
from tenter_plugins.virt.fake import FakeDriver

PROJECT = "5d1f0a4c0c5e4c5f8d0d6a2b7f3e9c11"
CALLER = Caller(user_id="8a7c1e6b2d3f4a5b9c0d1e2f3a4b5c6d", project_id=PROJECT, request_id="req-test")
FAST: Mapping[str, Mapping[str, object]] = {
    "DEFAULT": {"host": "host-1", "virt_driver": "fake", "network_driver": "local"},
    "local_network": {"mode": "none"},
    "operations": {"poll_interval": 0.1, "lease": 60},
    "compute": {"power_sync_interval": 3600, "report_interval": 3600, "reserved_host_memory_mb": 0},
}


def write_conf(path: Path, sections: Mapping[str, Mapping[str, object]]) -> Path:
    """Write a configuration file of ``FAST`` with ``sections`` laid over it."""
    merged = {name: dict(values) for name, values in FAST.items()}
    for name, values in sections.items():
        merged.setdefault(name, {}).update(values)
    lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in values.items()) for name, values in merged.items()]
    path.write_text("\n".join(lines))
    return path


class Cloud:
    """One cloud on one state directory; ``restart`` is a new process on it."""

    def __init__(self, state_dir: Path, **sections: Mapping[str, object]) -> None:
        self.state_dir = state_dir
        state_dir.mkdir(exist_ok=True)
        self.sections: dict[str, Mapping[str, object]] = dict(sections)
        self._image: Image | None = None
        self.running = False

    def start(self) -> Cloud:
        """Start all services."""
        path = write_conf(self.state_dir / "test.conf", self.sections)
        self.conf = new_conf([str(path)], self.state_dir)
        self.embedded = embedded.start(self.conf)
        self.fabric = self.embedded.fabric
        self.requests = self.fabric.requests
        self.cell = self.fabric.cells.all()[0]
        self.running = True
        return self

    def stop(self, timeout: float = 5.0) -> None:
        """Stop in good order."""
        if self.running:
            self.running = False
            self.embedded.stop(timeout)

    def drop(self) -> None:
        """Let go of what a "killed" process held in this one: its threads end, its rows stay as they are."""
        self.running = False
        runners = [self.embedded.compute._runner, *self.embedded.conductor.runners.values()]
        self.embedded.compute._stopped.set()
        self.embedded.conductor._stopped.set()
        for runner in runners:
            with runner._bell:
                runner._stopping = True
                runner._bell.notify_all()
            runner._pool.shutdown(wait=True, cancel_futures=True)
        self.embedded.compute._guests.close()

    @property
    def virt(self) -> FakeDriver:
        """The fake driver of the running process."""
        driver = self.embedded.compute._virt
        assert isinstance(driver, FakeDriver)
        return driver

    def image(self, data: bytes = b"not really a disk") -> Image:
        """Return an active image, made at the first call."""
        if self._image is None:
            images: Any = self.embedded.image
            new = images.create(
                {"name": "tiny", "owner": PROJECT, "visibility": "public", "disk_format": "raw",
                 "container_format": "bare"}
            )  # fmt: skip
            images.upload(UploadRequest(new.id, [data], len(data)))
            self._image = images.show(ShowRequest(new.id))
        return self._image

    def create(self, name: str = "vm", nics: int = 1, flavor: str = "42", **values: Any) -> str:
        """Ask for one server and return its UUID."""
        networks = self.embedded.network.check(CheckRequest(PROJECT, None))
        assert len(networks) == 1
        wanted = CreateServers(
            name=name,
            flavor=flavors.get_flavor(self.fabric.api_db, flavor),
            image=values.pop("image", None) or self.image(),
            networks=tuple(RequestedNetwork(network_id=networks[0].network_id) for _ in range(nics)),
            **values,
        )
        return self.requests.create(CALLER, wanted).uuids[0]

    def row(self, uuid: str) -> dict[str, Any] | None:
        """Return what is known of a server, wherever it is; None if it is gone."""
        for _ in range(3):
            place = instances.place_of(self.fabric.api_db, uuid)
            if place is None:
                return None
            if place["state"] != instances.PLACED:
                return dict(place["record"])
            with self.cell.db.read() as connection:
                table = cell_schema.instances
                row = connection.execute(sa.select(table).where(table.c.uuid == uuid)).mappings().first()
            if row is not None:
                return dict(row)
        raise AssertionError(f"{uuid} has a place in the cell but no row")

    def wait(self, uuid: str, what: Callable[[dict[str, Any] | None], bool], timeout: float = 10.0) -> Any:
        """Wait until ``what`` is true of the server's row and return the row."""
        until = time.monotonic() + timeout
        while True:
            row = self.row(uuid)
            if what(row):
                return row
            if time.monotonic() > until:
                raise AssertionError(f"not reached within {timeout} s; row {_short(row)}, operations {self.open()}")
            time.sleep(0.01)

    def settled(self, uuid: str, timeout: float = 10.0) -> Any:
        """Wait until nothing is done to the server any more; return its row, None if it is gone."""
        self.wait(uuid, lambda row: row is None or row["task_state"] is None, timeout)
        self.idle(uuid, timeout)
        return self.row(uuid)

    def active(self, uuid: str, timeout: float = 10.0) -> Any:
        """Wait until the server is settled, which must be as ACTIVE; return its row."""
        row = self.settled(uuid, timeout)
        assert row is not None and row["vm_state"] == "active", _short(row)
        return row

    def delete(self, uuid: str, timeout: float = 10.0) -> None:
        """Delete the server and wait until it is gone."""
        self.requests.delete(CALLER, uuid)
        self.wait(uuid, lambda row: row is None, timeout)
        self.idle(uuid, timeout)

    def open(self, uuid: str | None = None) -> list[tuple[str, str, str, str, bool]]:
        """Return kind, step, state, owner and cancel flag of every operation that has not ended."""
        found = []
        for db, table in ((self.fabric.api_db, api_schema.operations), (self.cell.db, cell_schema.operations)):
            query = sa.select(table).where(table.c.state.in_(operations.OPEN))
            if uuid is not None:
                query = query.where(table.c.instance_uuid == uuid)
            with db.read() as connection:
                rows = connection.execute(query).mappings().all()
            found += [(r["kind"], r["step"], r["state"], r["owner"], r["cancel"]) for r in rows]
        return found

    def idle(self, uuid: str | None = None, timeout: float = 10.0) -> None:
        """Wait until no operation (of the server) is open."""
        until = time.monotonic() + timeout
        while left := self.open(uuid):
            assert time.monotonic() < until, f"still open: {left}"
            time.sleep(0.01)

    def wait_dead(self, moments: Any, timeout: float = 10.0) -> None:
        """Wait until the process "died", or everything ended before it came to that."""
        until = time.monotonic() + timeout
        while not moments.dead.is_set():
            try:
                if not self.open():
                    return
            except BaseException:
                assert moments.dead.is_set()
                return
            assert time.monotonic() < until, f"neither dead nor idle: {self.open()} {moments.passed}"
            time.sleep(0.01)

    def check(self) -> None:
        """Assert what must be true whenever nothing is being done."""
        assert self.open() == []
        left = self.leftovers()  # before what they hold: a host may be removing them meanwhile
        with self.cell.db.read() as connection:
            rows = {r["uuid"]: dict(r) for r in connection.execute(sa.select(cell_schema.instances)).mappings()}
            held = list(connection.execute(sa.select(cell_schema.claims)).mappings())
            used = {
                (r["provider_uuid"], r["resource_class"]): r["used"]
                for r in connection.execute(sa.select(cell_schema.inventories)).mappings()
            }
        with self.fabric.api_db.read() as connection:
            places = {
                r["instance_uuid"]: r["state"] for r in connection.execute(sa.select(api_schema.places)).mappings()
            }
            members = set(connection.execute(sa.select(api_schema.server_group_members.c.instance_uuid)).scalars())
        assert members <= set(places), "a member of a server group that is gone"
        assert {u for u, state in places.items() if state == instances.PLACED} == set(rows)
        assert instances.UNSCHEDULED not in places.values()
        sums: dict[tuple[str, str], int] = dict.fromkeys(used, 0)
        for claim in held:
            sums[claim["provider_uuid"], claim["resource_class"]] += claim["amount"]
        assert sums == used
        placed = {u: row for u, row in rows.items() if row["node_uuid"]}
        wanted = {
            (u, row["node_uuid"], rc, amount) for u, row in placed.items()
            for rc, amount in build.amounts(row["flavor"]).items()
        }  # fmt: skip
        assert {c["holder_uuid"] for c in held if c["holder_kind"] == claims.LEFTOVER} <= set(left)
        assert {
            (c["holder_uuid"], c["provider_uuid"], c["resource_class"], c["amount"])
            for c in held if c["holder_kind"] != claims.LEFTOVER
        } == wanted  # fmt: skip
        assert quota.recount(self.fabric.api_db) == []
        known = set(placed) | set(left.values())
        assert self.ports() <= known, "a port without an instance"
        assert self.guests() <= known, "a guest without an instance"
        lost = [u for u, row in rows.items() if row["vm_state"] == "active" and u not in self.guests()]
        assert lost == [], "an active instance without a guest"

    def leftovers(self) -> dict[str, str]:
        """Return what hosts have still to remove: the instance of each leftover."""
        with self.cell.db.read() as connection:
            rows = connection.execute(sa.select(cell_schema.leftovers.c.uuid, cell_schema.leftovers.c.instance_uuid))
            return {row.uuid: row.instance_uuid for row in rows}

    def reaped(self) -> None:
        """Wait until hosts have removed what was left on them."""
        until = time.monotonic() + 30
        while self.leftovers():
            assert time.monotonic() < until, "leftovers are not reaped"
            time.sleep(0.05)

    def ports(self) -> set[str]:
        """Return the instances that have ports."""
        network: Any = self.embedded.network
        return {port.device_id for port in network.list_ports(NetworkScope("", is_admin=True), {})}

    def guests(self) -> set[str]:
        """Return the guests there are on disk."""
        return {path.stem for path in (self.state_dir / "virt" / "fake" / "guests").glob("*.json")}

    def empty(self) -> None:
        """Assert that nothing at all is left."""
        self.check()
        assert self.guests() == set() and self.ports() == set()
        for db, table in (
            (self.fabric.api_db, api_schema.places), (self.cell.db, cell_schema.instances),
            (self.cell.db, cell_schema.claims),
        ):  # fmt: skip
            with db.read() as connection:
                assert connection.execute(sa.select(table)).all() == []


def any_uuid() -> str:
    """Return a UUID that nothing has."""
    return str(uuidlib.uuid4())


def _short(row: dict[str, Any] | None) -> object:
    if row is None:
        return None
    return {k: row[k] for k in ("vm_state", "task_state", "host", "fault", "operation_uuid")}
