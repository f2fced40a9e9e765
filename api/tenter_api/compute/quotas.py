"""Quotas: what projects may have, and have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from tenter import errors
from tenter.contracts.identity import IdentityDriver, Kind, SupportsIdentityApi
from tenter.store.quota import NETWORK, NO_FILES, RESOURCES, Quotas
from tenter_api.compute.resource import ADMIN, READER, operation
from tenter_api.compute.schemas import quotas as schemas
from tenter_api.compute.schemas.parameters import is_true

_GROUPS = ("server_groups", "server_group_members")
_NAME_LENGTH = 255


def _shown(minor: int) -> list[str]:
    hidden = (NETWORK if minor >= 36 else ()) + (NO_FILES if minor >= 57 else ())
    return [name for name in RESOURCES if name not in hidden]


def _shown_of_class(minor: int) -> list[str]:
    hidden = (NETWORK if minor >= 50 else _GROUPS) + (NO_FILES if minor >= 57 else ())
    return [name for name in RESOURCES if name not in hidden]


def _integers(asked: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(value) for name, value in asked.items() if name in RESOURCES}


class _QuotaSets:
    def __init__(self, quotas: Quotas, identity: IdentityDriver) -> None:
        self.quotas = quotas
        self._identity = identity

    def may_read(self, req: falcon.Request, project_id: str) -> None:
        """Raise Forbidden if it is another project's and the caller no administrator, Invalid if there is none such."""
        identity = req.context.identity
        if project_id != identity.project_id and not identity.is_admin:
            raise errors.Forbidden(
                "Policy doesn't allow this to be done: the quotas of other projects are theirs."
            )
        self.must_exist(req, project_id)

    def must_exist(self, req: falcon.Request, project_id: str) -> None:
        """Raise Invalid for a project that the identity service, where it is ours to ask, does not know."""
        if project_id == req.context.identity.project_id or not isinstance(self._identity, SupportsIdentityApi):
            return
        try:
            self._identity.show(Kind.PROJECT, project_id)
        except errors.NotFound:
            raise errors.Invalid(f"Project ID {project_id[:64]} is not a valid project.") from None

    def view(self, req: falcon.Request, project_id: str) -> dict[str, Any]:
        """Return the limits that the caller's version of the API shows."""
        limits = self.quotas.limits(project_id)
        return {name: limits[name] for name in _shown(req.context.version.minor)}


class QuotaSet(_QuotaSets):
    """``/os-quota-sets/{id}``, where the id is a project's."""

    @operation(query=schemas.QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show a project's limits; they hold for each of its users."""
        self.may_read(req, id)
        resp.media = {"quota_set": {"id": id, **self.view(req, id)}}

    @operation(role=ADMIN, body=schemas.UPDATE, query=schemas.QUERY)
    def on_put(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Set limits of a project; with ``force`` also below what it uses."""
        if "user_id" in req.context.query:
            raise errors.Invalid("Quotas of single users are not supported by this deployment.")
        self.must_exist(req, id)
        asked = req.context.body["quota_set"]
        self.quotas.set_limits(id, _integers(asked), is_true(asked.get("force", False)))
        resp.media = {"quota_set": self.view(req, id)}

    @operation(role=ADMIN, query=schemas.QUERY)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Give a project the default limits again."""
        if "user_id" not in req.context.query:  # no user has limits of their own
            self.quotas.forget_limits(id)
        resp.status = falcon.HTTP_202


class QuotaSetDetail(_QuotaSets):
    """``/os-quota-sets/{id}/detail``."""

    @operation(query=schemas.QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show a project's limits and what it, or one of its users, uses."""
        self.may_read(req, id)
        used = self.quotas.usage(id, req.context.query.get("user_id", [None])[0])
        limits = self.view(req, id)
        resp.media = {
            "quota_set": {
                "id": id,
                **{name: {"limit": limits[name], "in_use": used[name], "reserved": 0} for name in limits},
            }
        }


class QuotaSetDefaults(_QuotaSets):
    """``/os-quota-sets/{id}/defaults``."""

    @operation(role=READER, query=schemas.DEFAULTS_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show the limits of projects that have none of their own."""
        self.must_exist(req, id)
        limits = self.quotas.class_limits()
        resp.media = {"quota_set": {"id": id} | {name: limits[name] for name in _shown(req.context.version.minor)}}


class QuotaClassSet:
    """``/os-quota-class-sets/{id}``. The class "default" holds for all projects; others hold for none."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    @operation(role=ADMIN)
    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Show the limits of a quota class."""
        resp.media = {"quota_class_set": {"id": id, **self._view(req, id)}}

    @operation(role=ADMIN, body=schemas.CLASS_UPDATE)
    def on_put(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Set limits of a quota class."""
        if len(id) > _NAME_LENGTH:
            raise errors.Invalid(f"quota_class_name has {len(id)} characters, more than {_NAME_LENGTH}.")
        self._quotas.set_class_limits(id, _integers(req.context.body["quota_class_set"]))
        resp.media = {"quota_class_set": self._view(req, id)}

    def _view(self, req: falcon.Request, name: str) -> dict[str, int]:
        limits = self._quotas.class_limits(name)
        return {resource: limits[resource] for resource in _shown_of_class(req.context.version.minor)}
