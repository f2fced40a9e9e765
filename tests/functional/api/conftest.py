"""The application in this process: real databases, the real local drivers, and Nova's schemas as the judge."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.testing
import jsonschema
import pytest
import sqlalchemy as sa

from tenter import conf as tenter_conf
from tenter import plugins
from tenter.bus import InProcessBus
from tenter.cells.reading import ServerReader
from tenter.contracts.identity import (
    Assignment,
    EntityQuery,
    IdentityDriver,
    Kind,
    SupportsIdentityApi,
)
from tenter.contracts.image import ImageDriver
from tenter.contracts.network import NetworkDriver
from tenter.operations.fabric import Fabric, open_fabric
from tenter.store import api_schema, cell_schema, flavors
from tenter.store.engine import Database, now
from tenter_api.app import create_app
from tenter_api.services import Services

SCHEMAS = Path(__file__).parents[2] / "data" / "nova-schemas"
MINORS = range(1, 105)


@functools.cache
def _schemas(name: str) -> list[tuple[int, Any]]:
    """Return Nova's schemas of one kind, newest first, with the minor version from which each holds."""
    found = json.loads((SCHEMAS / f"{name}.json").read_text())
    return sorted(
        (
            (int(version.partition(".")[2]), jsonschema.Draft202012Validator(schema))
            for version, schema in found.items()
        ),
        key=lambda pair: -pair[0],
    )


def nova_validator(name: str, minor: int) -> Any:
    """Return the validator of Nova's schema ``name`` at ``2.minor``."""
    return next(validator for since, validator in _schemas(name) if since <= minor)


class Client:
    """One caller of the API."""

    def __init__(self, app: Any, token: str | None, project_id: str, user_id: str) -> None:
        self._client = falcon.testing.TestClient(app)
        self.token = token
        self.project_id = project_id
        self.user_id = user_id

    def call(self, method: str, path: str, minor: int | None = None, **kwargs: Any) -> Any:
        headers = {"X-Auth-Token": self.token} if self.token else {}
        if minor is not None:
            headers["OpenStack-API-Version"] = f"compute 2.{minor}"
        headers |= kwargs.pop("headers", {})
        return self._client.simulate_request(method, path, headers=headers, **kwargs)

    def get(self, path: str, minor: int | None = None, schema: str | None = None, status: int = 200) -> Any:
        """Return the parsed answer, which must have that status and fit Nova's schema of that name."""
        result = self.call("GET", "/v2.1" + path, minor)
        assert result.status_code == status, result.text
        if schema is not None:
            nova_validator(schema, minor or 1).validate(result.json)
        return result.json

    def send(self, method: str, path: str, body: Any, minor: int | None = None, schema: str | None = None,
             status: int = 200) -> Any:  # fmt: skip
        """Like ``get`` for a request with a body (None: without)."""
        result = self.call(method, "/v2.1" + path, minor, **({} if body is None else {"json": body}))
        assert result.status_code == status, result.text
        if schema is not None:
            nova_validator(schema, minor or 1).validate(result.json)
        return result.json if result.content else None


