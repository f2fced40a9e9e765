"""The small Network API v2.0 of the embedded mode: what ordinary clients need to choose and make networks."""

from tenter_api.network.render import render_error
from tenter_api.network.routes import add_routes

__all__ = ["add_routes", "render_error"]
