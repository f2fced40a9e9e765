"""Tokens: what they say, encrypted and signed (Fernet of the ``cryptography`` library), so that no row is
needed.

The clear text is a JSON list: format (1), user, epoch of the user's credentials, project or null, methods,
times of issue and expiry (seconds since the epoch), audit ids (own, and that of the first token of its
chain).
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tenter import errors
from tenter.contracts.identity import Identity

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

FORMAT = 1
MAX_LENGTH = 4096


@dataclass(frozen=True)
class Claims:
    """What a token says."""

    user_id: str
    epoch: int
    project_id: str | None
    methods: tuple[str, ...]
    issued_at: float
    expires_at: float
    audit_ids: tuple[str, ...]


def new_audit_id() -> str:
    """Return a name for a token that may be logged and stored: it does not let anybody in."""
    return secrets.token_urlsafe(16)


class Sealer:
    """Makes and opens tokens with the keys of a file (mode 0600), one a line; the first one seals, all open.

    The file is made with one key if it is missing. To change keys, put a new line first and start again.
    """

    def __init__(self, key_file: Path) -> None:
        _make_key_file(key_file)
        self._keys = key_file.read_text(encoding="ascii").split()

    @functools.cached_property
    def _fernet(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet  # 50 ms that a start need not wait for

        return MultiFernet([Fernet(key) for key in self._keys])

    def seal(self, claims: Claims) -> str:
        """Return the token that says ``claims``."""
        said = [FORMAT, claims.user_id, claims.epoch, claims.project_id, claims.methods]
        said += [claims.issued_at, claims.expires_at, claims.audit_ids]
        return self._fernet.encrypt(json.dumps(said, separators=(",", ":")).encode()).decode("ascii")

    def open(self, token: str) -> Claims:
        """Return what the token says, expired or not. Raises Unauthorized if it was not made here."""
        from cryptography.fernet import InvalidToken

        if len(token) > MAX_LENGTH:
            raise refused()
        try:
            if base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode("ascii") != token:
                raise refused()  # the decoder passes over what is no base64: one token would have many spellings
            said = json.loads(self._fernet.decrypt(token))
            number, user, epoch, project, methods, issued, expires, audit = said
        except (InvalidToken, ValueError) as exc:
            raise refused() from exc
        if number != FORMAT:
            raise refused()
        return Claims(user, epoch, project, tuple(methods), issued, expires, tuple(audit))


def refused() -> errors.Unauthorized:
    """Return the error for any token that is not valid; it does not say why."""
    return errors.Unauthorized("The token is not valid: it has expired, was revoked, or was not issued here.")


def _make_key_file(path: Path) -> None:
    """Make the file whole or not at all; if two processes do it at once, one of them wins for both."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(32)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


@dataclass(frozen=True)
class _Known:
    generation: int
    identity: Identity


class TokenCache:
    """Identities of tokens that were found valid, the newest ``size`` of them, each for one generation of the
    data."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def get(self, token: str, generation: int) -> Identity | None:
        """Return whose token it is, or None if that must be found out (again)."""
        known = self._known.get(token)
        return known.identity if known is not None and known.generation >= generation else None

    def put(self, token: str, generation: int, identity: Identity) -> None:
        """Remember a token that was valid in ``generation``; forgets the oldest if there are too many."""
        with self._lock:
            self._known.pop(token, None)
            self._known[token] = _Known(generation, identity)
            while len(self._known) > self._size:
                self._known.pop(next(iter(self._known)))

    def forget(self, token: str) -> None:
        """Forget a token, known or not."""
        with self._lock:
            self._known.pop(token, None)
