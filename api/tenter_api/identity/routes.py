"""Which resource answers below which path."""

from __future__ import annotations

from typing import Any

import falcon

from tenter.contracts.identity import IdentityDriver, Kind, SupportsIdentityApi
from tenter_api.identity import entities, tokens
from tenter_api.identity.catalog import Catalog, make_catalog


def add_routes(
    app: falcon.App[Any, Any], prefix: str, identity: IdentityDriver, catalog: Catalog | None = None
) -> None:
    """Mount Identity API v3 below ``prefix``, such as ``/identity``.

    Nothing is mounted for a driver that is no identity service itself. ``catalog`` makes the service catalog;
    by default it names the services of the embedded mode below the URL that the client asks.
    """
    if not isinstance(identity, SupportsIdentityApi):
        return
    api, listing = identity, catalog or make_catalog()
    v3 = f"{prefix}/v3"
    versions = tokens.Versions(prefix)
    app.add_route(prefix, versions)
    app.add_route(f"{prefix}/", versions)
    app.add_route(v3, versions, suffix="v3")
    app.add_route(f"{v3}/", versions, suffix="v3")
    app.add_route(f"{v3}/auth/tokens", tokens.Tokens(api, identity, listing))
    own = tokens.Own(api, listing, prefix)
    for suffix in ("catalog", "projects", "domains"):
        app.add_route(f"{v3}/auth/{suffix}", own, suffix=suffix)
    for kind in Kind:
        resource = entities.Entities(api, prefix, kind)
        app.add_route(f"{v3}/{kind.value}s", resource)
        app.add_route(f"{v3}/{kind.value}s/{{{kind.value}_id}}", resource, suffix="one")
    app.add_route(f"{v3}/users/{{user_id}}/password", entities.UserPassword(api, prefix))
    app.add_route(f"{v3}/users/{{user_id}}/projects", entities.UserProjects(api, prefix))
    app.add_route(f"{v3}/role_assignments", entities.RoleAssignments(api, prefix))
    _add_role_routes(app, v3, entities.ProjectRoles(api, prefix), "projects/{project_id}")
    other = entities.OtherRoles(api, prefix)
    _add_role_routes(app, v3, other, "domains/{domain_id}")
    _add_role_routes(app, v3, other, "system")


def _add_role_routes(app: falcon.App[Any, Any], v3: str, resource: entities.Resource, scope: str) -> None:
    app.add_route(f"{v3}/{scope}/users/{{user_id}}/roles", resource)
    app.add_route(f"{v3}/{scope}/users/{{user_id}}/roles/{{role_id}}", resource, suffix="one")
