"""Every path of the Compute API, in one table."""

from __future__ import annotations

from typing import Any

import falcon

from tenter_api.compute import versions
from tenter_api.middleware import COMPUTE_PREFIX
from tenter_api.services import Services


def table(services: Services) -> dict[str, Any]:
    """Return the resource that serves each path below ``/v2.1`` (and below ``/v2.1/{project_id}``)."""
    return {}


def add_routes(app: falcon.App[Any, Any], services: Services) -> None:
    """Mount the Compute API on the application, with and without the project in the URL."""
    app.add_route("/", versions.VersionList())
    app.add_route(COMPUTE_PREFIX, versions.VersionItem())
    for path, resource in table(services).items():
        app.add_route(COMPUTE_PREFIX + path, resource)
        app.add_route(COMPUTE_PREFIX + "/{project_id}" + path, resource)
