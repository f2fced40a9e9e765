"""Identity API v3 of the embedded mode: what clients need to get a token, and an administrator to keep
users."""

from tenter_api.identity.catalog import make_catalog
from tenter_api.identity.render import render_error
from tenter_api.identity.routes import add_routes

__all__ = ["add_routes", "make_catalog", "render_error"]
