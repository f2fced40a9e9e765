"""An application with identity and image APIs only, and clients that are somebody."""

import falcon
import pytest
from falcon import testing

from tenter import plugins
from tenter.conf import new_conf
from tenter.contracts.identity import Assignment, AuthRequest, EntityQuery, IdentityDriver, Kind, Scope
from tenter_api import auth, errors, identity, middleware


class World:
    """The service, its administrator, and a member ``ann`` of the project ``red``."""

    def __init__(self, directory):
        self.driver = plugins.load("identity", "local", IdentityDriver, new_conf([], directory), directory)
        self.password = self.driver.bootstrap().password
        app = falcon.App(
            middleware=[middleware.RequestMiddleware(None, 1 << 20), auth.AuthMiddleware(self.driver)]
        )
        app.req_options.strip_url_path_trailing_slash = True
        identity.add_routes(app, "/identity", self.driver)
        errors.ErrorHandlers([("/identity", identity.render_error)]).install(app)
        self.client = testing.TestClient(app)
        self.red = self.driver.create(Kind.PROJECT, {"name": "red"}).id
        self.ann = self.driver.create(Kind.USER, {"name": "ann", "password": "first"}).id
        self.roles = {role.name: role.id for role in self.driver.list(EntityQuery(Kind.ROLE))}
        self.driver.assign(Assignment(self.ann, self.red, self.roles["member"]))
        self.admin_token = self._token("admin", self.password, "admin")
        self.member_token = self._token("ann", "first", "red")

    def _token(self, user, password, project):
        scope = Scope(project_name=project)
        return self.driver.authenticate(AuthRequest(scope, user_name=user, password=password)).secret

    def ask(self, method, path, body=None, token=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            headers["X-Auth-Token"] = token
        extra = {} if body is None else {"json": body}
        return self.client.simulate_request(method, "/identity" + path, headers=headers, **extra)

    def admin(self, method, path, body=None, **headers):
        return self.ask(method, path, body, self.admin_token, **headers)

    def member(self, method, path, body=None, **headers):
        return self.ask(method, path, body, self.member_token, **headers)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    found = World(tmp_path_factory.mktemp("identity"))
    yield found
    found.driver.close()
