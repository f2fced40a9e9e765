"""Public keys: reading them, and making pairs for clients that still ask for it (below 2.92)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

from cryptography import exceptions as crypto_exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tenter import errors

RSA_BITS = 2048
_SECURITY_KEYS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")


class NewKey(NamedTuple):
    """A pair made here. ``private_key`` is given to its owner once and never stored."""

    public_key: str
    private_key: str
    fingerprint: str


def fingerprint(kind: str, public_key: str) -> str:
    """Return the fingerprint of a key of kind ``ssh`` or ``x509`` in the colon form.

    SSH keys (one line of OpenSSH's public key format): MD5 of the key blob; certificates (PEM): SHA-1 of
    the DER. Raises Invalid with what is wrong with the key.
    """
    return _of_certificate(public_key) if kind == "x509" else _of_ssh(public_key)


def generate(kind: str) -> NewKey:
    """Make an RSA pair, in OpenSSH's formats. Raises Invalid for certificates."""
    if kind != "ssh":
        raise errors.Invalid(f"Key pairs of type {kind} can only be imported: give a public_key.")
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    public = f"{line.decode()} Generated-by-Tenter"
    return NewKey(public, private.decode(), fingerprint("ssh", public))


def _colons(digest: bytes) -> str:
    return digest.hex(":")


def _of_ssh(public_key: str) -> str:
    words = public_key.split(None, 2)
    if len(words) < 2 or len(public_key.strip().splitlines()) != 1:
        raise _invalid("it must be one line such as 'ssh-ed25519 AAAA… comment'")
    try:
        blob = base64.b64decode(words[1], validate=True)
        if words[0] in _SECURITY_KEYS:
            _check_blob(words[0], blob)
        else:
            serialization.load_ssh_public_key(public_key.strip().encode())
    except crypto_exceptions.UnsupportedAlgorithm:
        raise _invalid(f"its type {words[0][:64]!r} is not known") from None
    except (ValueError, binascii.Error):
        raise _invalid("its data is damaged or does not fit its type") from None
    return _colons(hashlib.md5(blob, usedforsecurity=False).digest())


def _check_blob(kind: str, blob: bytes) -> None:
    # RFC 4253, 6.6: the blob begins with the name of its type, after its length in four bytes.
    if blob[4 : 4 + int.from_bytes(blob[:4], "big")] != kind.encode():
        raise ValueError(kind)


def _of_certificate(public_key: str) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(public_key.encode())
        return _colons(certificate.fingerprint(hashes.SHA1()))
    except (ValueError, crypto_exceptions.UnsupportedAlgorithm):
        raise _invalid("it must be an X.509 certificate in PEM") from None


def _invalid(why: str) -> errors.Invalid:
    return errors.Invalid(f"Keypair data is invalid: {why}.")
