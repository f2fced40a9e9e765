"""Server groups: which servers are to be on one host, and which each on another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from tenter import errors
from tenter.store import server_groups as store
from tenter.store.engine import Database
from tenter.store.quota import SERVER_GROUPS, Quotas
from tenter_api.compute.resource import operation
from tenter_api.compute.schemas import server_groups as schemas
from tenter_api.compute.schemas.parameters import MAX_INT
from tenter_api.validation import is_uuid

_RULE = "max_server_per_host"


def _view(req: falcon.Request, group: store.Group) -> dict[str, Any]:
    minor = req.context.version.minor
    view: dict[str, Any] = {"id": group.uuid, "name": group.name, "members": list(group.members)}
    if minor >= 64:
        view["policy"] = group.policy
        view["rules"] = {} if group.max_per_host is None else {_RULE: group.max_per_host}
    else:
        # Clients of that time know no soft policies, and check what they are answered.
        known = minor >= 15 or group.policy in schemas.HARD
        view |= {"policies": [group.policy] if known else [], "metadata": {}}
    if minor >= 13:
        view |= {"project_id": group.project_id, "user_id": group.user_id}
    return view


def _wanted(minor: int, asked: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the policy and its limit for each host that are asked for. Raises Invalid."""
    if minor < 64:
        return asked["policies"][0], None
    policy, rules = asked["policy"], asked.get("rules") or {}
    if rules and policy != store.ANTI_AFFINITY:
        raise errors.Invalid("Only anti-affinity policy supports rules.")
    return policy, int(rules[_RULE]) if rules else None


def _number(values: list[str] | None, default: int) -> int:
    """Return the last of a parameter's values, cut off where a database ends; ``default`` without one."""
    if not values:
        return default
    digits = values[-1].lstrip("0") or "0"
    return min(int(digits), MAX_INT) if len(digits) < 12 else MAX_INT


def _whose(req: falcon.Request) -> str | None:
    """Return the project whose groups the caller may reach by their ids; None for all."""
    identity = req.context.identity
    return None if identity.is_admin else identity.project_id


class ServerGroups:
    """``/os-server-groups``"""

    def __init__(self, db: Database, max_limit: int, quotas: Quotas) -> None:
        self._db, self._max_limit, self._quotas = db, max_limit, quotas

    @operation(query=schemas.LIST_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the project's groups; for admins with ``all_projects`` those of all."""
        asked, identity = req.context.query, req.context.identity
        # Others ask for nothing else by it: what they get is theirs.
        everything = "all_projects" in asked and identity.is_admin
        limit = min(_number(asked.get("limit"), 0) or self._max_limit, self._max_limit)
        offset = _number(asked.get("offset"), 0)
        found = store.list_groups(self._db, None if everything else identity.project_id, limit, offset)
        resp.media = {"server_groups": [_view(req, group) for group in found]}

    @operation(body=schemas.CREATE)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a group, which has no servers yet."""
        asked, identity = req.context.body["server_group"], req.context.identity
        policy, most = _wanted(req.context.version.minor, asked)
        limit = self._quotas.limits(identity.project_id)[SERVER_GROUPS]
        try:
            group = store.create_group(
                self._db, identity.project_id, identity.user_id, asked["name"], policy, most, limit
            )
        except errors.QuotaExceeded:
            raise errors.QuotaExceeded("Quota exceeded, too many server groups.") from None
        resp.media = {"server_group": _view(req, group)}


class ServerGroupItem:
    """``/os-server-groups/{id}``"""

    def __init__(self, db: Database) -> None:
        self._db = db

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, group_id: str) -> None:
        """Show a group and the servers in it."""
        group = store.get_group(self._db, _known(group_id), _whose(req))
        resp.media = {"server_group": _view(req, group)}

    @operation()
    def on_delete(self, req: falcon.Request, resp: falcon.Response, group_id: str) -> None:
        """Delete a group; its servers stay."""
        store.delete_group(self._db, _known(group_id), _whose(req))
        resp.status = falcon.HTTP_204


def _known(group_id: str) -> str:
    """Return the id. Raises NotFound for what cannot be one."""
    if not is_uuid(group_id):
        raise errors.NotFound(f"Instance group {group_id[:64]} could not be found.")
    return group_id
