"""Falcon resources of the Network API v2.0."""

from __future__ import annotations

from typing import Any

import falcon

from tenter import errors
from tenter.contracts.identity import Identity
from tenter.contracts.network import NetworkScope, SupportsNetworkApi
from tenter_api import auth, validation
from tenter_api.network import listing, render
from tenter_api.network.kinds import Kind, kinds


def scope_of(req: falcon.Request, role: str) -> NetworkScope:
    """Return for whom a request acts. Raises Forbidden without the role, or without a project to have it
    in."""
    identity: Identity = req.context.identity
    if role not in identity.roles and not identity.is_admin:
        raise errors.Forbidden(f"Policy does not allow this to be done: it takes the role {role!r}.")
    if identity.project_id is None and not identity.is_admin:
        raise errors.Forbidden("The token is not scoped to a project, as this request needs.")
    return NetworkScope(identity.project_id or "", identity.is_admin)


class Versions:
    """``GET /``: the versions that there are; ``GET /v2.0``: what it serves. Public."""

    public = ("GET", "HEAD")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the versions."""
        resp.media = {"versions": [render.render_version(self._root(req))]}

    def on_get_v2(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the collections of v2.0."""
        root = self._root(req)
        resp.media = {
            "resources": [
                {
                    "name": plural.rstrip("s").replace("-", "_"),
                    "collection": plural.replace("-", "_"),
                    "links": [{"rel": "self", "href": f"{root}/v2.0/{plural}"}],
                }
                for plural in ("networks", "subnets", "ports", "security-groups")
            ]
        }

    def _root(self, req: falcon.Request) -> str:
        return auth.base_url(req) + self._prefix


class Collection:
    """``/v2.0/networks``, ``subnets``, ``ports``."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List. Raises Forbidden, Invalid."""
        scope, query = scope_of(req, "reader"), listing.query_of(req)
        columns = self._kind.columns
        where = {columns[key]: values for key, values in query.items() if key in columns}
        url = auth.base_url(req) + req.path
        resp.media = listing.shaped(self._kind.find(scope, where), query, self._kind.plural, url)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make one. Raises Forbidden, Invalid, NotFound, Conflict."""
        scope = scope_of(req, "member")
        body = validation.read_json(req)
        validation.check_body(self._kind.create_schema, body)
        wanted = body[self._kind.name]
        made = self._kind.create(scope, _owner(scope, wanted), wanted)
        resp.media, resp.status = {self._kind.name: made}, falcon.HTTP_201


class Item:
    """``/v2.0/networks/{id}``, ``subnets``, ``ports``."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show. Raises NotFound, Forbidden."""
        shown = self._find(scope_of(req, "reader"), id)
        resp.media = {self._kind.name: listing.trimmed(shown, listing.query_of(req))}

    def on_put(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Change. Raises NotFound, Forbidden, Invalid, Conflict."""
        scope = scope_of(req, "member")
        body = validation.read_json(req)
        validation.check_body(self._kind.update_schema, body)
        self._kind.update(scope, self._kind.name, id, body[self._kind.name])
        resp.media = {self._kind.name: self._find(scope, id)}

    def on_delete(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Remove. Raises NotFound, Forbidden, Conflict."""
        self._kind.delete(scope_of(req, "member"), id)
        resp.status = falcon.HTTP_204

    def _find(self, scope: NetworkScope, id: str) -> dict[str, Any]:
        found = self._kind.find(scope, {"id": (id,)})
        if not found:
            raise errors.NotFound(f"{self._kind.name.capitalize()} {id[:80]} could not be found.")
        return found[0]


class SecurityGroups:
    """``/v2.0/security-groups``: read only."""

    def __init__(self, network: SupportsNetworkApi) -> None:
        self._network = network

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List. Raises Forbidden, Invalid."""
        url = auth.base_url(req) + req.path
        resp.media = listing.shaped(self._find(req), listing.query_of(req), "security_groups", url)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show. Raises NotFound, Forbidden."""
        for group in self._find(req):
            if group["id"] == id:
                resp.media = {"security_group": listing.trimmed(group, listing.query_of(req))}
                return
        raise errors.NotFound(f"Security group {id[:80]} does not exist.")

    def _find(self, req: falcon.Request) -> list[dict[str, Any]]:
        groups = self._network.list_security_groups(scope_of(req, "reader"))
        return [render.render_security_group(group) for group in groups]


class Quotas:
    """``/v2.0/quotas/{project}``: read only, for nothing is limited; and nobody can have what is not served."""

    def __init__(self, network: SupportsNetworkApi) -> None:
        self._network = network

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show a project's limits. Raises Forbidden."""
        self._scope(req, id)
        resp.media = {"quota": _LIMITS}

    def on_get_details(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show a project's limits and what it has. Raises Forbidden."""
        scope = self._scope(req, id)
        used: dict[str, int] = {
            kind.name: len(kind.find(scope, {"project_id": (id,)})) for kind in kinds(self._network)
        }
        groups = self._network.list_security_groups(scope)
        used["security_group"] = sum(group.project_id == id for group in groups)
        resp.media = {
            "quota": {
                name: {"limit": limit, "used": used.get(name, 0), "reserved": 0} for name, limit in _LIMITS.items()
            }
        }

    def _scope(self, req: falcon.Request, project_id: str) -> NetworkScope:
        scope = scope_of(req, "reader")
        if project_id != scope.project_id and not scope.is_admin:
            raise errors.Forbidden("Policy does not allow this to be done: the quotas of other projects are theirs.")
        return scope


_LIMITS = {
    "network": -1, "subnet": -1, "port": -1, "security_group": -1, "security_group_rule": -1,
    "subnetpool": 0, "router": 0, "floatingip": 0, "rbac_policy": 0,
}  # fmt: skip


class Extensions:
    """``/v2.0/extensions``: what of the Network API's extensions is there."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        resp.media = {"extensions": list(render.EXTENSIONS)}

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, alias: str) -> None:
        """Show. Raises NotFound."""
        for extension in render.EXTENSIONS:
            if extension["alias"] == alias:
                resp.media = {"extension": extension}
                return
        raise errors.NotFound(f"Extension with alias {alias[:80]} does not exist.")


def _owner(scope: NetworkScope, body: dict[str, Any]) -> str:
    """Return the project that something is made for. Raises Forbidden, Invalid."""
    asked = {body[key] for key in ("project_id", "tenant_id") if key in body}
    if len(asked) > 1:
        raise errors.Invalid("project_id and tenant_id are two names for one thing, and differ here.")
    owner = str(asked.pop()) if asked else scope.project_id
    if not owner:
        raise errors.Invalid("The token is not scoped to a project; say for which project_id this is.")
    if owner != scope.project_id and not scope.is_admin:
        raise errors.Forbidden("Only an administrator may make something for another project.")
    return owner
