"""An application with the image API, whose callers are who the token says in plain words."""

import falcon
import pytest
from falcon import testing

from tenter import errors, plugins
from tenter.conf import new_conf
from tenter.contracts.identity import Identity
from tenter.contracts.image import ImageDriver
from tenter_api import auth, image, middleware
from tenter_api import errors as api_errors

IMPLIED = {"admin": "admin manager member reader", "member": "member reader", "reader": "reader", "none": ""}


class Callers:
    """Stands in for an identity driver: a token is ``project:role``."""

    def validate(self, request):
        project, _, role = request.token.partition(":")
        if role not in IMPLIED:
            raise errors.Unauthorized("no such caller")
        return Identity("u", "u", project or None, project or None, frozenset(IMPLIED[role].split()))


class World:
    def __init__(self, directory):
        conf = new_conf([], directory)
        self.directory = directory
        self.driver = plugins.load("image", "local", ImageDriver, conf, directory)
        self.driver.max_image_bytes = 1 << 20
        app = falcon.App(
            middleware=[middleware.RequestMiddleware(None, 1 << 16), auth.AuthMiddleware(Callers())]
        )
        app.req_options.strip_url_path_trailing_slash = True
        image.add_routes(app, "/image", self.driver)
        api_errors.ErrorHandlers([("/image", image.render_error)]).install(app)
        self.client = testing.TestClient(app)

    def ask(self, method, path, body=None, token="red:member", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            headers["X-Auth-Token"] = token
        extra = {} if body is None else {"body": body} if isinstance(body, bytes) else {"json": body}
        return self.client.simulate_request(method, "/image" + path, headers=headers, **extra)

    def create(self, token="red:member", **values):
        answer = self.ask(
            "POST", "/v2/images", {"disk_format": "raw", "container_format": "bare", **values}, token
        )
        assert answer.status_code == 201, answer.text
        return answer.json

    def put(self, image, data, token="red:member", kind="application/octet-stream", **headers):
        return self.ask("PUT", f"/v2/images/{image['id']}/file", data, token, Content_Type=kind, **headers)

    def patch(self, image, *operations, token="red:member"):
        import json

        kind = "application/openstack-images-v2.1-json-patch"
        body = json.dumps(operations).encode()
        return self.ask("PATCH", f"/v2/images/{image['id']}", body, token, Content_Type=kind)

    def files(self):
        found = (path for path in self.directory.rglob("*") if path.parent.name in ("data", "incoming"))
        return {path.name for path in found}


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    yield found
    found.driver.close()
