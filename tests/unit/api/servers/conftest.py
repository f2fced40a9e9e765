"""A Compute API over real (SQLite) databases, with stand-ins for what is beside them, and nobody who does the work."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import falcon.testing
import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.bus import InProcessBus
from tenter.cells import Cell, Cells
from tenter.cells.asking import Asking
from tenter.cells.reading import ServerReader
from tenter.conf.opts import new_conf
from tenter.contracts.api import ApiExtension
from tenter.contracts.identity import Identity, ValidateRequest
from tenter.contracts.image import Image, ShowRequest
from tenter.contracts.network import CheckRequest, RequestedNetwork
from tenter.operations.requests import Requests
from tenter.plugins.emitter import SILENT
from tenter.store import api_schema, cell_schema, flavors, keypairs
from tenter.store.engine import Database, now, sqlite_url
from tenter_api.app import create_app
from tenter_api.services import Services

CELL = "11111111-1111-4111-8111-111111111111"
IMAGE = "22222222-2222-4222-8222-222222222222"
NETWORK = "33333333-3333-4333-8333-333333333333"
PORT = "44444444-4444-4444-8444-444444444444"
PROJECT, OTHER_PROJECT = "a" * 32, "b" * 32
READER, MEMBER = frozenset({"reader"}), frozenset({"reader", "member"})
ADMIN = MEMBER | {"manager", "admin"}

AN_IMAGE = Image(
    id=IMAGE,
    name="tiny",
    owner=PROJECT,
    status="active",
    visibility="public",
    disk_format="qcow2",
    container_format="bare",
    size=1000,
    created_at="2026-01-01T00:00:00Z",
    updated_at="2026-01-01T00:00:00Z",
    hash=("sha256", "0" * 64),
    properties={"hw_disk_bus": "virtio", "our_own": "x", "os_distro": "debian"},
)


class FakeIdentity:
    """Tokens are names of callers."""

    def __init__(self) -> None:
        self.callers = {
            "admin": Identity("root", "root", PROJECT, "p", ADMIN),
            "member": Identity("ann", "ann", PROJECT, "p", MEMBER),
            "reader": Identity("rob", "rob", PROJECT, "p", READER),
            "stranger": Identity("sue", "sue", OTHER_PROJECT, "q", MEMBER),
            "unscoped": Identity("uma", "uma", None, None, MEMBER),
        }

    def validate(self, request: ValidateRequest) -> Identity:
        try:
            return self.callers[request.token]
        except KeyError:
            raise errors.Unauthorized("No such token.") from None


class FakeImages:
    def __init__(self) -> None:
        self.images = {IMAGE: AN_IMAGE}

    def add(self, **changes: Any) -> str:
        image = dataclasses.replace(AN_IMAGE, id=str(uuid.uuid4()), **changes)
        self.images[image.id] = image
        return image.id

    def show(self, request: ShowRequest) -> Image:
        try:
            return self.images[request.image_id]
        except KeyError:
            raise errors.NotFound(f"No image {request.image_id}.") from None


class FakeNetwork:
    """Knows one network and one port; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, int]] = []

    def check(self, request: CheckRequest) -> tuple[RequestedNetwork, ...]:
        networks = request.networks
        self.asked.append((request.project_id, networks, request.instances))
        if networks is None:
            return (RequestedNetwork(network_id=NETWORK),)
        for wanted in networks:
            if wanted.network_id not in (None, NETWORK) or wanted.port_id not in (None, PORT):
                raise errors.Invalid(f"Network {wanted.network_id or wanted.port_id} could not be found.")
        return tuple(networks)


