"""A store damaged by hand: everything is found, what is provable is repaired, and nothing else is touched."""

from __future__ import annotations

import json
import shutil
import uuid as uuidlib
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.cli import main
from tenter.conductor.audit import Auditor
from tenter.contracts.network import CheckRequest
from tenter.store import api_schema, cell_schema, claims, instances, operations, services
from tenter.store.engine import now
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER, PROJECT, Cloud

QUIET = {"audit_interval": 0, "watch_interval": 3600}


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    return make_cloud(operations=QUIET)


def _audit(cloud: Cloud, repair: bool = True, **values: Any) -> dict[str, bool]:
    """Return the codes of what was found, and whether it was repaired."""
    auditor = Auditor(cloud.conf, cloud.fabric.api_db, cloud.fabric.cells, cloud.embedded.network, **values)
    return {finding.code: finding.repaired for finding in auditor.run(repair)}


def _cell(cloud: Cloud, *statements: Any) -> None:
    with cloud.cell.db.write() as connection:
        for statement in statements:
            connection.execute(statement)


def _api(cloud: Cloud, *statements: Any) -> None:
    with cloud.fabric.api_db.write() as connection:
        for statement in statements:
            connection.execute(statement)


def _operation(kind: str, uuid: str, **values: Any) -> Any:
    new: dict[str, Any] = {
        "uuid": str(uuidlib.uuid4()), "kind": kind, "instance_uuid": uuid, "project_id": PROJECT, "user_id": "u",
        "request_id": "req-x", "step": kind, "role": "compute", "host": "host-gone", "deadline": now() - 100, **values,
    }  # fmt: skip
    return operations.Operation(**new)


def _orphan_claim(cloud: Cloud, uuid: str) -> None:
    with cloud.cell.db.write() as connection:
        node = connection.execute(sa.select(cell_schema.compute_nodes.c.uuid)).scalar_one()
        claims.take(connection, str(uuidlib.uuid4()), {node: {"VCPU": 2, "MEMORY_MB": 100}})


def _claim_not_counted(cloud: Cloud, uuid: str) -> None:
    _cell(cloud, sa.update(cell_schema.inventories).values(used=77))


def _doubled_claim(cloud: Cloud, uuid: str) -> None:
    with cloud.cell.db.write() as connection:
        nodes, inventories = cell_schema.compute_nodes, cell_schema.inventories
        row = dict(connection.execute(sa.select(nodes)).mappings().one())
        connection.execute(sa.insert(nodes).values({**row, "uuid": "other-node"}))
        for inventory in connection.execute(sa.select(inventories)).mappings().all():
            connection.execute(sa.insert(inventories).values({**inventory, "provider_uuid": "other-node", "used": 0}))
        claims.take(connection, uuid, {"other-node": {"VCPU": 1}})


def _no_claim(cloud: Cloud, uuid: str) -> None:
    with cloud.cell.db.write() as connection:
        claims.give_back(connection, uuid)


def _task_never_ended(cloud: Cloud, uuid: str) -> None:
    change = sa.update(cell_schema.instances).where(cell_schema.instances.c.uuid == uuid)
    _cell(cloud, change.values(task_state="rebooting", operation_uuid=str(uuidlib.uuid4())))


def _no_owner(cloud: Cloud, uuid: str) -> None:
    operation = _operation("stop", uuid)
    change = sa.update(cell_schema.instances).where(cell_schema.instances.c.uuid == uuid)
    with cloud.cell.db.write() as connection:
        operations.insert(connection, cell_schema.operations, operation)
        connection.execute(change.values(task_state="powering-off", operation_uuid=operation.uuid))


def _operation_of_nobody(cloud: Cloud, uuid: str) -> None:
    with cloud.cell.db.write() as connection:
        operations.insert(connection, cell_schema.operations, _operation("delete", str(uuidlib.uuid4())))


def _no_place(cloud: Cloud, uuid: str) -> None:
    _api(cloud, sa.delete(api_schema.places))


def _place_of_nothing(cloud: Cloud, uuid: str) -> None:
    values = {"instance_uuid": str(uuidlib.uuid4()), "project_id": PROJECT, "user_id": "u", "state": "placed"}
    _api(cloud, sa.insert(api_schema.places).values(cell_uuid=cloud.cell.uuid, created_at=now(), **values))


