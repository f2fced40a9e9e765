"""``GET /metrics``: figures of all databases in Prometheus' format, read back by Prometheus' own parser."""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from tenter.cells import Cell
from tenter.plugins.emitter import HookCount, HookFigures
from tenter.store import api_schema, audits, cell_schema, operations
from tenter.store.engine import now, sqlite_url
from tests.helpers.databases import MoodyDatabase
from tests.unit.api.servers.conftest import Api

Sample = tuple[str, tuple[tuple[str, str], ...]]


class Monitored(Api):
    """An API with a second cell that can go away."""

    def __init__(self, directory: Path) -> None:
        self.moody = MoodyDatabase(sqlite_url(directory / "north.sqlite"))
        cell_schema.metadata.create_all(self.moody.engine)
        super().__init__(directory, [Cell(str(uuidlib.uuid4()), "north", self.moody)])
        self.conf.set_override("health_timeout", 0.5, "api")
        self.conf.set_override("metrics", "public", "api")

    def ask(self, token: str | None = None) -> Any:
        """Return the answer of ``GET /metrics``."""
        headers = {"X-Auth-Token": token} if token else {}
        return self.client.simulate_get("/metrics", headers=headers)

    def samples(self) -> dict[Sample, float]:
        """Return the figures by name and labels."""
        answer = self.ask()
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def close(self) -> None:
        super().close()
        self.moody.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Monitored]:
    api = Monitored(tmp_path)
    yield api
    api.close()


def of(name: str, **labels: str) -> Sample:
    """Return the key of a figure."""
    return f"tenter_{name}", tuple(sorted(labels.items()))


def _service(db: Any, table: sa.Table, host: str, binary: str, **values: Any) -> str:
    uuid, at = str(uuidlib.uuid4()), now()
    row = {"uuid": uuid, "host": host, "binary": binary, "version": 1, "last_seen": at, "created_at": at, **values}
    with db.write() as connection:
        connection.execute(sa.insert(table).values(row))
    return uuid


def _node(db: Any, host: str, failed: int) -> str:
    service, uuid = _service(db, cell_schema.services, host, "tenter-compute"), str(uuidlib.uuid4())
    values = {
        "uuid": uuid, "service_uuid": service, "host": host, "hypervisor_hostname": f"{host}.example",
        "hypervisor_type": "fake", "hypervisor_version": 1, "host_ip": "127.0.0.1", "availability_zone": "nova",
        "cpu_info": {}, "traits": [], "created_at": now(), "failed_builds": failed,
    }  # fmt: skip
    with db.write() as connection:
        connection.execute(sa.insert(cell_schema.compute_nodes).values(values))
    return uuid


def _operation(db: Any, table: sa.Table, kind: str, state: str, age: float, left: float = 100) -> None:
    new = operations.Operation(
        uuid=str(uuidlib.uuid4()), kind=kind, instance_uuid=str(uuidlib.uuid4()), project_id="secret-project",
        user_id="u", request_id="r", step=kind, role="compute", deadline=now() + left, state=state,
        created_at=now() - age,
    )  # fmt: skip
    with db.write() as connection:
        operations.insert(connection, table, new)


def test_services_by_binary(api: Monitored) -> None:
    _service(api.api_db, api_schema.services, "c1", "tenter-conductor", disabled=False)
    _service(api.cell_db, cell_schema.services, "h1", "tenter-compute", disabled=True)
    _service(api.moody, cell_schema.services, "h2", "tenter-compute", last_seen=1.0)
    _service(api.moody, cell_schema.services, "h3", "tenter-compute", forced_down=True)
    found = api.samples()
    assert found[of("services", binary="tenter-conductor", state="up")] == 1
    assert found[of("services", binary="tenter-conductor", state="down")] == 0
    assert found[of("services", binary="tenter-compute", state="up")] == 1
    assert found[of("services", binary="tenter-compute", state="down")] == 2
    assert found[of("services_disabled", binary="tenter-compute")] == 1


def test_open_operations(api: Monitored) -> None:
    _operation(api.api_db, api_schema.operations, "build", "queued", 5)
    for age, left in ((10, 100), (50, -1), (20, -5)):
        _operation(api.moody, cell_schema.operations, "delete", "running", age, left)
    _operation(api.moody, cell_schema.operations, "delete", "done", 9000, -9000)
    found = api.samples()
    assert found[of("operations_open", database="api", kind="build", state="queued")] == 1
    its = {"database": "cell north", "kind": "delete", "state": "running"}
    assert found[of("operations_open", **its)] == 3
    assert 50 <= found[of("operations_oldest_seconds", **its)] < 55
    assert found[of("operations_overdue", **its)] == 2
    assert found[of("operations_overdue", database="api", kind="build", state="queued")] == 0
    assert not [labels for name, labels in found if dict(labels).get("state") == "done"]


