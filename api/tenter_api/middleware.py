"""What happens to every request before it reaches a resource."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

import falcon
from oslo_context.context import RequestContext

from tenter import errors
from tenter_api import microversion

LOG = logging.getLogger(__name__)
COMPUTE_PREFIX = "/v2.1"
_GLOBAL_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def is_compute(path: str) -> bool:
    """Return whether a path belongs to the Compute API."""
    return path == COMPUTE_PREFIX or path.startswith(COMPUTE_PREFIX + "/")


class RequestMiddleware:
    """Gives each request an id and the URL that links start with, and refuses bodies that are too large.

    Afterwards ``req.context`` has ``request_id``, ``global_request_id`` (a client's, or None), ``base_url``.
    """

    def __init__(self, public_url: str | None, max_body_bytes: int, unlimited: str = "/image/") -> None:
        """``unlimited`` is the prefix of the paths below which bodies are streams of any length."""
        self._public_url = public_url.rstrip("/") if public_url else None
        self._max_body = max_body_bytes
        self._unlimited = unlimited

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Falcon's hook."""
        context = req.context
        context.started = time.monotonic()
        context.request_id = "req-" + str(uuid.uuid4())
        given = req.get_header("X-OpenStack-Request-ID")
        context.global_request_id = given if given and _GLOBAL_ID.fullmatch(given) else None
        # Becomes this thread's current context, from which oslo.log takes the request id of every line.
        RequestContext(request_id=context.request_id, global_request_id=context.global_request_id)
        context.base_url = self._public_url or req.prefix
        context.max_body_bytes = self._max_body
        resp.set_header("X-OpenStack-Request-ID", context.request_id)
        if is_compute(req.path):
            resp.set_header("X-Compute-Request-ID", context.request_id)
        if (req.content_length or 0) > self._max_body and not req.path.startswith(self._unlimited):
            raise errors.TooLarge(f"The request's body is larger than {self._max_body} bytes.")

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool
    ) -> None:
        """Falcon's hook: one line in the log for what changed something, at DEBUG for the rest."""
        level = logging.DEBUG if req.method in ("GET", "HEAD", "OPTIONS") else logging.INFO
        if LOG.isEnabledFor(level):
            milliseconds = (time.monotonic() - req.context.started) * 1000
            LOG.log(level, "%s %s %s %.1fms", req.method, req.path, resp.status_code, milliseconds)


class ComputeMiddleware:
    """Negotiates the microversion of Compute API requests, and checks the project in the URL.

    Afterwards ``req.context.version`` is the ``ApiVersion`` to speak and ``req.context.root`` the path prefix
    under which the client sees the API: ``/v2.1`` or ``/v2.1/{project_id}``.
    """

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Falcon's hook."""
        if not req.path.startswith(COMPUTE_PREFIX + "/"):
            return
        req.context.root = COMPUTE_PREFIX
        resp.set_header("Vary", f"{microversion.HEADER}, {microversion.LEGACY_HEADER}")
        version = microversion.negotiate(
            req.get_header(microversion.HEADER), req.get_header(microversion.LEGACY_HEADER)
        )
        req.context.version = version
        resp.set_header(microversion.HEADER, f"{microversion.SERVICE_TYPE} {version}")
        resp.set_header(microversion.LEGACY_HEADER, str(version))

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Falcon's hook: ``project_id`` in a compute URL must be the caller's; resources never see it."""
        if "project_id" not in params or not is_compute(req.path):
            return
        project_id = params.pop("project_id")
        if project_id != req.context.identity.project_id:
            raise errors.Invalid(
                f"Malformed request URL: its project {project_id!r} is not the project of the token."
            )
        req.context.root = f"{COMPUTE_PREFIX}/{project_id}"
