"""How a resource of the Compute API declares its methods: since when, for whom, with which schemas.

::

    class Widgets:
        @operation(since=55, role="admin", body={55: schemas.CREATE, 61: schemas.CREATE_261})
        def on_post(self, req, resp):
            body = req.context.body["widget"]

Schemas are chosen by the microversion of the request: the newest that is not newer. Outside ``since … until``
the method answers 404, as if it were not there.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

import falcon

from tenter import errors
from tenter_api import validation
from tenter_api.validation import Schema

READER, MEMBER, ADMIN = "reader", "member", "admin"
ByVersion = Mapping[int, Schema]
"""Schemas by the minor version from which they hold."""

Responder = Callable[..., None]
NO_QUERY: ByVersion = {
    1: {"type": "object", "properties": {}, "additionalProperties": True},
    102: {"type": "object", "properties": {}, "additionalProperties": False},
}
"""For methods that take no query: unknown keys are ignored below 2.102, refused from there."""


class Chosen:
    """The schema for a minor version, found in an ordered mapping."""

    def __init__(self, schemas: ByVersion) -> None:
        ordered = sorted(schemas.items())
        self._from = [minor for minor, _ in ordered]
        self._schemas = [schema for _, schema in ordered]

    def at(self, minor: int) -> Schema | None:
        """Return the schema that holds at ``2.minor``; None if there is none yet."""
        position = bisect_right(self._from, minor)
        return self._schemas[position - 1] if position else None


def require_role(req: falcon.Request, role: str) -> None:
    """Raise Forbidden unless the caller has the role, and a project to have it in."""
    identity = req.context.identity
    if role not in identity.roles:
        raise errors.Forbidden(f"Policy doesn't allow this to be done: it takes the role {role!r}.")
    if identity.project_id is None:
        raise errors.Forbidden("The token is not scoped to a project, as this request needs.")


def operation(
    since: int = 1,
    until: int | None = None,
    role: str | None = None,
    body: ByVersion | None = None,
    query: ByVersion | None = None,
) -> Callable[[Responder], Responder]:
    """Declare a responder (``on_get`` …) or an action. ``since`` and ``until`` are minor versions, inclusive.

    ``role`` is the least role; by default reader for GET and member for the rest. ``body`` makes the parsed
    and checked body ``req.context.body``; ``query`` (GET: NO_QUERY by default) makes the checked parameters
    ``req.context.query``, each a list of values.
    """

    def declare(function: Responder) -> Responder:
        reads = function.__name__ == "on_get"
        least = role or (READER if reads else MEMBER)
        bodies = Chosen(body) if body else None
        queries = Chosen(query or (NO_QUERY if reads else {}))

        @functools.wraps(function)
        def responder(self: Any, req: falcon.Request, resp: falcon.Response, **params: str) -> None:
            context = req.context
            minor = context.version.minor
            if minor < since or (until is not None and minor > until):
                raise errors.NotFound("The resource could not be found.")
            require_role(req, least)
            schema = queries.at(minor)
            context.query = validation.check_query(schema, req) if schema is not None else {}
            if bodies is not None:
                if not hasattr(context, "body"):
                    context.body = validation.read_json(req)
                schema = bodies.at(minor)
                if schema is not None:
                    validation.check_body(schema, context.body)
            function(self, req, resp, **params)

        return responder

    return declare


def action(name: str) -> Callable[[Responder], Responder]:
    """Make a method of an ActionResource the action ``name``; goes above ``@operation``."""

    def mark(function: Responder) -> Responder:
        function.action_name = name  # type: ignore[attr-defined]
        return function

    return mark


class ActionResource:
    """``POST …/action`` whose body is an object with one key: the name of an action."""

    _actions: dict[str, str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._actions = {
            value.action_name: name
            for base in reversed(cls.__mro__)
            for name, value in vars(base).items()
            if hasattr(value, "action_name")
        }

    def on_post(self, req: falcon.Request, resp: falcon.Response, **params: str) -> None:
        """Read the body and call the action it names. Raises Invalid."""
        require_role(req, READER)
        body = validation.read_json(req)
        if not isinstance(body, dict) or not body:
            raise errors.Invalid("Malformed request body: it must be an object that names an action.")
        name = next(iter(body))
        method = self._actions.get(name)
        if method is None:
            raise errors.Invalid(f"There is no such action: {name[:64]}")
        req.context.body = body
        resp.status = falcon.HTTP_202
        getattr(self, method)(req, resp, **params)
