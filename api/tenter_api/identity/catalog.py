"""The service catalog: where the APIs of the embedded mode are."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import falcon

from tenter.contracts.identity import Identity
from tenter_api import auth

Catalog = Callable[[falcon.Request, Identity], list[dict[str, Any]]]
"""Makes the catalog for a caller."""

REGION = "RegionOne"
INTERFACES = ("public", "internal", "admin")
SERVICES = (
    ("compute", "nova", "/v2.1"),
    ("identity", "keystone", "/identity/v3"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/network"),
)
"""Type, the name that clients expect, and path below the base URL."""
_NAMES = uuid.UUID("4f0c0c1e-8d0e-5d86-9d3f-0d8f6f0a7f31")


def _id(*words: str) -> str:
    """Return an id that is the same after each start."""
    return uuid.uuid5(_NAMES, "/".join(words)).hex


def make_catalog(base_url: str | None = None) -> Catalog:
    """Return what makes a catalog of our services below ``base_url`` (None: below the URL that the client
    asks)."""

    def catalog(req: falcon.Request, identity: Identity) -> list[dict[str, Any]]:
        base = base_url.rstrip("/") if base_url else auth.base_url(req)
        return [_service(kind, name, base + path) for kind, name, path in SERVICES]

    return catalog


def _service(kind: str, name: str, url: str) -> dict[str, Any]:
    endpoints = [
        {
            "id": _id(kind, interface),
            "interface": interface,
            "region": REGION,
            "region_id": REGION,
            "url": url,
        }
        for interface in INTERFACES
    ]
    return {"id": _id(kind), "type": kind, "name": name, "endpoints": endpoints}
