"""The API over several cells of which some are slow or away: what it says, within which time, and never a 500."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.cells import Cell
from tenter.cells.asking import Asking
from tenter.store import aggregates, api_schema, cell_schema
from tenter.store.engine import now, sqlite_url
from tests.helpers.databases import MoodyDatabase
from tests.unit.api.servers.conftest import IMAGE, PROJECT, Api
from tests.unit.api.servers.oracle import check

TIMEOUT, RETRY, LOADED = 1.0, 3.0, 3.0
TWO, THREE = "22222222-aaaa-4111-8111-111111111111", "33333333-aaaa-4111-8111-111111111111"
SINCE = (69, 70, 71, 72, 73, 75, 89, 90, 95, 96, 97, 98, 99, 100, 104)


class Clouds(Api):
    """The application over three cells, the last two of which can be made slow or go away."""

    def __init__(self, directory: Path) -> None:
        self.moody = {}
        for uuid in (TWO, THREE):
            db = self.moody[uuid] = MoodyDatabase(sqlite_url(directory / f"{uuid}.sqlite"))
            cell_schema.metadata.create_all(db.engine)
        self.others = [Cell(uuid, uuid[0], db) for uuid, db in self.moody.items()]
        super().__init__(directory, self.others, Asking(TIMEOUT, RETRY))
        self._add_host()

    def in_two(self, **server: Any) -> str:
        """Return the id of a new server in the second cell."""
        uuid = str(self.create(**server)["id"])
        self.place(uuid, self.others[0])
        return uuid


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    found = Clouds(tmp_path)
    yield found
    for db in found.moody.values():
        db.recover()
        db.close()
    found.close()


@pytest.fixture(params=["away", "slow"])
def away(request: pytest.FixtureRequest) -> str:
    """How the second cell does not answer."""
    return str(request.param)


def take(clouds: Clouds, how: str) -> None:
    if how == "away":
        clouds.moody[TWO].away = True
    else:
        clouds.moody[TWO].hang()


def test_minimal_records_at_every_microversion(clouds: Clouds) -> None:
    near, far = clouds.active(name="near"), clouds.in_two(name="far", metadata={"a": "b"})
    take(clouds, "away")
    links = clouds.get(f"/servers/{near}").json["server"]["links"]
    for minor in range(1, 105):
        version = f"2.{minor}"
        shown = clouds.get(f"/servers/{far}", version=version)
        listed = clouds.get("/servers", version=version)
        detail = clouds.get("/servers/detail", version=version)
        check("servers-list-response", minor, listed.json)
        check("servers-detail-response", minor, detail.json)
        ids = [one["id"] for one in listed.json["servers"]]
        if minor < 69:
            assert ids == [near]
            assert [one["id"] for one in detail.json["servers"]] == [near]
            assert shown.status_code == 503 and int(shown.headers["Retry-After"]) >= 1
            continue
        assert ids == [far, near]
        assert shown.status_code == 200
        check("servers-show-response", minor, shown.json)
        assert listed.json["servers"][0].keys() == {"id", "status", "links"}
        server = detail.json["servers"][0]
        assert server.keys() == {"id", "status", "links", "tenant_id", "created"}
        assert (server["status"], server["tenant_id"]) == ("UNKNOWN", PROJECT)
        assert [link["href"].replace(far, near) for link in server["links"]] == [link["href"] for link in links]


def test_the_minimal_record_of_one_server(clouds: Clouds) -> None:
    far = clouds.in_two(availability_zone="nova")
    whole = clouds.get(f"/servers/{far}").json["server"]
    rebuilt = str(clouds.images.add())
    answer = clouds.call("POST", f"/servers/{far}/action", {"rebuild": {"imageRef": rebuilt}})
    assert answer.status_code == 202, answer.text
    take(clouds, "away")
    known = clouds.get(f"/servers/{far}").json["server"]
    assert known.pop("status") == "UNKNOWN"
    assert known.pop("image")["id"] == rebuilt
    assert known.pop("OS-EXT-STS:power_state") == 0
    assert known == {name: whole[name] for name in known}
    assert {"user_id", "flavor", "OS-EXT-AZ:availability_zone", "server_groups"} <= known.keys()
    clouds.moody[TWO].recover()
    elsewhere = clouds.create()["id"]
    assert clouds.get(f"/servers/{elsewhere}").json["server"]["status"] == "BUILD"


def test_others_may_not_see_minimal_records_either(clouds: Clouds) -> None:
    far = clouds.in_two()
    take(clouds, "away")
    assert clouds.get(f"/servers/{far}", who="stranger").status_code == 404
    assert clouds.get("/servers/detail", who="stranger").json["servers"] == []
    everyone = clouds.get("/servers?all_tenants=1", who="admin").json["servers"]
    assert [one["id"] for one in everyone] == [far]
    assert clouds.get("/servers?all_tenants=1&project_id=none", who="admin").json["servers"] == []


@pytest.mark.parametrize("query", [
    "name=s", "limit=5", "sort_key=display_name", "sort_dir=asc", "status=ACTIVE", "tags=x", "ip=10", "locked=false",
    "changes-since=2001-01-01T00:00:00Z",
])  # fmt: skip
def test_what_cannot_be_judged_is_left_out(clouds: Clouds, query: str) -> None:
    clouds.in_two()
    take(clouds, "away")
    answer = clouds.get(f"/servers?{query}")
    assert (answer.status_code, answer.json["servers"]) == (200, [])


def test_writes_in_a_cell_that_does_not_answer(clouds: Clouds, away: str) -> None:
    near, far = clouds.active(), clouds.in_two()
    take(clouds, away)
    began = time.monotonic()
    port = "/os-interface/44444444-4444-4444-8444-444444444444"
    asked = [
        ("PUT", "", {"server": {"name": "x"}}), ("POST", "/action", {"os-stop": None}),
        ("POST", "/action", {"os-start": None}), ("POST", "/action", {"reboot": {"type": "HARD"}}),
        ("POST", "/action", {"rebuild": {"imageRef": IMAGE}}), ("POST", "/action", {"os-getConsoleOutput": {}}),
        ("POST", "/metadata", {"metadata": {"a": "b"}}), ("PUT", "/tags", {"tags": ["a"]}),
        ("GET", "/ips", None), ("GET", "/os-interface", None), ("GET", port, None),
        ("GET", "/os-volume_attachments", None), ("GET", "/os-security-groups", None), ("GET", "/metadata", None),
    ]  # fmt: skip
    for method, path, body in asked:
        answer = clouds.call(method, f"/servers/{far}{path}", body)
        assert answer.status_code == 503, (method, path, answer.text)
        assert int(answer.headers["Retry-After"]) == RETRY
        fault = answer.json["serviceUnavailable"]
        assert fault["code"] == 503 and "does not answer now" in fault["message"]
    assert time.monotonic() - began < 2 * TIMEOUT + LOADED * 2
    assert clouds.call("PUT", f"/servers/{near}", {"server": {"name": "y"}}).status_code == 200
    assert clouds.call("DELETE", f"/servers/{near}").status_code == 204


def test_a_delete_in_a_cell_that_does_not_answer_is_accepted_and_seen(clouds: Clouds, away: str) -> None:
    far = clouds.in_two(name="far")
    take(clouds, away)
    for _ in range(3):
        began = time.monotonic()
        assert clouds.call("DELETE", f"/servers/{far}").status_code == 204
        assert time.monotonic() - began < TIMEOUT + LOADED
    assert clouds.call("DELETE", f"/servers/{far}", who="stranger").status_code == 404
    assert clouds.get(f"/servers/{far}").json["server"]["status"] == "UNKNOWN"
    for action in ({"reboot": {"type": "HARD"}}, {"os-stop": None}, {"os-getConsoleOutput": {}}):
        refused = clouds.call("POST", f"/servers/{far}/action", action)
        assert refused.status_code == 409 and "task_state deleting" in refused.text
    assert clouds.call("PUT", f"/servers/{far}", {"server": {"name": "x"}}).status_code == 409
    assert clouds.get(f"/servers/{far}/ips").status_code == 503, "nothing is wrong with reading"
    assert clouds.call("POST", f"/servers/{far}/action", {"os-stop": None}, who="stranger").status_code == 404
    (doing,) = clouds.get(f"/tenter/operations?server={far}&state=open&kind=delete").json["operations"]
    assert (doing["kind"], doing["step"], doing["state"]) == ("delete", "carry", "queued")
    clouds.moody[TWO].recover()
    until = time.monotonic() + RETRY + LOADED
    while clouds.get(f"/servers/{far}").json["server"]["status"] == "UNKNOWN" and time.monotonic() < until:
        time.sleep(0.05)
    if away == "away":  # in the other case the request itself may have come through in the end
        row = clouds.others[0].db
        with row.read() as connection:
            assert connection.execute(sa.select(cell_schema.instances.c.task_state)).scalars().all() == [None]
    shown = clouds.get(f"/servers/{far}").json["server"]
    (listed,) = clouds.get("/servers/detail").json["servers"]
    assert shown["OS-EXT-STS:task_state"] == "deleting" == listed["OS-EXT-STS:task_state"]
    refused = clouds.call("POST", f"/servers/{far}/action", {"os-stop": None})
    assert refused.status_code == 409 and "task_state deleting" in refused.text
    assert clouds.call("DELETE", f"/servers/{far}").status_code == 204


def test_a_locked_server_is_known_as_such_while_its_cell_is_away(clouds: Clouds) -> None:
    far = clouds.in_two()
    with clouds.api_db.write() as connection:
        places = api_schema.places
        mine = places.c.instance_uuid == far
        known = connection.execute(sa.select(places.c.brief).where(mine)).scalar_one()
        connection.execute(sa.update(places).where(mine).values(brief={**known, "locked": True}))
    take(clouds, "away")
    assert clouds.call("DELETE", f"/servers/{far}").status_code == 409
    assert clouds.call("DELETE", f"/servers/{far}", who="admin").status_code == 204


def test_a_delete_without_the_api_database_is_a_503(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    far = clouds.in_two()

    def away() -> Any:
        raise errors.Unavailable("The database cannot be reached.")

    take(clouds, "away")
    monkeypatch.setattr(clouds.api_db, "write", away)
    assert clouds.call("DELETE", f"/servers/{far}").status_code == 503
    monkeypatch.undo()
    assert clouds.call("DELETE", f"/servers/{far}").status_code == 204


def test_a_cell_that_fails_between_reading_and_writing(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    far = clouds.in_two()
    found = clouds.reader.get

    def get(*args: Any, **kwargs: Any) -> Any:
        row = found(*args, **kwargs)
        take(clouds, "away")
        return row

    monkeypatch.setattr(clouds.reader, "get", get)
    answer = clouds.call("POST", f"/servers/{far}/action", {"os-stop": None})
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) == RETRY


def test_servers_are_created_while_a_cell_is_away(clouds: Clouds, away: str) -> None:
    take(clouds, away)
    uuid = clouds.create(availability_zone="nova")["id"]
    assert clouds.get(f"/servers/{uuid}").json["server"]["status"] == "BUILD"
    body = {"server": {"name": "s", "flavorRef": "1", "imageRef": IMAGE, "networks": "none"}}
    body["server"]["availability_zone"] = "elsewhere"
    # Perhaps the zone is in the cell that is away: that is no mistake of the client.
    assert clouds.call("POST", "/servers", body).status_code == 503
    clouds.moody[TWO].recover()
    until = time.monotonic() + 2 * RETRY + LOADED
    while (answer := clouds.call("POST", "/servers", body)).status_code == 503 and time.monotonic() < until:
        time.sleep(0.2)
    assert answer.status_code == 400, answer.text


def test_lists_of_hosts_leave_out_what_does_not_answer(clouds: Clouds, away: str) -> None:
    near = {one["host"] for one in clouds.get("/os-services", who="admin").json["services"]}
    service = "99999999-9999-4999-8999-999999999999"
    with clouds.moody[TWO].write() as connection:
        connection.execute(sa.insert(cell_schema.services).values(
            uuid=service, host="far", binary="tenter-compute", version=1, last_seen=now(), created_at=now()
        ))  # fmt: skip
    assert {one["host"] for one in clouds.get("/os-services", who="admin").json["services"]} == near | {"far"}
    take(clouds, away)
    began = time.monotonic()
    services = clouds.get("/os-services", who="admin").json
    check("services-list-response", 104, services)
    assert {one["host"] for one in services["services"]} == near
    for path in ("/os-hypervisors/detail?with_servers=1", "/os-availability-zone/detail", "/os-availability-zone"):
        assert clouds.get(path, who="admin").status_code == 200
    assert time.monotonic() - began < TIMEOUT + LOADED
    change = clouds.call("PUT", f"/os-services/{service}", {"status": "disabled"}, who="admin")
    assert change.status_code == 503, change.text
    nobody = "00000000-0000-4000-8000-000000000000"
    assert clouds.get(f"/os-hypervisors/{nobody}", who="admin").status_code == 503


def test_actions_of_a_server_whose_cell_does_not_answer(clouds: Clouds, away: str) -> None:
    far = clouds.in_two()
    take(clouds, away)
    for minor in (1, 20, 21, 58, 66, 104):
        listed = clouds.get(f"/servers/{far}/os-instance-actions", version=f"2.{minor}")
        assert listed.status_code == 200, listed.text
        check("instance-actions-list-response", minor, listed.json)
        assert [one["action"] for one in listed.json["instanceActions"]] == ["create"]
    assert clouds.get(f"/servers/{far}/os-instance-actions", who="stranger").status_code == 404
    assert clouds.get(f"/servers/{far}/os-instance-actions/req-none").status_code == 503


def test_a_slow_cell_does_not_slow_the_others(clouds: Clouds) -> None:
    near, far = clouds.active(), clouds.in_two()
    take(clouds, "slow")
    assert clouds.get(f"/servers/{far}").json["server"]["status"] == "UNKNOWN"
    slowest = 0.0
    for _ in range(20):
        began = time.monotonic()
        assert clouds.get(f"/servers/{near}").json["server"]["status"] == "ACTIVE"
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < TIMEOUT, slowest


def test_aggregates_do_not_move_hosts_of_a_cell_that_does_not_answer(clouds: Clouds, away: str) -> None:
    with clouds.moody[TWO].write() as connection:
        connection.execute(
            sa.insert(cell_schema.services).values(
                uuid=TWO, host="far", binary="tenter-compute", version=1, last_seen=now(), created_at=now()
            )
        )
    body = {"aggregate": {"name": "a", "availability_zone": "z1"}}
    key = clouds.call("POST", "/os-aggregates", body, who="admin").json["aggregate"]["id"]
    path = f"/os-aggregates/{key}"
    for host in ("near", "far"):
        aggregates.add_host(clouds.api_db, key, host, lambda moves: None)
    take(clouds, away)
    for method, of, body in (
        ("POST", path + "/action", {"add_host": {"host": "elsewhere"}}),
        ("POST", path + "/action", {"remove_host": {"host": "far"}}),
        ("PUT", path, {"aggregate": {"availability_zone": "z2"}}),
    ):
        answer = clouds.call(method, of, body, who="admin")
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) == RETRY, answer.text
        assert "does not answer now" in answer.json["serviceUnavailable"]["message"]
    body = {"set_metadata": {"metadata": {"k": "v"}}}
    assert clouds.call("POST", path + "/action", body, who="admin").status_code == 200
    found = clouds.get(path, who="admin").json["aggregate"]
    assert (found["hosts"], found["metadata"]) == (["far", "near"], {"availability_zone": "z1", "k": "v"})
