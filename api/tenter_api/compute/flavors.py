"""Flavors, their extra specs, and which projects may use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon
import sqlalchemy as sa

from tenter import errors
from tenter.store import flavors as store
from tenter.store.engine import Database
from tenter_api.compute import links
from tenter_api.compute.extra_specs import check_extra_specs
from tenter_api.compute.resource import ADMIN, ActionResource, action, operation
from tenter_api.compute.schemas import flavors as schemas
from tenter_api.compute.schemas.parameters import MAX_INT, is_true

_FALSE = ("false", "0", "off", "no", "f", "n")
_TRUE = ("true", "1", "on", "yes", "t", "y")


def seen_by(req: falcon.Request) -> str | None:
    """Return the project whose flavors a caller is limited to; None for admins, who see all."""
    identity = req.context.identity
    return None if identity.is_admin else identity.project_id


class View:
    """How flavors look to one request."""

    def __init__(self, req: falcon.Request) -> None:
        self._minor: int = req.context.version.minor
        self._self, self._bookmark = links.linker(req, "flavors")

    def brief(self, row: Mapping[str, Any] | sa.RowMapping) -> dict[str, Any]:
        """Return id, name and links (and since 2.55 the description)."""
        key = row["flavorid"]
        view = {
            "id": key,
            "name": row["name"],
            "links": [
                {"rel": "self", "href": self._self + key},
                {"rel": "bookmark", "href": self._bookmark + key},
            ],
        }
        if self._minor >= 55:
            view["description"] = row["description"]
        return view

    def full(self, row: Mapping[str, Any] | sa.RowMapping) -> dict[str, Any]:
        """Return everything about a flavor. Memory and swap in MiB, disks in GiB."""
        minor = self._minor
        view = self.brief(row)
        view["ram"] = row["memory_mb"]
        view["vcpus"] = row["vcpus"]
        view["disk"] = row["root_gb"]
        view["swap"] = row["swap"] if row["swap"] or minor >= 75 else ""
        view["OS-FLV-EXT-DATA:ephemeral"] = row["ephemeral_gb"]
        view["os-flavor-access:is_public"] = row["is_public"]
        if minor < 102:
            view["rxtx_factor"] = row["rxtx_factor"]
            view["OS-FLV-DISABLED:disabled"] = row["disabled"]
        if minor >= 61:
            view["extra_specs"] = row["extra_specs"]
        return view


def _is_public(req: falcon.Request) -> bool | None:
    """Return which flavors an admin asks for: public (default), private, or all (None)."""
    values = req.context.query.get("is_public")
    if not req.context.identity.is_admin or not values:
        return True
    word = values[-1].strip().lower()
    if word == "none":
        return None
    if word not in _TRUE + _FALSE:
        raise errors.Invalid(f"Invalid is_public filter [{values[-1][:64]}]: it must be true, false or none.")
    return word in _TRUE


def _least(query: dict[str, list[str]], name: str) -> int | None:
    values = query.get(name)
    if not values:
        return None
    try:
        return max(-1, min(int(values[-1][:32]), MAX_INT))
    except ValueError:
        raise errors.Invalid(f"Invalid {name} filter [{values[-1][:64]}]: it must be an integer.") from None


class _List:
    """What both lists of flavors share."""

    collection = "flavors"

    def __init__(self, db: Database, max_limit: int) -> None:
        self._db = db
        self._max_limit = max_limit

    def _page(self, req: falcon.Request, detailed: bool) -> dict[str, Any]:
        query = req.context.query
        limit, marker = links.page(query, self._max_limit)
        sort_key = query.get("sort_key", ["flavorid"])[-1]
        rows = store.list_flavors(
            self._db,
            project_id=req.context.identity.project_id if _is_public(req) else seen_by(req),
            is_public=_is_public(req),
            min_ram=_least(query, "minRam"),
            min_disk=_least(query, "minDisk"),
            name=query.get("name", [None])[-1],
            sort_key="id" if sort_key == "vcpu_weight" else sort_key,
            descending=query.get("sort_dir", ["asc"])[-1] == "desc",
            limit=limit,
            marker=marker,
        )
        view = View(req)
        answer: dict[str, Any] = {"flavors": [(view.full if detailed else view.brief)(row) for row in rows]}
        if links.more(rows, limit):
            answer["flavors_links"] = links.next_link(req, self.collection, rows[-1]["flavorid"])
        return answer


class Flavors(_List):
    """``/flavors``"""

    @operation(query=schemas.LIST_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the flavors the caller may use, in brief."""
        resp.media = self._page(req, detailed=False)

    @operation(role=ADMIN, body=schemas.CREATE)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create a flavor."""
        asked = req.context.body["flavor"]
        key = asked.get("id")
        flavor = store.create_flavor(
            self._db,
            name=asked["name"],
            flavorid=_flavor_id(key),
            memory_mb=int(asked["ram"]),
            vcpus=int(asked["vcpus"]),
            root_gb=int(asked["disk"]),
            ephemeral_gb=int(asked.get("OS-FLV-EXT-DATA:ephemeral", 0)),
            swap=int(asked.get("swap", 0)),
            rxtx_factor=float(asked.get("rxtx_factor", 1.0)),
            is_public=is_true(asked.get("os-flavor-access:is_public", True)),
            description=asked.get("description"),
        )
        resp.media = {"flavor": View(req).full({name: getattr(flavor, name) for name in _SHOWN})}


_SHOWN = (
    *("flavorid", "name", "description", "is_public", "disabled", "extra_specs", "rxtx_factor"),
    *("vcpus", "memory_mb", "swap", "root_gb", "ephemeral_gb"),
)


def _flavor_id(key: str | int | float | None) -> str | None:
    if isinstance(key, float) and "+" in str(key):
        raise errors.Invalid(f"Invalid input for field/attribute flavor.id. Value: {key}. It is too large.")
    return None if key is None else str(key)


class FlavorsDetail(_List):
    """``/flavors/detail``"""

    collection = "flavors/detail"

    @operation(query=schemas.LIST_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the flavors the caller may use, in full."""
        resp.media = self._page(req, detailed=True)


