"""A cloud of an API, conductors and computes in two cells, each a process that can die and come back."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tenter import errors, plugins
from tenter.cells import Cell, Cells
from tenter.compute.service import ComputeService
from tenter.conductor.service import ConductorService
from tenter.conf import new_conf
from tenter.contracts.base import Description
from tenter.contracts.image import DownloadRequest, Image, ImageDriver, ShowRequest
from tenter.contracts.network import CheckRequest, NetworkDriver, RequestedNetwork
from tenter.contracts.virt import VirtDriver
from tenter.operations.fabric import Fabric, add_cell, open_api_database
from tenter.operations.requests import CreateServers, Requests
from tenter.store import api_schema, cell_schema, flavors, instances, operations
from tenter.store.engine import Database, sqlite_url
from tests.helpers.cloud import PROJECT, write_conf
from tests.helpers.hosts import set_service
from tests.helpers.simulation.gates import Faults, GatedDatabase, GatedNetwork, Wire, WireBus, gate_virt
from tests.helpers.simulation.threads import OneByOne, simulated
from tests.helpers.simulation.world import Activity, Process, World

VCPUS = {"host-1": 4, "host-2": 4, "host-3": 4, "host-4": 3}
CELLS = {"cell1": ("host-1", "host-2", "host-3"), "cell2": ("host-4",)}
CONDUCTORS = ("conductor-1", "conductor-2")
LEASE, DOWN_TIME, DEADLINE = 10.0, 30.0, 300.0
SECTIONS: dict[str, dict[str, object]] = {
    "operations": {
        "lease": LEASE, "poll_interval": 2, "watch_interval": 6, "deadline": DEADLINE, "audit_interval": 0,
        "audit_grace": 60,
    },
    "compute": {
        "power_sync_interval": 10, "report_interval": 10, "service_down_time": DOWN_TIME, "guest_audit_interval": 60,
        "reserved_host_memory_mb": 0, "network_timeout": 60, "cpu_allocation_ratio": 1,
    },
    "fake": {"memory_mib": 16384, "disk_gib": 100},
}  # fmt: skip
DATA = b"not really a disk"
IMAGE = Image(
    id="22222222-2222-4222-8222-222222222222", name="tiny", owner=PROJECT, status="active", visibility="public",
    disk_format="raw", container_format="bare", size=len(DATA), created_at="2026-01-01T00:00:00Z",
    updated_at="2026-01-01T00:00:00Z", hash=("sha256", hashlib.sha256(DATA).hexdigest()),
)  # fmt: skip


class _Images(ImageDriver):
    """One image."""

    def __init__(self) -> None:
        """Nothing is kept."""

    def describe(self) -> Description:
        return Description("one")

    def show(self, request: ShowRequest) -> Image:
        return IMAGE

    def download(self, request: DownloadRequest) -> Iterator[bytes]:
        yield DATA


def _conf(directory: Path, name: str, shared: Path) -> Any:
    directory.mkdir(parents=True, exist_ok=True)
    merged: dict[str, dict[str, object]] = {section: dict(values) for section, values in SECTIONS.items()}
    merged["fake"]["vcpus"] = VCPUS.get(name, 1)
    merged["DEFAULT"] = {"host": name, "shared_dir": str(shared)}
    return new_conf([str(write_conf(directory / "test.conf", merged))], directory)


def make_template(directory: Path) -> Path:
    """Make the databases of a cloud that was never used; to be copied."""
    conf = _conf(directory, "template", directory)
    api_db = open_api_database(conf)
    for name in CELLS:
        add_cell(conf, api_db, name).db.close()
    api_db.close()
    plugins.load("network", "local", NetworkDriver, conf, directory).close()
    return directory


class _Surprises(logging.Handler):
    """Puts the core's log into the schedule, and errors that are none of its own among the surprises."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.say(f"    {self._world.current or 'main'}: {record.getMessage()}")
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, errors.TenterError):
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            line = f" ({where.tb_frame.f_code.co_filename}:{where.tb_lineno})" if where else ""
            self._world.surprise(f"{record.getMessage()}: {error!r}{line}")


