"""A host's node is its driver's key: a host whose key is lost, or another's, is refused and changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from tenter import errors
from tenter.store import cell_schema, host_feed
from tests.helpers.cloud import Cloud
from tests.helpers.hosts import Host


def _key(directory: Path) -> Path:
    return directory / "virt" / "fake" / "node.id"


def _nodes(cloud: Cloud) -> dict[str, str]:
    return {record.uuid: record.host for record in host_feed.read_all(cloud.cell.db).hosts}


def _services(cloud: Cloud) -> set[str]:
    with cloud.cell.db.read() as connection:
        return set(connection.execute(sa.select(cell_schema.services.c.host)).scalars())


def test_a_lost_key_of_a_host_with_servers_is_asked_for(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.active(uuid)
    cloud.stop()
    key = _key(cloud.state_dir)
    before = key.read_text()
    key.write_text("")
    with pytest.raises(errors.Conflict, match=f"servers are on node {before} of the same name"):
        cloud.start()
    key.write_text(before)
    cloud.start()
    assert _nodes(cloud) == {before: "host-1"}
    cloud.delete(uuid)
    cloud.empty()


def test_a_lost_key_of_an_empty_host_makes_it_no_second_one(cloud: Cloud) -> None:
    cloud.stop()
    before = _key(cloud.state_dir).read_text()
    _key(cloud.state_dir).unlink()
    cloud.start()
    assert list(_nodes(cloud).values()) == ["host-1"] and before not in _nodes(cloud)
    cloud.active(cloud.create())
    cloud.check()


def test_a_copy_that_has_the_key_of_a_host_that_lives_is_refused(cloud: Cloud) -> None:
    first, copy = Host(cloud, "host-2").start(), Host(cloud, "host-3")
    before = _nodes(cloud)
    _key(copy.state_dir).parent.mkdir(parents=True)
    shutil.copy(_key(first.state_dir), _key(copy.state_dir))
    with pytest.raises(errors.Conflict, match=r"is host host-2's, which is up: this state directory is a copy"):
        copy.start()
    assert _nodes(cloud) == before and _services(cloud) == {"host-1", "host-2"}
    first.declare_down()
    copy.start()
    assert sorted(_nodes(cloud).values()) == ["host-1", "host-3"]
    first.declare_down(False)
    with pytest.raises(errors.Conflict, match="host-3"):
        first.service.report()
    for host in (first, copy):
        host.service.stop(1)
