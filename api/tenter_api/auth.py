"""Who is asking: the token of a request becomes ``req.context.identity``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon

from tenter import errors
from tenter.contracts.identity import IdentityDriver, ValidateRequest

TOKEN_HEADER = "X-Auth-Token"


class AuthMiddleware:
    """Lets a request pass that has a valid token or needs none.

    A resource says so itself with an attribute ``public``: the methods, such as ``("POST",)``, that need no
    token (``()``: all need one). For a resource without it ``public(path)`` says whether the path needs none.
    """

    def __init__(self, identity: IdentityDriver, public: Callable[[str], bool] = lambda path: False) -> None:
        self._identity = identity
        self._public = public

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Falcon's hook: set ``req.context.identity``. Raises Unauthorized."""
        methods = getattr(resource, "public", None)
        if self._public(req.path) if methods is None else req.method in methods:
            return
        token = req.get_header(TOKEN_HEADER)
        if not token:
            raise errors.Unauthorized(
                f"The request you have made requires authentication ({TOKEN_HEADER} is missing)."
            )
        req.context.identity = self._identity.validate(ValidateRequest(token))


def require_admin(req: falcon.Request) -> None:
    """Raise Forbidden unless the caller is an administrator."""
    if not req.context.identity.is_admin:
        raise errors.Forbidden(
            "You are not authorized to perform the requested action: it takes the role 'admin'."
        )


def base_url(req: falcon.Request) -> str:
    """Return the URL that links start with, without a slash at its end."""
    return str(getattr(req.context, "base_url", None) or req.prefix)