class Api:
    """The application under test, and its databases."""

    def __init__(
        self,
        directory: Path,
        more_cells: Sequence[Cell] = (),
        asking: Asking | None = None,
        extensions: Sequence[tuple[str, ApiExtension]] = (),
    ) -> None:
        self.conf = new_conf([], state_dir=directory, api__max_instances_per_request=20)
        self.api_db = Database(sqlite_url(directory / "api.sqlite"))
        self.cell_db = Database(sqlite_url(directory / "cell.sqlite"))
        api_schema.metadata.create_all(self.api_db.engine)
        cell_schema.metadata.create_all(self.cell_db.engine)
        flavors.seed_flavors(self.api_db)
        keypairs.create_keypair(self.api_db, "ann", "mine", "ssh", "ssh-ed25519 AAAA", "ff:ff")
        cells = Cells(self.api_db, [Cell(CELL, "cell1", self.cell_db), *more_cells], asking=asking)
        self.images, self.network = FakeImages(), FakeNetwork()
        self.bus = InProcessBus()
        self.fabric = SimpleNamespace(
            conf=self.conf,
            api_db=self.api_db,
            cells=cells,
            bus=self.bus,
            requests=Requests(self.conf, self.api_db, cells, self.bus),
            hooks=SILENT,
            state_dir=directory,
        )
        self.reader = ServerReader(self.api_db, cells)
        services = Services(
            conf=self.conf,
            fabric=self.fabric,  # type: ignore[arg-type]
            identity=FakeIdentity(),  # type: ignore[arg-type]
            image=self.images,  # type: ignore[arg-type]
            network=self.network,  # type: ignore[arg-type]
            servers=self.reader,
            extensions=extensions,
        )
        self.client = falcon.testing.TestClient(create_app(services))

    def call(
        self, method: str, path: str, body: Any = None, who: str = "member", version: str = "2.104", **more: Any
    ) -> falcon.testing.Result:
        """Ask and return the answer; ``body`` may be bytes, to be sent as they are."""
        headers = {"X-Auth-Token": who, "OpenStack-API-Version": f"compute {version}", **more.pop("headers", {})}
        if body is not None:
            more["body"] = body if isinstance(body, bytes) else json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        return self.client.simulate_request(method, "/v2.1" + path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> falcon.testing.Result:
        return self.call("GET", path, **more)

    def create(self, **server: Any) -> dict[str, Any]:
        """Create a server as a member and return the answer."""
        body = {"name": "s", "flavorRef": "1", "imageRef": IMAGE, "networks": "none", **server}
        answer = self.call("POST", "/servers", {"server": body})
        assert answer.status_code == 202, answer.text
        return answer.json["server"]

    def place(self, uuid: str, cell: Cell | None = None, **values: Any) -> None:
        """Move a server that was created into a cell (default: the first), with ``values`` for its columns."""
        cell_uuid, db = (cell.uuid, cell.db) if cell else (CELL, self.cell_db)
        with self.api_db.write() as connection:
            table = api_schema.places
            row = connection.execute(sa.select(table).where(table.c.instance_uuid == uuid)).one()
            connection.execute(
                sa.update(table)
                .where(table.c.instance_uuid == uuid)
                .values(state="placed", cell_uuid=cell_uuid, record=None)
            )
        record = {**row.record, "host": "node1", "node": "node1.example", "task_state": None, "vm_state": "active",
                  "power_state": 1, "availability_zone": "nova", "launched_at": now(), **values}  # fmt: skip
        with db.write() as connection:
            connection.execute(sa.insert(cell_schema.instances), [record])

    def active(self, network_info: Any = None, values: dict[str, Any] | None = None, **server: Any) -> str:
        """Return the id of a new server that is active in the cell."""
        uuid = self.create(**server)["id"]
        self.place(uuid, network_info=network_info if network_info is not None else [a_vif()], **(values or {}))
        return uuid

    def counts(self) -> tuple[int, int, int]:
        """Return how many places, operations and instances there are."""
        with self.api_db.read() as api, self.cell_db.read() as cell:
            return (
                api.execute(sa.select(sa.func.count()).select_from(api_schema.places)).scalar_one(),
                api.execute(sa.select(sa.func.count()).select_from(api_schema.operations)).scalar_one(),
                cell.execute(sa.select(sa.func.count()).select_from(cell_schema.instances)).scalar_one(),
            )

    def _add_host(self) -> None:
        at = now()
        service = str(uuid.uuid4())
        with self.cell_db.write() as connection:
            connection.execute(
                sa.insert(cell_schema.services).values(
                    uuid=service, host="node1", binary="nova-compute", version=1, last_seen=at, created_at=at
                )
            )
            connection.execute(
                sa.insert(cell_schema.compute_nodes).values(
                    uuid=str(uuid.uuid4()), service_uuid=service, host="node1", hypervisor_hostname="node1.example",
                    hypervisor_type="fake", hypervisor_version=1, host_ip="127.0.0.1", availability_zone="nova",
                    cpu_info={}, traits=[], created_at=at,
                )
            )  # fmt: skip

    def reset(self) -> None:
        """Forget everything but the flavors and the key pair."""
        with self.api_db.write() as connection:
            for table in (
                api_schema.places, api_schema.operations, api_schema.quota_limits, api_schema.server_groups,
            ):  # fmt: skip
                connection.execute(sa.delete(table))
            used = api_schema.quota_usages
            connection.execute(sa.delete(used).where(used.c.owner_kind == "project"))
        with self.cell_db.write() as connection:
            for table in cell_schema.metadata.sorted_tables:
                connection.execute(sa.delete(table))
        self._add_host()
        self.images.images = {IMAGE: AN_IMAGE}
        self.network.asked.clear()

    def close(self) -> None:
        self.api_db.close()
        self.cell_db.close()


def a_vif(address: str = "10.0.0.5", label: str = "net") -> dict[str, Any]:
    """Return an interface as it is stored with an instance."""
    subnet = {"id": str(uuid.uuid4()), "cidr": "10.0.0.0/24", "gateway": "10.0.0.1", "dns": [], "dhcp": True}
    return {
        "id": PORT, "network_id": NETWORK, "network_label": label, "mac": "fa:16:3e:00:00:01", "type": "bridge",
        "fixed_ips": [{"address": address, "version": 6 if ":" in address else 4, "subnet": subnet}],
        "devname": "tap1", "mtu": 1500, "details": {},
    }  # fmt: skip


@pytest.fixture(scope="session")
def one_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Made once, for that takes longer than most tests."""
    found = Api(tmp_path_factory.mktemp("api"))
    yield found
    found.close()


@pytest.fixture
def api(one_api: Api) -> Api:
    """Return the application with no servers in it."""
    one_api.reset()
    return one_api
