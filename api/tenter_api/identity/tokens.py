"""Version documents, and ``/v3/auth``: tokens, and what a caller may do with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from tenter import errors
from tenter.contracts.identity import (
    AuthRequest,
    EntityQuery,
    IdentityDriver,
    Kind,
    Scope,
    SupportsIdentityApi,
    Token,
    ValidateRequest,
)
from tenter_api import auth, validation
from tenter_api.identity import render, schemas
from tenter_api.identity.catalog import Catalog

SUBJECT_HEADER = "X-Subject-Token"


class Versions:
    """``GET /``: the versions, as 300; ``GET /v3``: the one version."""

    public = ("GET", "HEAD")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = falcon.HTTP_300
        version = render.render_version(auth.base_url(req) + self._prefix)
        resp.media = {"versions": {"values": [version]}}

    def on_get_v3(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"version": render.render_version(auth.base_url(req) + self._prefix)}


class Tokens:
    """``/v3/auth/tokens``: issue, validate, check, revoke."""

    public = ("POST",)

    def __init__(self, api: SupportsIdentityApi, driver: IdentityDriver, catalog: Catalog) -> None:
        self._api = api
        self._driver = driver
        self._catalog = catalog

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = validation.read_json(req)
        validation.check_body(schemas.AUTH, body)
        token = self._api.authenticate(_auth_request(body["auth"]))
        resp.status = falcon.HTTP_201
        self._answer(req, resp, token)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._answer(req, resp, self._subject(req))

    def on_head(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._subject(req)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._api.revoke(self._subject(req).secret)
        resp.status = falcon.HTTP_204

    def _subject(self, req: falcon.Request) -> Token:
        """Return the token that the request is about. Raises NotFound, Forbidden, Invalid (header
        missing)."""
        secret = req.get_header(SUBJECT_HEADER)
        if not secret:
            raise errors.Invalid(f"The header {SUBJECT_HEADER} is missing.")
        try:
            token = self._api.describe_token(secret)
        except errors.Unauthorized as exc:
            raise errors.NotFound("Could not find token.") from exc
        if token.user.id != req.context.identity.user_id:
            auth.require_admin(req)
        return token

    def _answer(self, req: falcon.Request, resp: falcon.Response, token: Token) -> None:
        catalog = None
        if not req.has_param("nocatalog"):
            catalog = self._catalog(req, self._driver.validate(ValidateRequest(token.secret)))
        resp.set_header(SUBJECT_HEADER, token.secret)
        resp.set_header("Vary", auth.TOKEN_HEADER)
        resp.media = render.render_token(token, catalog)


class Own:
    """``/v3/auth/catalog``, ``/v3/auth/projects``, ``/v3/auth/domains``: what the caller can reach."""

    public = ()

    def __init__(self, api: SupportsIdentityApi, catalog: Catalog, prefix: str) -> None:
        self._api = api
        self._catalog = catalog
        self._prefix = prefix

    def on_get_catalog(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = req.context.identity
        if identity.project_id is None:
            raise errors.Forbidden("The token is not scoped to a project, so it has no catalog.")
        resp.media = {"catalog": self._catalog(req, identity), "links": {"self": req.uri}}

    def on_get_projects(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = EntityQuery(Kind.PROJECT, enabled=True, user_id=req.context.identity.user_id)
        root = auth.base_url(req) + self._prefix
        resp.media = render.render_list(Kind.PROJECT, self._api.list(query), root, req.uri)

    def on_get_domains(self, req: falcon.Request, resp: falcon.Response) -> None:
        root = auth.base_url(req) + self._prefix
        resp.media = render.render_list(Kind.DOMAIN, [], root, req.uri)  # nobody has a role on a domain


def _auth_request(body: Mapping[str, Any]) -> AuthRequest:
    identity = body["identity"]
    methods = identity["methods"]
    for method in methods:
        if method not in identity:
            raise errors.Invalid(f"Invalid input for field/attribute auth.identity: {method} is missing.")
    user = identity["password"]["user"] if "password" in methods else {}
    domain = user.get("domain", {})
    return AuthRequest(
        scope=_scope(body.get("scope")),
        user_id=user.get("id"),
        user_name=user.get("name"),
        user_domain=domain.get("id") or domain.get("name"),
        password=user.get("password"),
        token=identity["token"]["id"] if "token" in methods else None,
    )


def _scope(scope: Mapping[str, Any] | str | None) -> Scope:
    if scope is None:
        return Scope(default=True)
    if isinstance(scope, str) or "unscoped" in scope:
        return Scope()
    if "project" not in scope:
        raise errors.Unauthorized(
            "Tokens are given for projects only: nobody has a role on a domain or the system."
        )
    project = scope["project"]
    domain = project.get("domain", {})
    if "id" not in project and "name" not in project:
        raise errors.Invalid("Invalid input for field/attribute auth.scope.project: id or name is missing.")
    return Scope(project.get("id"), project.get("name"), domain.get("id") or domain.get("name"))
