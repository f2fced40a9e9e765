"""Mounting API extensions: each under its own prefix, behind what all requests pass."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

import falcon

from tenter import errors
from tenter.contracts.api import ApiExtension, Route
from tenter.plugins.guard import said
from tenter_api.guard import Gate, guarded
from tenter_api.middleware import COMPUTE_PREFIX

LOG = logging.getLogger(__name__)
BASE = "/tenter/extensions"
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
_FIELD = re.compile(r"\{([a-z_][a-z0-9_]*)(:[a-z0-9_]+(\([^(){}/]*\))?)?\}", re.ASCII)
_RESERVED = "project_id"
"""The field of the path that is the API's own."""


class _Missing:
    """Where an extension is not: otherwise ``tenter`` would be taken for a project, whose Compute API has extensions
    too."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, prefix: str) -> None:
        """Raise NotFound."""
        raise errors.NotFound(f"There is no extension {prefix[:64]!r} here.")

    on_delete = on_head = on_patch = on_post = on_put = on_get


def mount(
    app: falcon.App[Any, Any], extensions: Iterable[tuple[str, ApiExtension]], threads: int = 1
) -> list[str]:  # fmt: skip
    """Add the routes of extensions to the application and return the prefixes of those that it serves.

    One that cannot be served is left out as a whole, with one line in the log. Of the ``threads`` that answer requests
    all extensions together get a quarter.
    """
    gate = Gate(max(1, threads // 4))
    app.add_route(f"{COMPUTE_PREFIX}{BASE}/{{prefix}}", _Missing())
    owners: dict[str, str] = {}
    for name, extension in extensions:
        try:
            prefix = _checked_prefix(extension)
            if prefix in owners:
                raise errors.PluginBroken(f"its prefix {prefix!r} is that of {owners[prefix]}; enable one of them.")
            routes = _checked_routes(extension)
            paths = [(start + f"{BASE}/{prefix}{route.path}", route.resource)
                     for route in routes for start in (COMPUTE_PREFIX, COMPUTE_PREFIX + "/{project_id}")]  # fmt: skip
            # An application of its own first: what Falcon refuses there, it does not leave half done here.
            trial: falcon.App[Any, Any] = falcon.App()
            for path, resource in paths:
                trial.add_route(path, resource)
            for path, resource in [(path, guarded(resource, gate)) for path, resource in paths]:
                app.add_route(path, resource)
        except BaseException as exc:  # even SystemExit: the API starts without it
            LOG.error("The extension %s is left out: %s", name, said(exc))
            LOG.debug("Why %s is left out", name, exc_info=True)
        else:
            owners[prefix] = name
    return list(owners)


def _checked_prefix(extension: ApiExtension) -> str:
    prefix = getattr(extension, "prefix", None)
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise errors.PluginBroken(f"its prefix is {prefix!r}; it must be lower-case letters, digits and hyphens.")
    return prefix


def _checked_routes(extension: ApiExtension) -> list[Route]:
    routes = list(extension.routes())
    for route in routes:
        if not isinstance(route, Route):
            raise errors.PluginBroken(f"routes() returned {route!r}, which is no Route.")
        _check_path(route.path)
        if hasattr(route.resource, "public"):
            raise errors.PluginBroken(f"the resource of {route.path!r} has an attribute 'public': all need a token.")
        if not any(name.startswith("on_") for name in dir(route.resource)):
            raise errors.PluginBroken(f"the resource of {route.path!r} answers nothing: it has no on_get, on_post, ….")
    return routes


def _check_path(path: str) -> None:
    if path == "":
        return
    start, *segments = path.split("/")
    for segment in segments:
        field = _FIELD.fullmatch(segment)
        if field and field[1] == _RESERVED:
            raise errors.PluginBroken(f"the route {path!r} has a field {_RESERVED!r}, which is the API's own.")
        if not field and (segment in (".", "..") or not _NAME.fullmatch(segment)):
            raise errors.PluginBroken(f"the route {path!r} is not below its prefix: what is {segment!r}?")
    if start:
        raise errors.PluginBroken(f"the route {path!r} is not below its prefix: it must begin with '/'.")
