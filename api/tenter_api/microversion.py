"""Microversions of the Compute API: what a request asks for, and what we announce."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

import falcon

from tenter import errors

HEADER = "OpenStack-API-Version"
LEGACY_HEADER = "X-OpenStack-Nova-API-Version"
SERVICE_TYPE = "compute"
_NUMBER = re.compile(r"([1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})", re.ASCII)


class ApiVersion(NamedTuple):
    """A microversion; compares like a tuple."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MIN_VERSION = ApiVersion(2, 1)
MAX_VERSION = ApiVersion(2, 104)


class VersionNotAcceptable(falcon.HTTPError):
    """The version asked for is well-formed but not one that we speak (406)."""

    def __init__(self, asked: str) -> None:
        super().__init__(
            406,
            description=f"Version {asked} is not supported by the API. "
            f"Minimum is {MIN_VERSION} and maximum is {MAX_VERSION}.",
        )


@functools.lru_cache(maxsize=512)
def negotiate(header: str | None, legacy: str | None) -> ApiVersion:
    """Return the version that the two headers ask for; 2.1 if they ask for none.

    ``header`` may list several services (``compute 2.5, volume 3.1``); only ours counts. Raises Invalid for a
    malformed number and VersionNotAcceptable for one out of range.
    """
    asked = _of_service(header) or (legacy.strip() if legacy else None)
    if not asked:
        return MIN_VERSION
    if asked == "latest":
        return MAX_VERSION
    match = _NUMBER.fullmatch(asked)
    if match is None:
        raise errors.Invalid(
            f"API version {asked[:64]!r} is malformed; it must look like 2.1, or be 'latest'."
        )
    version = ApiVersion(int(match[1]), int(match[2]))
    if not MIN_VERSION <= version <= MAX_VERSION:
        raise VersionNotAcceptable(asked)
    return version


def _of_service(header: str | None) -> str | None:
    for item in (header or "").split(","):
        words = item.split()
        if len(words) == 2 and words[0].lower() == SERVICE_TYPE:
            return words[1]
    return None