def _lost_build(cloud: Cloud, uuid: str) -> None:
    values = {"instance_uuid": str(uuidlib.uuid4()), "project_id": PROJECT, "user_id": "u", "state": "unscheduled"}
    _api(cloud, sa.insert(api_schema.places).values(created_at=now(), record={}, **values))


def _place_of_an_earlier_release(cloud: Cloud, uuid: str) -> None:
    bare = {"brief": None, "vcpus": 0, "memory_mb": 0}
    _api(cloud, sa.update(api_schema.places).values(**bare), sa.delete(api_schema.quota_usages))


def _quota(cloud: Cloud, uuid: str) -> None:
    _api(cloud, sa.update(api_schema.quota_usages).values(used=999))


def _port_of_nobody(cloud: Cloud, uuid: str) -> None:
    from tenter.contracts.network import AllocateRequest

    networks = cloud.embedded.network.check(CheckRequest(PROJECT, None))
    cloud.embedded.network.allocate(AllocateRequest(str(uuidlib.uuid4()), PROJECT, "host-1", "h", networks))


DAMAGE: dict[str, Callable[[Cloud, str], None]] = {
    "claim.no_holder": _orphan_claim,
    "inventory.used": _claim_not_counted,
    "claim.doubled": _doubled_claim,
    "claim.missing": _no_claim,
    "task.ended": _task_never_ended,
    "operation.overdue": _no_owner,
    "operation.no_instance": _operation_of_nobody,
    "instance.no_place": _no_place,
    "place.no_instance": _place_of_nothing,
    "place.no_build": _lost_build,
    "place.bare": _place_of_an_earlier_release,
    "quota.usage": _quota,
    "port.no_instance": _port_of_nobody,
}


@pytest.mark.parametrize("code", DAMAGE)
def test_damage_is_found_and_repaired(cloud: Cloud, code: str) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    assert _audit(cloud) == {}
    DAMAGE[code](cloud, uuid)
    found = _audit(cloud, repair=False)
    assert found.get(code) is False and not any(found.values())
    assert _audit(cloud)[code] is True
    _audit(cloud)
    assert _audit(cloud) == {}
    cloud.delete(uuid)
    assert _audit(cloud) == {} and cloud.guests() == set() and cloud.ports() == set()


def test_an_operation_of_nobody_is_ended_as_any_other(cloud: Cloud) -> None:
    operation = _operation(
        "rebuild", str(uuidlib.uuid4()), state="running", owner="compute:host-gone:1:x", attempt=2,
        lease_until=now() - 60, deadline=now() + 600,
        args={"stopped": False, operations.SECRETS: {"admin_password": "geheim"}},
    )  # fmt: skip
    with cloud.cell.db.write() as connection:
        operations.insert(connection, cell_schema.operations, operation)
    assert _audit(cloud) == {"operation.no_instance": True}
    with cloud.cell.db.read() as connection:
        row = connection.execute(sa.select(cell_schema.operations)).mappings().one()
    assert (row["state"], row["attempt"], row["owner"], row["lease_until"]) == ("failed", 3, None, None)
    assert row["args"] == {"stopped": False} and row["ended_at"] == row["updated_at"] > operation.created_at
    assert row["error"] == {
        "code": errors.NotFound.code, "message": "The server is gone.", "side": "conductor", "details": {},
    }  # fmt: skip


def test_all_of_it_at_once(cloud: Cloud) -> None:
    uuids = [cloud.create() for _ in DAMAGE]
    for uuid, code in zip(uuids, DAMAGE, strict=True):
        cloud.active(uuid)
        if code != "instance.no_place":
            DAMAGE[code](cloud, uuid)
    for _ in range(3):
        _audit(cloud)
    assert _audit(cloud) == {}
    for uuid in uuids:
        cloud.delete(uuid)
    assert _audit(cloud) == {}


