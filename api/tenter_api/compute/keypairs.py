"""Key pairs of users."""

from __future__ import annotations

from typing import Any

import falcon

from tenter import errors
from tenter.store import keypairs as store
from tenter.store.engine import Database
from tenter.store.quota import Quotas
from tenter_api.compute import keys, links
from tenter_api.compute.resource import operation
from tenter_api.compute.schemas import keypairs as schemas
from tenter_api.compute.times import microseconds


def _owner(req: falcon.Request, asked: str | None) -> str:
    """Return whose key pairs are meant: the caller's, or for admins (since 2.10) anybody's.

    Raises Forbidden.
    """
    identity = req.context.identity
    if asked is None or asked == identity.user_id:
        return identity.user_id
    if not identity.is_admin:
        raise errors.Forbidden(
            "Policy doesn't allow this to be done: the key pairs of other users are theirs."
        )
    return asked


def _owner_in_query(req: falcon.Request) -> str:
    return _owner(req, req.context.query.get("user_id", [None])[0])


def _view(req: falcon.Request, row: Any) -> dict[str, Any]:
    view = {"name": row["name"], "public_key": row["public_key"], "fingerprint": row["fingerprint"]}
    if req.context.version.minor >= 2:
        view["type"] = row["type"]
    return view


class Keypairs:
    """``/os-keypairs``"""

    def __init__(self, db: Database, max_limit: int, quotas: Quotas) -> None:
        self._db = db
        self._max_limit = max_limit
        self._quotas = quotas

    @operation(query=schemas.LIST_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List a user's key pairs; in pages since 2.35."""
        limit, marker = links.page(req.context.query, self._max_limit)
        paged = req.context.version.minor >= 35
        rows = store.list_keypairs(self._db, _owner_in_query(req), limit if paged else None, marker)
        answer: dict[str, Any] = {"keypairs": [{"keypair": _view(req, row)} for row in rows]}
        if paged and links.more(rows, limit):
            answer["keypairs_links"] = links.next_link(req, "os-keypairs", rows[-1]["name"])
        resp.media = answer

    @operation(body=schemas.CREATE)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Import a public key, or (below 2.92) make a pair and give its private key once."""
        asked = req.context.body["keypair"]
        user_id = _owner(req, asked.get("user_id"))
        kind = asked.get("type", "ssh")
        made = None
        if "public_key" in asked:
            public, mark = asked["public_key"], keys.fingerprint(kind, asked["public_key"])
        else:
            made = keys.generate(kind)
            public, mark = made.public_key, made.fingerprint
        limit = self._quotas.limits(req.context.identity.project_id)["key_pairs"]
        try:
            pair = store.create_keypair(self._db, user_id, asked["name"], kind, public, mark, limit)
        except errors.QuotaExceeded:
            raise errors.QuotaExceeded("Quota exceeded, too many key pairs.") from None
        view = {**_view(req, {name: getattr(pair, name) for name in _SHOWN}), "user_id": user_id}
        if made is not None:
            view["private_key"] = made.private_key
        resp.status = falcon.HTTP_201 if req.context.version.minor >= 2 else falcon.HTTP_200
        resp.media = {"keypair": view}


_SHOWN = ("name", "public_key", "fingerprint", "type")


class KeypairItem:
    """``/os-keypairs/{name}``"""

    def __init__(self, db: Database) -> None:
        self._db = db

    @operation(query=schemas.ITEM_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Show a key pair."""
        pair = store.get_keypair(self._db, _owner_in_query(req), name)
        resp.media = {
            "keypair": {
                **_view(req, {name: getattr(pair, name) for name in _SHOWN}),
                "id": pair.id,
                "user_id": pair.user_id,
                "created_at": microseconds(pair.created_at),
                "updated_at": None,
                "deleted": False,
                "deleted_at": None,
            }
        }

    @operation(query=schemas.ITEM_QUERY)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Delete a key pair."""
        store.delete_keypair(self._db, _owner_in_query(req), name)
        resp.status = falcon.HTTP_204 if req.context.version.minor >= 2 else falcon.HTTP_202
