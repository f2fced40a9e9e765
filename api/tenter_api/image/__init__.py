"""Image API v2 of the embedded mode: what clients need to upload, find, change and delete images."""

from tenter_api.image.render import render_error
from tenter_api.image.routes import add_routes

__all__ = ["add_routes", "render_error"]
