"""Rows of a cell's database, for tests without processes."""

from __future__ import annotations

import uuid as uuidlib
from typing import Any

import sqlalchemy as sa

from tenter.store.cell_schema import instances
from tenter.store.engine import Database, now
from tenter.store.operations import Operation

FLAVOR = {"name": "f", "vcpus": 1, "memory_mb": 10, "root_gb": 1, "ephemeral_gb": 0, "swap": 0, "extra_specs": {}}


def instance_row(node_uuid: str | None, **values: Any) -> dict[str, Any]:
    """Return a row of an instance that is being built on a node."""
    nothing = {column.name: None for column in instances.columns if column.nullable}
    at = now()
    return {
        **nothing, "uuid": str(uuidlib.uuid4()), "project_id": "p", "user_id": "u", "display_name": "n",
        "hostname": "n", "reservation_id": "r", "launch_index": 0, "vm_state": "building", "task_state": "scheduling",
        "power_state": 0, "progress": 0, "node_uuid": node_uuid, "host": "h", "node": "h", "flavor": FLAVOR,
        "config_drive": True, "disk_config": "AUTO", "locked": False, "metadata": {}, "tags": [], "hints": {},
        "security_groups": [], "network_info": [], "spec": {}, "created_at": at, "updated_at": at, **values,
    }  # fmt: skip


def operation_of(instance_uuid: str, kind: str = "build") -> Operation:
    """Return an operation that is open."""
    return Operation(
        uuid=str(uuidlib.uuid4()), kind=kind, instance_uuid=instance_uuid, project_id="p", user_id="u",
        request_id="r", step="spawn", role="compute", host="h", deadline=now() + 100,
    )  # fmt: skip


def count(db: Database, table: sa.Table) -> int:
    """Return how many rows a table has."""
    with db.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
