"""Domains, projects, users and roles, and who has which role: mostly for administrators."""

from __future__ import annotations

from typing import Any

import falcon

from tenter import errors
from tenter.contracts.identity import (
    Assignment,
    AssignmentQuery,
    Entity,
    EntityQuery,
    Kind,
    SupportsIdentityApi,
)
from tenter_api import auth, validation
from tenter_api.identity import render, schemas


class Resource:
    """What the resources of this module share."""

    public: tuple[str, ...] = ()

    def __init__(self, api: SupportsIdentityApi, prefix: str) -> None:
        self._api = api
        self._prefix = prefix

    def _root(self, req: falcon.Request) -> str:
        return auth.base_url(req) + self._prefix


class Entities(Resource):
    """``/v3/projects`` and the like, and ``/v3/projects/{id}``."""

    def __init__(self, api: SupportsIdentityApi, prefix: str, kind: Kind) -> None:
        super().__init__(api, prefix)
        self._kind = kind

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        if self._kind is not Kind.DOMAIN:
            auth.require_admin(req)
        query = EntityQuery(
            self._kind, req.get_param("name"), req.get_param("domain_id") or None, _boolean(req, "enabled")
        )
        resp.media = render.render_list(self._kind, self._api.list(query), self._root(req), req.uri)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        auth.require_admin(req)
        entity = self._api.create(self._kind, self._values(req, schemas.CREATE[self._kind]))
        resp.status = falcon.HTTP_201
        self._answer(req, resp, entity)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, **ids: str) -> None:
        entity_id, identity = self._id(ids), req.context.identity
        own = {
            Kind.PROJECT: identity.project_id,
            Kind.USER: identity.user_id,
            Kind.DOMAIN: identity.domain_id,
        }
        if own.get(self._kind) != entity_id:
            auth.require_admin(req)
        self._answer(req, resp, self._api.show(self._kind, entity_id))

    def on_patch_one(self, req: falcon.Request, resp: falcon.Response, **ids: str) -> None:
        auth.require_admin(req)
        values = self._values(req, schemas.UPDATE[self._kind])
        self._answer(req, resp, self._api.update(self._kind, self._id(ids), values))

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, **ids: str) -> None:
        auth.require_admin(req)
        self._api.delete(self._kind, self._id(ids))
        resp.status = falcon.HTTP_204

    def _id(self, ids: dict[str, str]) -> str:
        return ids[f"{self._kind.value}_id"]

    def _values(self, req: falcon.Request, schema: validation.Schema) -> dict[str, Any]:
        body = validation.read_json(req)
        validation.check_body(schema, body)
        values = {key: value for key, value in body[self._kind.value].items() if key not in schemas.IGNORED}
        if values.get("domain_id", "") is None:
            del values["domain_id"]
        return values

    def _answer(self, req: falcon.Request, resp: falcon.Response, entity: Entity) -> None:
        resp.media = {self._kind.value: render.render_entity(entity, self._root(req))}


class UserPassword(Resource):
    """``POST /v3/users/{id}/password``: change one's own; the old password is the proof."""

    public = ("POST",)

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        body = validation.read_json(req)
        validation.check_body(schemas.PASSWORD, body)
        user = body["user"]
        self._api.change_password(user_id, user["original_password"], user["password"])
        resp.status = falcon.HTTP_204


class UserProjects(Resource):
    """``GET /v3/users/{id}/projects``: one's own, or an administrator anybody's."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        if user_id != req.context.identity.user_id:
            auth.require_admin(req)
        self._api.show(Kind.USER, user_id)
        found = self._api.list(EntityQuery(Kind.PROJECT, user_id=user_id))
        resp.media = render.render_list(Kind.PROJECT, found, self._root(req), req.uri)


class ProjectRoles(Resource):
    """``/v3/projects/{p}/users/{u}/roles`` and ``…/roles/{r}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, project_id: str, user_id: str) -> None:
        auth.require_admin(req)
        self._api.show(Kind.PROJECT, project_id)
        self._api.show(Kind.USER, user_id)
        found = self._api.assignments(AssignmentQuery(user_id, project_id))
        roles = [self._api.show(Kind.ROLE, assignment.role_id) for assignment in found]
        resp.media = render.render_list(Kind.ROLE, roles, self._root(req), req.uri)

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, **ids: str) -> None:
        auth.require_admin(req)
        self._api.assign(Assignment(**ids))
        resp.status = falcon.HTTP_204

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, **ids: str) -> None:
        auth.require_admin(req)
        query = AssignmentQuery(ids["user_id"], ids["project_id"], ids["role_id"])
        if not self._api.assignments(query):
            raise errors.NotFound("Could not find role assignment: the user does not have this role there.")
        resp.status = falcon.HTTP_204

    on_head_one = on_get_one

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, **ids: str) -> None:
        auth.require_admin(req)
        self._api.assign(Assignment(**ids), present=False)
        resp.status = falcon.HTTP_204


class OtherRoles(Resource):
    """Roles on domains and on the system: there are none, and none can be given."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, **ids: str) -> None:
        auth.require_admin(req)
        resp.media = render.render_list(Kind.ROLE, [], self._root(req), req.uri)

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, **ids: str) -> None:
        auth.require_admin(req)
        raise errors.Forbidden("Roles can be given on projects only.")


class RoleAssignments(Resource):
    """``GET /v3/role_assignments``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        auth.require_admin(req)
        query = AssignmentQuery(
            req.get_param("user.id"),
            req.get_param("scope.project.id"),
            req.get_param("role.id"),
            bool(_boolean(req, "effective")),
        )
        elsewhere = ("group.id", "scope.domain.id", "scope.system", "scope.OS-INHERIT:inherited_to")
        found = [] if any(map(req.has_param, elsewhere)) else self._api.assignments(query)
        names = _Names(self._api) if _boolean(req, "include_names") else None
        shown = [self._render(each, names, self._root(req)) for each in found]
        resp.media = {
            "role_assignments": shown,
            "links": {"self": req.uri, "previous": None, "next": None},
        }

    def _render(self, found: Assignment, names: _Names | None, root: str) -> dict[str, Any]:
        path = f"projects/{found.project_id}/users/{found.user_id}/roles/{found.role_id}"
        role, user, project = {"id": found.role_id}, {"id": found.user_id}, {"id": found.project_id}
        if names is not None:
            role |= names.of(Kind.ROLE, found.role_id)
            user |= names.of(Kind.USER, found.user_id)
            project |= names.of(Kind.PROJECT, found.project_id)
        links = {"assignment": f"{root}/v3/{path}"}
        return {"role": role, "user": user, "scope": {"project": project}, "links": links}


class _Names:
    """Looks each name up once."""

    def __init__(self, api: SupportsIdentityApi) -> None:
        self._api = api
        self._found: dict[tuple[Kind, str], dict[str, Any]] = {}

    def of(self, kind: Kind, entity_id: str) -> dict[str, Any]:
        """Return name and domain as the API shows them; nothing of what was deleted meanwhile."""
        key = (kind, entity_id)
        if key not in self._found:
            try:
                entity = self._api.show(kind, entity_id)
                domain = {} if kind is Kind.ROLE else {"domain": render.DOMAIN}
                self._found[key] = {"name": entity.name, **domain}
            except errors.NotFound:
                self._found[key] = {}
        return self._found[key]


def _boolean(req: falcon.Request, name: str) -> bool | None:
    """Return a flag of the query, which is on if it is there and not said to be off."""
    if not req.has_param(name):
        return None
    return (req.get_param(name) or "true").lower() not in ("0", "false", "no", "off")