class FlavorItem:
    """``/flavors/{flavor_id}``"""

    def __init__(self, db: Database) -> None:
        self._db = db

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, flavor_id: str) -> None:
        """Show a flavor the caller may use."""
        resp.media = {"flavor": View(req).full(store.flavor_row(self._db, flavor_id, seen_by(req)))}

    @operation(since=55, role=ADMIN, body=schemas.UPDATE)
    def on_put(self, req: falcon.Request, resp: falcon.Response, flavor_id: str) -> None:
        """Change the description."""
        flavor = store.update_flavor(self._db, flavor_id, req.context.body["flavor"]["description"])
        resp.media = {"flavor": View(req).full(flavor)}

    @operation(role=ADMIN)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, flavor_id: str) -> None:
        """Delete a flavor."""
        store.delete_flavor(self._db, flavor_id)
        resp.status = falcon.HTTP_202


class FlavorAction(ActionResource):
    """``/flavors/{flavor_id}/action``: which projects may use a private flavor."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @action("addTenantAccess")
    @operation(role=ADMIN, body=schemas.ADD_ACCESS)
    def add(self, req: falcon.Request, resp: falcon.Response, flavor_id: str) -> None:
        """Let a project use it."""
        tenant = req.context.body["addTenantAccess"]["tenant"]
        self._answer(resp, flavor_id, store.grant_flavor(self._db, flavor_id, tenant))

    @action("removeTenantAccess")
    @operation(role=ADMIN, body=schemas.REMOVE_ACCESS)
    def remove(self, req: falcon.Request, resp: falcon.Response, flavor_id: str) -> None:
        """Take it away from a project."""
        tenant = req.context.body["removeTenantAccess"]["tenant"]
        self._answer(resp, flavor_id, store.revoke_flavor(self._db, flavor_id, tenant))

    @staticmethod
    def _answer(resp: falcon.Response, flavor_id: str, projects: Any) -> None:
        resp.status = falcon.HTTP_200
        resp.media = access_view(flavor_id, projects)


def access_view(flavor_id: str, projects: Any) -> dict[str, Any]:
    """Return the list of projects that may use a flavor, as the API shows it."""
    return {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": project} for project in projects]}


class FlavorAccess:
    """``/flavors/{flavor_id}/os-flavor-access``"""

    def __init__(self, db: Database) -> None:
        self._db = db

    @operation(role=ADMIN)
    def on_get(self, req: falcon.Request, resp: falcon.Response, flavor_id: str) -> None:
        """List the projects that may use a private flavor."""
        resp.media = access_view(flavor_id, store.flavor_access(self._db, flavor_id))


def _texts(specs: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in specs.items()}


def _check(req: falcon.Request, specs: Mapping[str, Any]) -> None:
    if req.context.version.minor >= 86:
        check_extra_specs(_texts(specs))


class ExtraSpecs:
    """``/flavors/{flavor_id}/os-extra_specs``"""

    def __init__(self, db: Database) -> None:
        self._db = db

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, flavor_id: str) -> None:
        """List a flavor's extra specs."""
        resp.media = {"extra_specs": store.flavor_row(self._db, flavor_id, seen_by(req))["extra_specs"]}

    @operation(role=ADMIN, body=schemas.SPECS_CREATE)
    def on_post(self, req: falcon.Request, resp: falcon.Response, flavor_id: str) -> None:
        """Add extra specs, or change them."""
        specs = req.context.body["extra_specs"]
        _check(req, specs)
        store.set_extra_specs(self._db, flavor_id, _texts(specs))
        resp.media = {"extra_specs": specs}


class ExtraSpec:
    """``/flavors/{flavor_id}/os-extra_specs/{key}``"""

    def __init__(self, db: Database) -> None:
        self._db = db

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, flavor_id: str, key: str) -> None:
        """Show one extra spec."""
        specs = store.flavor_row(self._db, flavor_id, seen_by(req))["extra_specs"]
        if key not in specs:
            raise store.unknown_spec(flavor_id, key)
        resp.media = {key: specs[key]}

    @operation(role=ADMIN, body=schemas.SPEC_UPDATE)
    def on_put(self, req: falcon.Request, resp: falcon.Response, flavor_id: str, key: str) -> None:
        """Add or change one extra spec."""
        body = req.context.body
        if key not in body:
            raise errors.Invalid("The key in the body is not the one in the URL.")
        _check(req, body)
        store.set_extra_specs(self._db, flavor_id, _texts(body))
        resp.media = body

    @operation(role=ADMIN)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, flavor_id: str, key: str) -> None:
        """Delete one extra spec."""
        store.delete_extra_spec(self._db, flavor_id, key)
