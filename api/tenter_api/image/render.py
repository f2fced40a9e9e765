"""What the Image API v2 answers with, in its own form."""

from __future__ import annotations

import http
from typing import Any

from tenter.contracts.image import Image
from tenter_api.image import schemas

VERSION = "v2.9"
"""The newest minor version all of whose ordinary calls are there: images, data, tags; no import, no
stores."""


def render_error(status: int, message: str, kind: str) -> dict[str, Any]:
    """Return an error's body: ``{"message": "…", "code": "404 Not Found", "title": "Not Found"}``."""
    try:
        title = http.HTTPStatus(status).phrase
    except ValueError:
        title = kind
    return {"message": message, "code": f"{status} {title}", "title": title}


def render_versions(root: str) -> dict[str, Any]:
    """Return the list of versions; ``root`` is the URL of the service."""
    links = [{"rel": "self", "href": f"{root}/v2/"}]
    return {"versions": [{"id": VERSION, "status": "CURRENT", "links": links}]}


def render_image(image: Image) -> dict[str, Any]:
    """Return an image; its free-form properties stand beside its fields, which they cannot hide."""
    algorithm, digest = image.hash or (None, None)
    found: dict[str, Any] = dict(image.properties)
    found |= {name: getattr(image, name) for name in schemas.PLAIN}
    return found | {
        "tags": list(image.tags),
        "os_hash_algo": algorithm,
        "os_hash_value": digest,
        "os_hidden": False,
        "virtual_size": None,
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
    }
