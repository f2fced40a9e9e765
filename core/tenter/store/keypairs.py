"""Key pairs: rows of the API database, each of one user."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors
from tenter.objects import KeyPair
from tenter.store import quota
from tenter.store.api_schema import keypairs
from tenter.store.engine import Database, now

_ONE = {quota.KEY_PAIRS: 1}


def get_keypair(db: Database, user_id: str, name: str) -> KeyPair:
    """Return a user's key pair. Raises NotFound."""
    query = sa.select(keypairs).where(keypairs.c.user_id == user_id, keypairs.c.name == name)
    with db.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise _unknown(user_id, name)
    return KeyPair(**row._mapping)


def list_keypairs(
    db: Database, user_id: str, limit: int | None = None, marker: str | None = None
) -> Sequence[sa.RowMapping]:
    """Return a user's rows by name, one page after ``marker`` (a name).

    Raises Invalid for a marker that does not exist.
    """
    query = sa.select(keypairs).where(keypairs.c.user_id == user_id).order_by(keypairs.c.name)
    with db.read() as connection:
        if marker is not None:
            known = sa.select(keypairs.c.id).where(keypairs.c.user_id == user_id, keypairs.c.name == marker)
            if connection.execute(known).first() is None:
                raise errors.Invalid(f"Marker {marker!r} could not be found.")
            query = query.where(keypairs.c.name > marker)
        return connection.execute(query.limit(limit)).mappings().all()


def create_keypair(
    db: Database,
    user_id: str,
    name: str,
    type: str,
    public_key: str,
    fingerprint: str,
    limit: int = quota.UNLIMITED,
) -> KeyPair:
    """Write a key pair and return it.

    Raises Conflict if the user has one of that name, QuotaExceeded if they have ``limit`` of them.
    """
    values = {
        "user_id": user_id,
        "name": name,
        "type": type,
        "public_key": public_key,
        "fingerprint": fingerprint,
        "created_at": now(),
    }
    try:
        with db.write() as connection:
            quota.claim(connection, quota.Owner(quota.USER, user_id), _ONE, {quota.KEY_PAIRS: limit})
            key = connection.execute(sa.insert(keypairs).values(**values)).inserted_primary_key
    except db_exception.DBDuplicateEntry as exc:
        raise errors.Conflict(f"Key pair {name!r} already exists.") from exc
    return KeyPair(id=key[0] if key else None, **values)


def delete_keypair(db: Database, user_id: str, name: str) -> None:
    """Delete a user's key pair; instances keep their copy of the public key. Raises NotFound."""
    query = sa.delete(keypairs).where(keypairs.c.user_id == user_id, keypairs.c.name == name)
    with db.write() as connection:
        if not connection.execute(query).rowcount:
            raise _unknown(user_id, name)
        quota.give_back(connection, quota.Owner(quota.USER, user_id), _ONE)


def _unknown(user_id: str, name: str) -> errors.NotFound:
    return errors.NotFound(f"Keypair {name} not found for user {user_id}.")
