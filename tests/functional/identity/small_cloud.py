"""Identity and image APIs as a WSGI application; its state is where TENTER_TEST_STATE says."""

import os
from pathlib import Path

import falcon

from tenter import plugins
from tenter.conf import new_conf
from tenter.contracts.identity import IdentityDriver
from tenter.contracts.image import ImageDriver
from tenter_api import auth, errors, identity, image, middleware


def make(directory):
    conf = new_conf([], directory)
    users = plugins.load("identity", "local", IdentityDriver, conf, directory)
    images = plugins.load("image", "local", ImageDriver, conf, directory)
    bodies = middleware.RequestMiddleware(None, 1 << 20)
    app = falcon.App(middleware=[bodies, auth.AuthMiddleware(users)])
    app.req_options.strip_url_path_trailing_slash = True
    identity.add_routes(app, "/identity", users)
    image.add_routes(app, "/image", images)
    renderers = [("/identity", identity.render_error), ("/image", image.render_error)]
    errors.ErrorHandlers(renderers).install(app)
    (directory / "password").write_text(users.bootstrap().password or "")
    return app


application = make(Path(os.environ["TENTER_TEST_STATE"]))
