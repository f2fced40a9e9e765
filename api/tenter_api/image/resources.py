"""Versions, images, their data and tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import falcon

from tenter import errors
from tenter.contracts.identity import Identity
from tenter.contracts.image import DownloadRequest, Image, ImageDriver, ShowRequest, SupportsImageApi, UploadRequest
from tenter_api import auth, validation
from tenter_api.image import changes, query, render, schemas

CHUNK = 256 * 1024


class Versions:
    """``GET /`` and ``GET /versions``: the versions, as 300."""

    public = ("GET", "HEAD")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = falcon.HTTP_300
        resp.media = render.render_versions(auth.base_url(req) + self._prefix)


class Schemas:
    """``GET /v2/schemas/image`` and ``…/images``."""

    public = ()

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        found = {"image": schemas.IMAGE, "images": schemas.IMAGES}.get(name)
        if found is None:
            raise errors.NotFound(f"There is no schema {name}.")
        resp.media = found


class Resource:
    """What the resources of images share."""

    public: tuple[str, ...] = ()

    def __init__(self, driver: ImageDriver, api: SupportsImageApi) -> None:
        self._driver = driver
        self._api = api

    def _seen(self, req: falcon.Request, image_id: str) -> Image:
        """Return an image that the caller may see. Raises NotFound, Forbidden."""
        return self._driver.show(ShowRequest(image_id, _sight(_caller(req, "reader"))))

    def _own(self, req: falcon.Request, image_id: str) -> Image:
        """Return an image that the caller may change. Raises NotFound, Forbidden."""
        identity = _caller(req, "member")
        image = self._driver.show(ShowRequest(image_id, _sight(identity)))
        if not identity.is_admin and image.owner != identity.project_id:
            raise errors.Forbidden(
                f"You are not permitted to modify image {image_id}: it is another project's."
            )
        return image


class Images(Resource):
    """``/v2/images``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = query.parse(req, _sight(_caller(req, "reader")))
        hidden = (req.get_param("os_hidden") or "").lower() == "true"  # no image is
        found = self._api.list(asked) if asked.limit and not hidden else []
        params = {key: value for key, value in req.params.items() if key != "marker"}
        answer: dict[str, Any] = {
            "images": [render.render_image(image) for image in found],
            "schema": "/v2/schemas/images",
            "first": _link(params),
        }
        if found and len(found) == asked.limit:
            answer["next"] = _link({**params, "marker": found[-1].id})
        resp.media = answer

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = _caller(req, "member")
        image = self._api.create(changes.creation(validation.read_json(req), identity))
        resp.status = falcon.HTTP_201
        resp.location = f"{req.uri}/{image.id}"
        resp.media = render.render_image(image)


class OneImage(Resource):
    """``/v2/images/{id}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        resp.media = render.render_image(self._seen(req, image_id))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        image = self._own(req, image_id)
        values = changes.patched(image, changes.read_patch(req))
        changes.check_allowed(values, req.context.identity)
        resp.media = render.render_image(self._api.update(image_id, values))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        self._own(req, image_id)
        self._api.delete(image_id)
        resp.status = falcon.HTTP_204


class ImageFile(Resource):
    """``/v2/images/{id}/file``: the data, streamed in both directions."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        image = self._seen(req, image_id)
        if image.status != "active":
            resp.status = falcon.HTTP_204
            return
        resp.content_type = "application/octet-stream"
        if image.checksum:
            resp.set_header("Content-MD5", image.checksum)
        resp.set_stream(self._driver.download(DownloadRequest(image_id)), image.size or 0)

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        kind = (req.content_type or "").partition(";")[0].strip().lower()
        if kind != "application/octet-stream":
            raise falcon.HTTPUnsupportedMediaType(
                description="The body must be of type application/octet-stream."
            )
        self._own(req, image_id)
        chunked = "chunked" in (req.get_header("Transfer-Encoding") or "").lower()
        if req.content_length is None and not chunked:
            raise errors.Invalid("The length of the data is not known: Content-Length is missing.")
        stream = req.stream if chunked else req.bounded_stream
        size = None if chunked else req.content_length
        self._api.upload(UploadRequest(image_id, _chunks(stream), size))
        resp.status = falcon.HTTP_204


class ImageTag(Resource):
    """``/v2/images/{id}/tags/{tag}``."""

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str, tag: str) -> None:
        image = self._own(req, image_id)
        validation.check_body(schemas.UPDATED, {"tags": [*image.tags, tag]})
        if tag not in image.tags:
            self._api.update(image_id, {"tags": (*image.tags, tag)})
        resp.status = falcon.HTTP_204

    def on_delete(self, req: falcon.Request, resp: falcon.Response, image_id: str, tag: str) -> None:
        image = self._own(req, image_id)
        if tag not in image.tags:
            raise errors.NotFound(f"The image has no tag {tag!r}.")
        self._api.update(image_id, {"tags": tuple(each for each in image.tags if each != tag)})
        resp.status = falcon.HTTP_204


def _caller(req: falcon.Request, role: str) -> Identity:
    """Return who asks. Raises Forbidden without the role, or a project to have it in."""
    identity: Identity = req.context.identity
    if identity.project_id is None or role not in identity.roles:
        raise errors.Forbidden(f"You are not authorized to complete this action: it takes the role {role!r}.")
    return identity


def _sight(identity: Identity) -> str | None:
    """Return the project whose images the caller may see, None for all."""
    return None if identity.is_admin else identity.project_id


def _link(params: dict[str, Any]) -> str:
    encoded = urlencode(params, doseq=True)
    return f"/v2/images?{encoded}" if encoded else "/v2/images"


def _chunks(stream: Any) -> Iterator[bytes]:
    """Yield what the client sends. Raises Invalid if the connection breaks off."""
    while True:
        try:
            chunk = stream.read(CHUNK)
        except (
            Exception
        ) as exc:  # whatever the server's parser says of a broken body: each has its own errors
            raise errors.Invalid(f"The upload broke off: {exc}") from exc
        if not chunk:
            return
        yield chunk