class SimulatedCloud:
    """All of it. Used inside ``with``; ``chance`` decides who goes on."""

    def __init__(self, template: Path, directory: Path, seed: int, chance: random.Random | None = None) -> None:
        shutil.copytree(template, directory)
        self.directory = directory
        self.world = World(chance or random.Random(seed))
        self.wire, self.faults = Wire(), Faults(self.world)
        self._seed, self._stack = seed, contextlib.ExitStack()
        self.processes: dict[str, Process] = {}
        self.services: dict[str, Any] = {}
        self.confs: dict[str, Any] = {}
        self.hosts = [host for of in CELLS.values() for host in of]

    def __enter__(self) -> SimulatedCloud:
        stack = self._stack
        handler, logger = _Surprises(self.world), logging.getLogger("tenter")
        level, propagate = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        stack.callback(logger.removeHandler, handler)
        stack.callback(logger.setLevel, level)
        stack.callback(setattr, logger, "propagate", propagate)
        self.api_db = self._open("api")
        stack.enter_context(simulated(self.world, self._seed))
        with self.api_db.read() as connection:
            rows = connection.execute(sa.select(api_schema.cells)).all()
        self.cells = [Cell(row.uuid, row.name, self._open(row.name)) for row in sorted(rows, key=lambda r: r.name)]
        conf = self.conf("shared")
        self.network: Any = plugins.load("network", "local", NetworkDriver, conf, self.directory)
        stack.callback(self.network.close)
        self.networks = self.network.check(CheckRequest(PROJECT, None))
        stack.callback(self.kill_all)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _open(self, name: str) -> Database:
        db = Database(sqlite_url(self.directory / f"{name}.sqlite"))
        self._stack.callback(db.close)
        return db

    def conf(self, name: str) -> Any:
        """Return the configuration of a process, read once."""
        if name not in self.confs:
            self.confs[name] = _conf(self.directory / name, name, self.directory)
        return self.confs[name]

    def _fabric(self, process: Process) -> Fabric:
        conf = self.conf(process.name)
        api_db = GatedDatabase(self.api_db, "api", process)
        mine = [Cell(cell.uuid, cell.name, GatedDatabase(cell.db, cell.name, process)) for cell in self.cells]
        cells, bus = Cells(api_db, mine, asking=OneByOne()), WireBus(self.wire, process)
        requests = Requests(conf, api_db, cells, bus)
        return Fabric(conf, self.directory / process.name, api_db, cells, bus, requests)

    def boot(self, name: str) -> None:
        """Start a process that is not there, on the state directory that it had."""
        assert name not in self.processes
        process = self.processes[name] = Process(self.world, name)
        self.world.processes.append(process)
        work = self._compute if name.startswith("host") else self._conductor
        if name == "api":
            self.services[name] = self._fabric(process).requests
        else:
            self.world.spawn(process, "boot", functools.partial(work, process))
        self.world.say(f"{name} is started")

    def _conductor(self, process: Process) -> None:
        network = GatedNetwork(self.network, process, None)
        service = ConductorService(self._fabric(process), self.world.surprise, network)  # type: ignore[arg-type]
        self.services[process.name] = service
        service.start()

    def _compute(self, process: Process) -> None:
        fabric = self._fabric(process)
        virt = plugins.load("virt", "fake", VirtDriver, fabric.conf, fabric.state_dir, process.name)
        gate_virt(virt, process, self.faults)
        network: Any = GatedNetwork(self.network, process, self.faults)
        cell = next(cell for cell in fabric.cells.all() if process.name in CELLS[cell.name])
        service = ComputeService(fabric, cell, virt, network, _Images(), self.world.surprise)
        self.services[process.name] = service
        service.start()

    def boot_all(self) -> None:
        """Start every process that is not there."""
        for name in ("api", *CONDUCTORS, *self.hosts):
            if name not in self.processes:
                self.boot(name)

    def kill(self, name: str) -> None:
        """End a process as kill -9 does."""
        process = self.processes.pop(name)
        self.services.pop(name, None)
        self.world.say(f"{name} is killed")
        self.world.kill(process)
        self.wire.messages = [message for message in self.wire.messages if not message.to.dead]

    def bury(self) -> list[str]:
        """Forget the processes that died by themselves; return their names."""
        died = [name for name, process in self.processes.items() if process.dead]
        for name in died:
            self.kill(name)
        return died

    def kill_all(self) -> None:
        """End everything."""
        for name in list(self.processes):
            self.kill(name)

    def stop(self, name: str, timeout: float) -> None:
        """Stop a process in good order (SIGTERM)."""
        process, service = self.processes[name], self.services.get(name)
        if service is None or name == "api":
            self.kill(name)
            return

        def work() -> None:
            service.stop(timeout)
            process.dead = True  # as os._exit at the end of the main thread

        self.world.say(f"{name} is told to stop")
        self.world.spawn(process, "stop", work)

    def ask(self, what: str, request: Callable[[Requests], Any], told: Callable[[Any], None]) -> Activity:
        """Send a request to the API; ``told`` gets the answer, or the refusal, unless the API dies."""
        requests, process = self.services["api"], self.processes["api"]

        def work() -> None:
            try:
                answer = request(requests)
            except errors.TenterError as exc:
                self.world.say(f"{what}: refused: {exc}")
                told(exc)
            else:
                self.world.say(f"{what}: accepted {getattr(answer, 'uuids', '')}")
                told(answer)

        return self.world.spawn(process, "request", work)

    def wanted(self, name: str) -> CreateServers:
        """Return a request for one server."""
        return CreateServers(
            name=name, flavor=self._flavor(), image=IMAGE,
            networks=tuple(RequestedNetwork(network_id=network.network_id) for network in self.networks),
        )  # fmt: skip

    @functools.cache  # noqa: B019
    def _flavor(self) -> Any:
        return flavors.get_flavor(self.api_db, "1")

    def servers(self) -> list[str]:
        """Return the UUIDs of the servers that clients can see, the oldest first."""
        table = api_schema.places
        with self.api_db.read() as connection:
            query = sa.select(table.c.instance_uuid).order_by(table.c.created_at, table.c.instance_uuid)
            return list(connection.execute(query).scalars())

    def declare(self, host: str, down: bool) -> None:
        """Say of a host that it is down, or no longer (an administrator's word)."""
        for cell in self.cells:
            set_service(cell.db, host, forced_down=down)
        self.world.say(f"{host} is declared {'down' if down else 'up'}")

    def _operations(self) -> list[tuple[str, Database, sa.Table]]:
        sources = [("api", self.api_db, api_schema.operations)]
        return sources + [(cell.name, cell.db, cell_schema.operations) for cell in self.cells]

    def doing(self, operation_uuid: str) -> str | None:
        """Return kind and step of an operation, None if there is none."""
        for _, db, table in reversed(self._operations() if operation_uuid else []):
            with db.read() as connection:
                row = connection.execute(sa.select(table).where(table.c.uuid == operation_uuid)).first()
            if row is not None:
                return f"{row.kind}.{row.step}"
        return None

    def unsettled(self) -> list[str]:
        """Return what is still being done."""
        found = []
        for name, db, table in self._operations():
            with db.read() as connection:
                for r in connection.execute(sa.select(table).where(table.c.state.in_(operations.OPEN))).mappings():
                    found.append(
                        f"{name}: {r['kind']} of {r['instance_uuid']} {r['state']} at {r['step']} on {r['host']}, "
                        f"attempt {r['attempt']}/{r['step_attempt']}, owner {r['owner']}, cancel {r['cancel']}"
                    )
        for cell in self.cells:
            with cell.db.read() as connection:
                table = cell_schema.leftovers
                for row in connection.execute(sa.select(table)):
                    found.append(f"{cell.name}: what {row.instance_uuid} left on {row.host}")
        with self.api_db.read() as connection:
            places = api_schema.places
            unscheduled = sa.select(places.c.instance_uuid).where(places.c.state == instances.UNSCHEDULED)
            found += [f"{uuid} is not scheduled" for uuid in connection.execute(unscheduled).scalars()]
        return found