def test_hosts(api: Monitored) -> None:
    _node(api.cell_db, "h1", 0)
    node = _node(api.moody, "h2", 4)
    with api.moody.write() as connection:
        for _ in range(2):
            connection.execute(sa.insert(cell_schema.leftovers).values(
                uuid=str(uuidlib.uuid4()), instance_uuid=str(uuidlib.uuid4()), host="h2", node_uuid=node, vifs=[],
                reason="deleted", created_at=now(),
            ))  # fmt: skip
    found = api.samples()
    assert found[of("host_failed_builds", database="cell north", host="h2", node="h2.example")] == 4
    assert found[of("host_failed_builds", database="cell cell1", host="h1", node="h1.example")] == 0
    assert found[of("leftovers", database="cell north", host="h2")] == 2
    assert found[of("leftovers", database="cell cell1", host="h1")] == 0


def test_audits_of_any_process_add_up(api: Monitored) -> None:
    assert not [name for name, _ in api.samples() if "audit" in name]
    audits.record(api.api_db, 1.5, {"guest.unknown": 2}, {"claim.no_holder": 3})
    audits.record(api.api_db, 0.5, {"guest.missing": 1}, {"claim.no_holder": 1, "quota.usage": 1})
    found = api.samples()
    assert found[of("audits_total")] == 2
    assert found[of("audit_duration_seconds")] == 0.5
    assert abs(found[of("audit_last_timestamp_seconds")] - now()) < 20
    assert found[of("audit_findings", code="guest.missing")] == 1
    assert of("audit_findings", code="guest.unknown") not in found, "the last audit did not find it any more"
    assert found[of("audit_repairs_total", code="claim.no_holder")] == 4
    assert found[of("audit_repairs_total", code="quota.usage")] == 1


def test_a_database_that_is_away_leaves_the_others_figures(api: Monitored) -> None:
    _node(api.cell_db, "h1", 1)
    assert api.samples()[of("database_up", database="cell north")] == 1
    api.moody.hang()
    try:
        found = api.samples()
    finally:
        api.moody.recover()
    assert found[of("database_up", database="cell north")] == 0
    assert found[of("database_up", database="api")] == found[of("database_up", database="cell cell1")] == 1
    assert found[of("host_failed_builds", database="cell cell1", host="h1", node="h1.example")] == 1


@pytest.mark.parametrize(
    ("option", "statuses"),
    [("admin", (401, 401, 403, 200)), ("public", (200, 200, 200, 200)), ("off", (404, 404, 404, 404))],
)
def test_who_may_read(api: Monitored, option: str, statuses: tuple[int, ...]) -> None:
    api.conf.set_override("metrics", option, "api")
    assert tuple(api.ask(token).status_code for token in (None, "nobody", "member", "admin")) == statuses


def test_it_is_for_administrators_by_default() -> None:
    from tenter.conf import new_conf

    assert new_conf().api.metrics == "admin"


def test_no_server_and_no_project_is_named(api: Monitored) -> None:
    _operation(api.cell_db, cell_schema.operations, "build", "running", 1)
    with api.cell_db.read() as connection:
        uuid = connection.execute(sa.select(cell_schema.operations.c.instance_uuid)).scalar_one()
    said = api.ask().text
    assert "build" in said and uuid not in said and "secret-project" not in said


def test_the_library_is_loaded_when_it_is_first_needed() -> None:
    import subprocess
    import sys

    code = "import sys, tenter_api.app; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_what_became_of_hook_listeners_in_this_process(api: Monitored) -> None:
    counts = [HookCount("hook", "slow", "spawned", 5, 1, 2), HookCount("notifier", "file", "spawned", 7, 0, 0)]
    api.fabric.hooks = SimpleNamespace(figures=lambda: HookFigures(counts, [("hook", "slow")], 3))
    found = api.samples()
    slow = {"kind": "hook", "plugin": "slow", "hook": "spawned"}
    assert found[of("hook_calls_total", **slow)] == 5
    assert found[of("hook_failures_total", **slow)] == 1
    assert found[of("hook_slow_total", **slow)] == 2
    assert found[of("hook_calls_total", kind="notifier", plugin="file", hook="spawned")] == 7
    assert found[of("hook_taken_out", kind="hook", plugin="slow")] == 1
    assert found[of("hook_taken_out", kind="notifier", plugin="file")] == 0
    assert found[of("hook_dropped_total")] == 3
