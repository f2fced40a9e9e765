"""The application: every API that this process serves, on one WSGI callable."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

import falcon
import orjson
from falcon import media

from tenter_api import errors as api_errors
from tenter_api import extensions
from tenter_api.auth import AuthMiddleware
from tenter_api.compute import routes
from tenter_api.health import Health, Ready
from tenter_api.metrics import Metrics
from tenter_api.middleware import ComputeMiddleware, RequestMiddleware
from tenter_api.services import Services

LOG = logging.getLogger(__name__)

SMALL_APIS = {"identity": "/identity", "image": "/image", "network": "/network"}
"""Packages of this distribution that serve what clients need beside compute, and the prefix of each."""


def create_app(services: Services) -> falcon.App[Any, Any]:
    """Return the application, ready to serve."""
    options = services.conf.api
    app: falcon.App[Any, Any] = falcon.App(
        middleware=[
            RequestMiddleware(options.public_url, options.max_body_bytes),
            AuthMiddleware(services.identity),
            ComputeMiddleware(),
        ]
    )
    app.req_options.strip_url_path_trailing_slash = True
    handler = media.JSONHandler(dumps=orjson.dumps, loads=orjson.loads)
    app.req_options.media_handlers[falcon.MEDIA_JSON] = handler
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = handler
    app.add_route("/healthz", Health(services))
    app.add_route("/readyz", Ready(services))
    app.add_route("/metrics", Metrics(services))
    routes.add_routes(app, services)
    extensions.mount(app, services.extensions, options.threads)
    renderers = [(prefix, renderer) for prefix, renderer in _mount_small_apis(app, services)]
    api_errors.ErrorHandlers(renderers).install(app)
    return app


def _mount_small_apis(
    app: falcon.App[Any, Any], services: Services
) -> list[tuple[str, Callable[..., dict[str, Any]]]]:
    mounted = []
    for name, prefix in SMALL_APIS.items():
        package = importlib.import_module(f"tenter_api.{name}")
        if hasattr(package, "add_routes"):
            package.add_routes(app, prefix, getattr(services, name))
            mounted.append((prefix, package.render_error))
    return mounted
