"""Host aggregates: groups of hosts with metadata, which may put them into an availability zone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon

from tenter import errors
from tenter.store import aggregates as store
from tenter.store.engine import Database
from tenter_api.compute.host_lists import HostLists
from tenter_api.compute.resource import ADMIN, ActionResource, action, operation
from tenter_api.compute.schemas import aggregates as schemas
from tenter_api.compute.schemas.parameters import MAX_INT
from tenter_api.compute.times import microseconds


def _view(minor: int, found: store.HostAggregate) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": found.id,
        "name": found.name,
        "availability_zone": found.zone,
        "hosts": list(found.hosts),
        "metadata": dict(found.metadata),
        "created_at": microseconds(found.created_at),
        "updated_at": microseconds(found.updated_at),
        "deleted": False,
        "deleted_at": None,
    }
    if minor >= 41:
        view["uuid"] = found.uuid
    return view


def _key(text: str) -> int:
    """Return the id that a path names. Raises Invalid, NotFound for what no aggregate can have."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise errors.Invalid(f"Invalid id {text[:64]}: it must be an integer.")
    if len(digits) > 10 or not 0 <= int(text) <= MAX_INT:
        raise errors.NotFound(f"Aggregate {text[:64]} could not be found.")
    return int(text)


class _Aggregates:
    """What all resources below ``/os-aggregates`` share."""

    def __init__(self, db: Database, hosts: HostLists) -> None:
        self._db, self._hosts = db, hosts

    def _may_move(self, error: type[errors.TenterError]) -> store.MayMove:
        def check(moves: Sequence[store.Move]) -> None:
            self._hosts.check_moves(moves, error)

        return check


class Aggregates(_Aggregates):
    """``/os-aggregates``"""

    @operation(role=ADMIN)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List them."""
        minor = req.context.version.minor
        resp.media = {"aggregates": [_view(minor, found) for found in store.list_aggregates(self._db)]}

    @operation(role=ADMIN, body=schemas.CREATE)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create one, which may make a zone."""
        wanted = req.context.body["aggregate"]
        made = store.create_aggregate(self._db, wanted["name"], wanted.get("availability_zone"))
        view = _view(req.context.version.minor, made)
        resp.media = {"aggregate": {key: view[key] for key in view.keys() - {"hosts", "metadata"}}}


class AggregateItem(_Aggregates):
    """``/os-aggregates/{id}``"""

    @operation(role=ADMIN)
    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show one with its hosts and metadata."""
        _answer(req, resp, store.get_aggregate(self._db, _key(id)))

    @operation(role=ADMIN, body=schemas.UPDATE)
    def on_put(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Give it another name or zone."""
        key, wanted = _key(id), req.context.body["aggregate"]
        _refuse_no_zone(key, wanted)
        name = wanted["name"].strip() if "name" in wanted else None
        found = store.update_aggregate(
            self._db, key, self._may_move(errors.Invalid), name, wanted.get("availability_zone")
        )
        _answer(req, resp, found)

    @operation(role=ADMIN)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Delete one that has no hosts."""
        store.delete_aggregate(self._db, _key(id))
        resp.status = falcon.HTTP_200


class AggregateAction(_Aggregates, ActionResource):
    """``/os-aggregates/{id}/action``"""

    @action("add_host")
    @operation(role=ADMIN, body=schemas.ADD_HOST)
    def add_host(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Put a host into it."""
        key, host = _key(id), req.context.body["add_host"]["host"]
        store.get_aggregate(self._db, key)
        self._hosts.check_host(host)
        _answer(req, resp, store.add_host(self._db, key, host, self._may_move(errors.Conflict)))

    @action("remove_host")
    @operation(role=ADMIN, body=schemas.REMOVE_HOST)
    def remove_host(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Take a host out of it."""
        key, host = _key(id), req.context.body["remove_host"]["host"]
        _answer(req, resp, store.remove_host(self._db, key, host, self._may_move(errors.Conflict)))

    @action("set_metadata")
    @operation(role=ADMIN, body=schemas.SET_METADATA)
    def set_metadata(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Change its metadata."""
        key, changes = _key(id), req.context.body["set_metadata"]["metadata"]
        _refuse_no_zone(key, changes)
        _answer(req, resp, store.set_metadata(self._db, key, changes, self._may_move(errors.Invalid)))


def _answer(req: falcon.Request, resp: falcon.Response, found: store.HostAggregate) -> None:
    resp.media = {"aggregate": _view(req.context.version.minor, found)}
    resp.status = falcon.HTTP_200


def _refuse_no_zone(key: int, wanted: dict[str, Any]) -> None:
    if store.ZONE in wanted and wanted[store.ZONE] is None:
        raise errors.Invalid(
            f"The availability zone of aggregate {key} can be changed but not removed: 'availability_zone' must not "
            "be null."
        )
