"""How errors become answers: the only place that knows HTTP status, and the forms of errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import falcon
import orjson

from tenter import errors

LOG = logging.getLogger(__name__)

Renderer = Callable[[int, str, str], Mapping[str, Any]]
"""Makes the body of an error from its status, message and kind (a class name of ``tenter.errors``)."""

STATUS: Mapping[type[errors.TenterError], int] = {
    errors.Invalid: 400,
    errors.ImageUnusable: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.QuotaExceeded: 403,
    errors.NotFound: 404,
    errors.GuestNotFound: 404,
    errors.Conflict: 409,
    errors.CapabilityMissing: 409,
    errors.NoValidHost: 409,
    errors.StaleAttempt: 409,
    errors.TooLarge: 413,
    errors.ResourceExhausted: 503,
    errors.NetworkFailed: 503,
    errors.HypervisorUnavailable: 503,
    errors.Unavailable: 503,
}
RETRY_AFTER = 2
"""Seconds after which to ask again for what is unavailable; an error's ``retry_after`` counts more."""

_FAULTS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
_KINDS = {
    400: "Invalid",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    413: "TooLarge",
    503: "Unavailable",
}


def render_compute_error(status: int, message: str, kind: str) -> Mapping[str, Any]:
    """Return an error in the Compute API's form: ``{"itemNotFound": {"code": 404, "message": "…"}}``."""
    return {_FAULTS.get(status, "computeFault"): {"code": status, "message": message}}


def status_of(error: errors.TenterError) -> int:
    """Return the HTTP status of an error; 500 for those that are no answer to a client."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)


class ErrorHandlers:
    """Turns every exception into an answer, in the form of the path it happened under."""

    def __init__(self, renderers: Sequence[tuple[str, Renderer]] = (), realm: str = "/identity/v3") -> None:
        """``renderers`` are pairs of a path prefix and its renderer; the rest is the Compute API's."""
        self._renderers = tuple(renderers)
        self._realm = realm

    def install(self, app: falcon.App[Any, Any]) -> None:
        """Make the application use these handlers for everything."""
        app.add_error_handler(Exception, self._unexpected)
        app.add_error_handler(falcon.HTTPError, self._http)
        app.add_error_handler(errors.TenterError, self._known)

    def _known(
        self, req: falcon.Request, resp: falcon.Response, error: errors.TenterError, params: dict[str, Any]
    ) -> None:
        status = status_of(error)
        if status == 500:
            self._unexpected(req, resp, error, params)
            return
        if status == 503:
            resp.set_header("Retry-After", str(error.details.get("retry_after", RETRY_AFTER)))
            LOG.warning("%s %s: %s", req.method, req.path, error)
        if status == 401:
            resp.set_header("WWW-Authenticate", f'Keystone uri="{self._realm}"')
        self._answer(req, resp, status, error.message, type(error).__name__)

    def _http(
        self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]
    ) -> None:
        status = error.status_code
        message = error.description or _DEFAULT_MESSAGES.get(status) or error.title or str(error.status)
        for name, value in _pairs(error.headers):
            resp.set_header(name, value)
        self._answer(req, resp, status, message, _KINDS.get(status, "HTTPError"))

    def _unexpected(
        self, req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        request_id = getattr(req.context, "request_id", "-")
        LOG.error("%s %s failed", req.method, req.path, exc_info=error)
        message = f"Something unexpected went wrong and has been logged under the request id {request_id}."
        self._answer(req, resp, 500, message, "InternalError")

    def _answer(
        self, req: falcon.Request, resp: falcon.Response, status: int, message: str, kind: str
    ) -> None:
        renderer = next(
            (r for prefix, r in self._renderers if req.path.startswith(prefix)), render_compute_error
        )
        resp.status = falcon.code_to_http_status(status)
        resp.content_type = falcon.MEDIA_JSON
        resp.text = resp.stream = None
        resp.media = None
        resp.data = orjson.dumps(renderer(status, message, kind))


_DEFAULT_MESSAGES = {
    404: "The resource could not be found.",
    405: "This method is not allowed here.",
}


def _pairs(headers: Any) -> list[tuple[str, str]]:
    if not headers:
        return []
    return list(headers.items() if isinstance(headers, Mapping) else headers)