class World:
    """A fabric with its API and three callers: ``admin``, ``member`` and ``reader`` of project demo."""

    def __init__(self, state_dir: Path) -> None:
        self.conf = tenter_conf.new_conf(state_dir=state_dir)
        self.fabric: Fabric = open_fabric(self.conf, InProcessBus())
        self.db: Database = self.fabric.api_db
        self.cell: Database = self.fabric.cells.all()[0].db
        self.drivers = [
            plugins.load(kind, "local", base, self.conf, state_dir)
            for kind, base in (
                ("identity", IdentityDriver),
                ("image", ImageDriver),
                ("network", NetworkDriver),
            )
        ]
        identity, image, network = self.drivers
        self.identity = identity
        self.services = Services(
            self.conf, self.fabric, identity, image, network, ServerReader(self.db, self.fabric.cells)
        )
        self.app = create_app(self.services)
        self.admin = self._admin()
        self.member = self._user("member", "demo")
        self.reader = self._user("reader", "demo")
        self.stranger = self._user("member", "other")
        self.nobody = Client(self.app, None, "", "")

    def _admin(self) -> Client:
        assert isinstance(self.identity, SupportsIdentityApi)
        made = self.identity.bootstrap()
        return self._login("admin", str(made.password), "admin")

    def _login(self, name: str, password: str, project: str) -> Client:
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": name, "domain": {"id": "default"}, "password": password}},
                },
                "scope": {"project": {"name": project, "domain": {"id": "default"}}},
            }
        }
        client = falcon.testing.TestClient(self.app)
        result = client.simulate_post("/identity/v3/auth/tokens", json=body)
        assert result.status_code == 201, result.text
        token = result.json["token"]
        return Client(self.app, result.headers["X-Subject-Token"], token["project"]["id"], token["user"]["id"])

    def _user(self, role: str, project: str) -> Client:
        api = self.identity
        name = f"{role}-{project}"
        found = [entity for entity in api.list(EntityQuery(Kind.PROJECT)) if entity.name == project]
        home = found[0] if found else api.create(Kind.PROJECT, {"name": project})
        user = api.create(Kind.USER, {"name": name, "password": "secret"})
        roles = {entity.name: entity for entity in api.list(EntityQuery(Kind.ROLE))}
        api.assign(Assignment(user_id=user.id, project_id=home.id, role_id=roles[role].id))
        return self._login(name, "secret", project)

    def add_host(self, host: str = "host1", **changes: Any) -> str:
        """Write a compute host with one node of 8 CPUs, 16 GiB and 100 GiB; return the node's UUID."""
        service, node, at = str(uuid.uuid4()), str(uuid.uuid4()), now()
        columns = {
            "disabled": False,
            "disabled_reason": None,
            "forced_down": False,
            "last_seen": at,
        } | changes
        with self.cell.write() as connection:
            connection.execute(
                sa.insert(cell_schema.services).values(
                    uuid=service, host=host, binary="tenter-compute", version=1, created_at=at, **columns
                )
            )
            connection.execute(
                sa.insert(cell_schema.compute_nodes).values(
                    uuid=node, service_uuid=service, host=host, hypervisor_hostname=f"{host}.example",
                    hypervisor_type="fake", hypervisor_version=1000, host_ip="192.0.2.1",
                    availability_zone="nova", cpu_info={"arch": "x86_64"}, traits=[], created_at=at,
                )
            )  # fmt: skip
            for name, total, reserved, used in (
                ("VCPU", 8, 0, 3), ("MEMORY_MB", 16384, 512, 1024), ("DISK_GB", 100, 0, 10)
            ):  # fmt: skip
                connection.execute(
                    sa.insert(cell_schema.inventories).values(
                        provider_uuid=node, resource_class=name, total=total, reserved=reserved, ratio=1.0,
                        capacity=total - reserved, used=used,
                    )
                )  # fmt: skip
        return node

    def add_conductor(self, host: str = "host1", **changes: Any) -> str:
        """Write a conductor; return its UUID."""
        key, at = str(uuid.uuid4()), now()
        values = {"uuid": key, "host": host, "binary": "tenter-conductor", "version": 1, "last_seen": at, **changes}
        with self.db.write() as connection:
            connection.execute(sa.insert(api_schema.services).values(created_at=at, **values))
        return key

    def add_instance(self, node: str, name: str = "hello", task_state: str | None = None) -> str:
        """Write an instance of m1.small of project demo on a node; return its UUID."""
        key, at = str(uuid.uuid4()), now()
        with self.cell.write() as connection:
            connection.execute(
                sa.insert(cell_schema.instances).values(
                    uuid=key, project_id=self.member.project_id, user_id=self.member.user_id, display_name=name,
                    hostname=name, reservation_id="r-1", vm_state="active", task_state=task_state,
                    node_uuid=node, flavor={"vcpus": 1, "memory_mb": 2048}, metadata={}, tags=[], hints={},
                    security_groups=[], network_info=[], spec={}, created_at=at, updated_at=at,
                )
            )  # fmt: skip
        return key

    def reset(self) -> None:
        """Empty the databases, write the classic flavors, and forget the token of ``nobody``."""
        for db, metadata, kept in (
            (self.db, api_schema.metadata, {"cells"}),
            (self.cell, cell_schema.metadata, set()),
        ):
            with db.write() as connection:
                metadata.create_all(connection)
                for table in reversed(metadata.sorted_tables):
                    if table.name not in kept:
                        connection.execute(sa.delete(table))
        flavors.seed_flavors(self.db)
        self.nobody.token = None

    def close(self) -> None:
        for driver in self.drivers:
            driver.close()
        self.fabric.close()


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("state"))
    yield made
    made.close()


@pytest.fixture
def world(_built: World) -> World:
    """A world whose databases hold nothing but the classic flavors."""
    _built.reset()
    return _built