def test_a_delete_that_was_lost_goes_on(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    _cell(cloud, sa.update(cell_schema.instances).values(task_state="deleting", operation_uuid=None))
    assert _audit(cloud) == {"task.ended": True}
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    cloud.empty()


def test_a_delete_that_nobody_brings_to_its_cell_goes_on(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    _api(cloud, sa.update(api_schema.places).values(delete_wanted=now()))
    assert _audit(cloud, repair=False) == {"place.no_delete": False}
    assert _audit(cloud) == {"place.no_delete": True}
    cloud.wait(uuid, lambda row: row is None)
    cloud.idle()
    cloud.empty()


def _nested(cloud: Cloud) -> tuple[str, str, str]:
    """Return a server, its node, and a part of that: of the server's memory some is the part's, and one GPU."""
    uuid = cloud.create()
    node = cloud.active(uuid)["node_uuid"]
    part = str(uuidlib.uuid4())
    stock = {"reserved": 0, "ratio": 1.0, "used": 0}
    _cell(
        cloud,
        sa.insert(cell_schema.providers).values(uuid=part, node_uuid=node, parent_uuid=node, name="p", traits=[]),
        sa.insert(cell_schema.inventories).values([
            {"provider_uuid": part, "resource_class": name, "total": total, "capacity": total, **stock}
            for name, total in (("MEMORY_MB", 10_000), ("VGPU", 2))
        ]),
    )  # fmt: skip
    held = claims.amounts_of(cloud.cell.db, uuid)
    with cloud.cell.db.write() as connection:
        claims.give_back(connection, uuid)
        memory = held[node].pop("MEMORY_MB")
        claims.take(connection, uuid, {node: held[node], part: {"MEMORY_MB": memory, "VGPU": 1}})
    return uuid, node, part


def test_claims_of_parts_are_in_order(cloud: Cloud) -> None:
    uuid, _, part = _nested(cloud)
    assert _audit(cloud) == {}
    _cell(
        cloud, sa.update(cell_schema.inventories).where(cell_schema.inventories.c.provider_uuid == part).values(used=9)
    )
    assert _audit(cloud) == {"inventory.used": True}
    assert _audit(cloud) == {}
    with cloud.cell.db.write() as connection:
        held = {"holder_uuid": uuid, "provider_uuid": part}
        change = sa.update(cell_schema.claims).filter_by(**held, resource_class="MEMORY_MB")
        connection.execute(change.values(amount=1))
    assert _audit(cloud)["claim.differs"] is True
    _audit(cloud)
    assert _audit(cloud) == {}
    assert claims.amounts_of(cloud.cell.db, uuid)[part] == {"VGPU": 1}, "what was right is kept"


def test_a_claim_of_what_is_not_there_is_found(cloud: Cloud) -> None:
    _nested(cloud)
    leftover = str(uuidlib.uuid4())
    values = {"uuid": leftover, "instance_uuid": "gone", "host": "h", "node_uuid": "n", "vifs": [], "reason": "r"}
    _cell(cloud, sa.insert(cell_schema.leftovers).values(created_at=now(), **values))
    with cloud.cell.db.write() as connection:
        claims.force(connection, "x", {"no-provider": {"VGPU": 1}})
        claims.hand_over(connection, "x", leftover, claims.LEFTOVER)
    assert _audit(cloud) == {"claim.no_provider": False}


def test_parts_go_with_their_node(cloud: Cloud) -> None:
    uuid, node, part = _nested(cloud)
    service = cloud.embedded.compute.uuid
    with pytest.raises(errors.Conflict):
        services.delete_service(cloud.cell.db, service)
    cloud.delete(uuid)
    assert services.delete_service(cloud.cell.db, service)
    with cloud.cell.db.read() as connection:
        assert not connection.execute(sa.select(cell_schema.providers)).all()
        assert not connection.execute(sa.select(cell_schema.inventories)).all()


def test_what_is_not_wrong_long_enough_is_not_repaired(cloud: Cloud) -> None:
    cloud.active(cloud.create())
    _orphan_claim(cloud, "")
    assert _audit(cloud, grace=60.0) == {"claim.no_holder": False}


def test_nothing_is_found_while_everything_moves(cloud: Cloud) -> None:
    uuids: list[str] = []
    for n in range(12):
        uuids.append(cloud.create(f"vm{n}"))
        assert _audit(cloud) == {}
        if n > 3:
            cloud.requests.delete(CALLER, uuids.pop(0))
        cloud.embedded.compute.audit()
    cloud.idle(timeout=20)
    assert _audit(cloud) == {}


def test_a_guest_nobody_knows_is_reported_and_only_destroyed_if_told(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(operations=QUIET)
    uuid = cloud.create()
    cloud.active(uuid)
    stranger = str(uuidlib.uuid4())
    cloud.virt.files.put({"uuid": stranger, "power": 1, "console": ""})
    cloud.virt.files.remove(uuid)
    cloud.embedded.compute.audit()
    assert _audit(cloud) == {"guest.unknown": False, "guest.missing": False}
    assert stranger in cloud.guests()
    cloud.conf.set_override("unknown_guests", "destroy", group="compute")
    cloud.embedded.compute.audit()
    assert stranger not in cloud.guests()
    assert _audit(cloud) == {"guest.missing": False}


def _command(capsys: Any, cloud: Cloud, *words: str) -> tuple[int, Any]:
    code = main.main(["audit", "--state-dir", str(cloud.state_dir), "--config-file",
                      str(cloud.state_dir / "test.conf"), *words])  # fmt: skip
    return code, capsys.readouterr().out


def test_the_command_and_its_exit_codes(make_cloud: MakeCloud, capsys: Any) -> None:
    cloud = make_cloud(operations=QUIET)
    cloud.active(cloud.create())
    cloud.stop()
    assert _command(capsys, cloud) == (0, "All fits.\n")
    cloud.start()
    _orphan_claim(cloud, "")
    code, out = _command(capsys, cloud, "--json")
    assert code == 2 and [finding["code"] for finding in json.loads(out)] == ["claim.no_holder"]
    code, out = _command(capsys, cloud, "--repair")
    assert code == 1 and out.endswith("1 found, 1 repaired, 0 left.\n")
    stranger = str(uuidlib.uuid4())
    cloud.virt.files.put({"uuid": stranger, "power": 1, "console": ""})
    cloud.stop()
    code, out = _command(capsys, cloud, "--repair")
    assert code == 2 and out.startswith(f"guest.unknown [cell1]: Host host-1: No server belongs to guest {stranger}.")
    # The driver was said on the command line of tenter up, and is in no file.
    bare = cloud.state_dir / "bare.conf"
    bare.write_text("[DEFAULT]\nhost = host-1\n[local_network]\nmode = none\n")
    assert main.main(["audit", "--state-dir", str(cloud.state_dir), "--config-file", str(bare)]) == 2
    assert "guest.unknown" in capsys.readouterr().out
    assert main.main(["audit", "--state-dir", str(cloud.state_dir / "nothing")]) == 3


@pytest.mark.parametrize("which", ["api.sqlite", "cell1.sqlite"])
def test_a_database_restored_from_an_hour_ago(make_cloud: MakeCloud, which: str) -> None:
    cloud = make_cloud(operations=QUIET)
    gone, kept = cloud.create("gone"), cloud.create("kept")
    cloud.active(gone), cloud.active(kept)
    cloud.stop()
    shutil.copy(cloud.state_dir / which, cloud.state_dir / "copy")
    cloud.start()
    cloud.delete(gone)
    new = cloud.create("new")
    cloud.active(new)
    cloud.stop()
    for part in cloud.state_dir.glob(which + "-*"):
        part.unlink()
    shutil.copy(cloud.state_dir / "copy", cloud.state_dir / which)
    cloud.start()
    cloud.embedded.compute.audit()
    found = _audit(cloud, repair=False)
    if which == "api.sqlite":
        assert found == {"place.no_instance": False, "instance.no_place": False}
    else:
        assert set(found) == {"place.guest_only", "instance.no_place", "guest.unknown", "guest.missing"}
    _audit(cloud)
    assert set(_audit(cloud)) <= {"guest.unknown", "guest.missing", "place.guest_only"}
    assert new in cloud.guests(), "a guest is never destroyed because records are old"
    assert instances.place_of(cloud.fabric.api_db, new) is not None, "nor is a server forgotten"
    assert cloud.row(kept)["vm_state"] == "active"


@pytest.mark.parametrize("waits", [True, False])
def test_a_copy_from_before_a_server_was_placed(make_cloud: MakeCloud, waits: bool) -> None:
    cloud = make_cloud(operations=QUIET)
    table, places = api_schema.operations, api_schema.places
    uuid = cloud.create()
    row = cloud.active(uuid)
    record = {str(name): value for name, value in row.items()}
    _api(
        cloud, sa.update(places).values(state="unscheduled", cell_uuid=None, record=record),
        *([sa.insert(table).values(**vars(_operation("build", uuid, step="schedule", role="conductor", host=None,
                                                     deadline=now() + 60)))] if waits else ()),
    )  # fmt: skip
    if waits:
        cloud.idle(timeout=10)
    else:
        assert _audit(cloud) == {"place.forgotten": True}
    assert cloud.row(uuid)["vm_state"] == "active" and cloud.guests() == {uuid}
    assert _audit(cloud) == {}
    cloud.delete(uuid)
    cloud.empty()
    assert _audit(cloud) == {}
