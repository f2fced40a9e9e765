"""Which resource answers below which path."""

from __future__ import annotations

from typing import Any

import falcon

from tenter.contracts.image import ImageDriver, SupportsImageApi
from tenter_api.image import resources


def add_routes(app: falcon.App[Any, Any], prefix: str, images: ImageDriver) -> None:
    """Mount Image API v2 below ``prefix``, such as ``/image``.

    Nothing is mounted for a driver that is no image service itself.
    """
    if not isinstance(images, SupportsImageApi):
        return
    versions = resources.Versions(prefix)
    for path in ("", "/", "/versions"):
        app.add_route(prefix + path, versions)
    v2 = f"{prefix}/v2"
    app.add_route(f"{v2}/schemas/{{name}}", resources.Schemas())
    app.add_route(f"{v2}/images", resources.Images(images, images))
    app.add_route(f"{v2}/images/{{image_id}}", resources.OneImage(images, images))
    app.add_route(f"{v2}/images/{{image_id}}/file", resources.ImageFile(images, images))
    app.add_route(f"{v2}/images/{{image_id}}/tags/{{tag}}", resources.ImageTag(images, images))
