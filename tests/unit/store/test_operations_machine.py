"""Leases and fences under every order of events that Hypothesis can think of."""

from __future__ import annotations

import shutil
import tempfile
import uuid as uuidlib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tenter import errors
from tenter.store import operations
from tenter.store.cell_schema import operations as table
from tenter.store.engine import Database, now, sqlite_url
from tenter.store.operations import Operation

INSTANCES = [str(uuidlib.UUID(int=n)) for n in (1, 2)]
WORKERS = ["worker-a", "worker-b"]


class Leases(RuleBasedStateMachine):
    """Two workers, two instances. ``model`` says what each open operation's row must be."""

    asked = Bundle("asked")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="tenter-test-"))
        self.db = Database(sqlite_url(self.directory / "db"))
        with self.db.write() as connection:
            table.create(connection)
        self.order: list[str] = []
        self.model: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        self.db.close()
        shutil.rmtree(self.directory)

    def _first(self, uuid: str) -> bool:
        instance = self.model[uuid]["instance"]
        before = self.order[: self.order.index(uuid)]
        return not any(self.model[u]["open"] and self.model[u]["instance"] == instance for u in before)

    @rule(target=asked, instance=st.sampled_from(INSTANCES))
    def ask(self, instance: str) -> str:
        new = Operation(
            uuid=str(uuidlib.uuid4()), kind="build", instance_uuid=instance, project_id="p", user_id="u",
            request_id="r", step="spawn", role="compute", host="h", deadline=now() + 100,
        )  # fmt: skip
        with self.db.write() as connection:
            operations.insert(connection, table, new)
        self.order.append(new.uuid)
        self.model[new.uuid] = {
            "instance": instance, "open": True, "owner": None, "valid": False, "attempt": 0, "cancel": False,
        }  # fmt: skip
        return new.uuid

    @rule(target=held, uuid=asked, worker=st.sampled_from(WORKERS))
    def claim(self, uuid: str, worker: str) -> Any:
        model = self.model[uuid]
        free = model["open"] and (model["owner"] is None or not model["valid"]) and self._first(uuid)
        assert (uuid in operations.todo(self.db, table, "compute", "h", 100)) == free
        assert operations.claim(self.db, table, uuid, "conductor", None, worker, 60) is None
        assert operations.claim(self.db, table, uuid, "compute", "elsewhere", worker, 60) is None
        got = operations.claim(self.db, table, uuid, "compute", "h", worker, 60)
        assert (got is not None) == free
        if got is None:
            return multiple()
        model.update(owner=worker, valid=True, attempt=model["attempt"] + 1)
        assert (got.attempt, got.owner, got.cancel) == (model["attempt"], worker, model["cancel"])
        return got

    @rule(uuid=asked)
    def expire(self, uuid: str) -> None:
        change = sa.update(table).where(table.c.uuid == uuid, table.c.owner.is_not(None))
        with self.db.write() as connection:
            connection.execute(change.values(lease_until=now() - 1))
        self.model[uuid]["valid"] = False

    @rule(uuid=asked, worker=st.sampled_from(WORKERS))
    def renew(self, uuid: str, worker: str) -> None:
        operations.renew(self.db, table, worker, [uuid], 60)
        if self.model[uuid]["owner"] == worker:
            self.model[uuid]["valid"] = True

    @rule(worker=st.sampled_from(WORKERS))
    def others_died(self, worker: str) -> None:
        theirs = [u for u, m in self.model.items() if m["owner"] not in (None, worker)]
        assert operations.release_of_host(self.db, table, "compute", "h", worker) == len(theirs)
        for uuid in theirs:
            self.model[uuid].update(owner=None, valid=False)

    @rule(instance=st.sampled_from(INSTANCES))
    def delete_comes(self, instance: str) -> None:
        with self.db.write() as connection:
            operations.cancel_others(connection, table, instance)
        for model in self.model.values():
            if model["open"] and model["instance"] == instance:
                model["cancel"] = True
                if model["owner"] is None:
                    model["open"] = False

    def _mine(self, operation: Operation) -> bool:
        model = self.model[operation.uuid]
        return bool(model["open"] and (model["attempt"], model["owner"]) == (operation.attempt, operation.owner))

    @rule(operation=held)
    def write(self, operation: Operation) -> None:
        self._fenced(operation, {"step": "spawn"})

    @rule(operation=consumes(held))
    def end(self, operation: Operation) -> None:
        if self._fenced(operation, operations.ended(operation, operations.DONE)):
            self.model[operation.uuid].update(open=False, owner=None, valid=False)

    @rule(operation=held)
    def give_up_cancelled(self, operation: Operation) -> None:
        if self._mine(operation) and self.model[operation.uuid]["cancel"]:
            operations.finish_cancelled(self.db, table, operation)
            self.model[operation.uuid].update(open=False, owner=None, valid=False)

    def _fenced(self, operation: Operation, values: dict[str, Any]) -> bool:
        mine, model = self._mine(operation), self.model[operation.uuid]
        assert operations.is_cancelled(self.db, table, operation) or operation.attempt == model["attempt"]
        try:
            with self.db.write() as connection:
                operations.fenced(connection, table, operation, **values)
        except operations.Cancelled:
            assert mine and model["cancel"]
            return False
        except errors.StaleAttempt:
            assert not mine
            return False
        assert mine and not model["cancel"]
        return True

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        with self.db.read() as connection:
            rows = {row["uuid"]: row for row in connection.execute(sa.select(table)).mappings()}
        assert set(rows) == set(self.model)
        for uuid, model in self.model.items():
            row = rows[uuid]
            assert (row["state"] in operations.OPEN) == model["open"]
            assert (row["owner"], row["attempt"]) == (model["owner"], model["attempt"])
            assert bool(row["cancel"]) == model["cancel"]
            assert (row["ended_at"] is None) == model["open"]


Leases.TestCase.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLeases = pytest.mark.timeout(120)(Leases.TestCase)
