"""Passwords, kept as scrypt hashes (RFC 7914) in the form ``scrypt$n$r$p$salt$hash``, the last two in hex."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os

_N, _R, _P = 2**14, 8, 1
_MAX_MEMORY = 64 << 20


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, dklen=32, maxmem=_MAX_MEMORY)


def hash_password(password: str) -> str:
    """Return what to keep of a password. Takes 50 to 100 ms and 16 MiB, by design; call it outside of any
    lock."""
    salt = os.urandom(16)
    return f"scrypt${_N}${_R}${_P}${salt.hex()}${_scrypt(password, salt, _N, _R, _P).hex()}"


@functools.cache
def _nobody() -> str:
    return hash_password(os.urandom(16).hex())


def verify(password: str, kept: str | None) -> bool:
    """Return whether the password is the one kept. Takes as long where there is none, and then says no."""
    _, n, r, p, salt, digest = (kept or _nobody()).split("$")
    same = hmac.compare_digest(
        _scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p)), bytes.fromhex(digest)
    )
    return same and kept is not None
