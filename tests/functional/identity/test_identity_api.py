"""Identity API v3, request by request."""

import datetime

import pytest


def credentials(name="ann", password="first", **more):
    user = {"name": name, "domain": {"id": "default"}, "password": password}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, **more}}


RED = {"project": {"name": "red", "domain": {"name": "Default"}}}


def failed(answer, status, *words):
    assert answer.status_code == status, answer.text
    error = answer.json["error"]
    assert error["code"] == status and error["title"] and all(word in error["message"] for word in words), (
        error
    )
    return True


def test_version_documents_need_no_token(world):
    for path in ("", "/"):
        answer = world.ask("GET", path)
        assert answer.status_code == 300
        (version,) = answer.json["versions"]["values"]
        assert (version["id"][:2], version["status"]) == ("v3", "stable")
    for path in ("/v3", "/v3/"):
        answer = world.ask("GET", path)
        assert answer.status_code == 200
        assert answer.json["version"]["links"][0]["href"].endswith("/identity/v3/")


def test_a_password_gives_a_scoped_token_with_a_catalog(world):
    answer = world.ask("POST", "/v3/auth/tokens", credentials(scope=RED))
    assert answer.status_code == 201 and answer.headers["X-Subject-Token"]
    token = answer.json["token"]
    assert token["project"] == {
        "id": world.red,
        "name": "red",
        "domain": {"id": "default", "name": "Default"},
    }
    assert token["user"]["id"] == world.ann and token["methods"] == ["password"]
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    expires = datetime.datetime.fromisoformat(token["expires_at"])
    issued = datetime.datetime.fromisoformat(token["issued_at"])
    assert expires - issued == datetime.timedelta(hours=8)
    found = {service["type"]: service["endpoints"] for service in token["catalog"]}
    assert set(found) == {"compute", "identity", "image", "network"}
    assert {each["interface"] for each in found["compute"]} == {"public", "internal", "admin"}
    assert all(each["url"].endswith("/v2.1") and each["region"] == "RegionOne" for each in found["compute"])
    assert answer.headers["X-Subject-Token"] not in answer.text


def test_scopes(world):
    for scope, project in (
        ({"project": {"id": world.red}}, "red"),
        (RED, "red"),
        ("unscoped", None),
        ({"unscoped": {}}, None),
    ):
        answer = world.ask("POST", "/v3/auth/tokens", credentials(scope=scope))
        assert answer.status_code == 201
        assert answer.json["token"].get("project", {}).get("name") == project
        assert ("catalog" in answer.json["token"]) == (project is not None)
    for scope in ({"system": {"all": True}}, {"domain": {"id": "default"}}, {"project": {"id": "none"}}):
        assert failed(world.ask("POST", "/v3/auth/tokens", credentials(scope=scope)), 401)


def test_a_token_gives_a_token(world):
    body = {
        "auth": {"identity": {"methods": ["token"], "token": {"id": world.member_token}}, "scope": "unscoped"}
    }
    answer = world.ask("POST", "/v3/auth/tokens", body)
    assert answer.status_code == 201 and answer.json["token"]["methods"] == ["password", "token"]
    body["auth"]["identity"]["token"]["id"] = "forged"
    assert failed(world.ask("POST", "/v3/auth/tokens", body), 401)


def test_what_is_wrong_with_credentials_is_not_said(world):
    answers = [
        world.ask("POST", "/v3/auth/tokens", credentials(**wrong))
        for wrong in ({"name": "nobody"}, {"password": "second"}, {"scope": {"project": {"name": "admin"}}})
    ]
    assert len({answer.text for answer in answers}) == 1 and all(failed(each, 401) for each in answers)
    assert answers[0].headers["WWW-Authenticate"].startswith("Keystone uri=")


BAD = [
    ({}, "auth"),
    ([], "body"),
    ({"auth": {}}, "identity"),
    ({"auth": {"identity": {"methods": []}}}, "methods"),
    ({"auth": {"identity": {"methods": ["totp"]}}}, "methods"),
    ({"auth": {"identity": {"methods": ["password"]}}}, "password"),
    ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}}}, "user"),
    (credentials(name=7), "name"),
    (credentials(password=None), "password"),
    (credentials(password="x" * 5000), "password"),
    (credentials(scope={"project": {}}), "scope"),
    (credentials(scope={"project": {"domain": {"id": "default"}}}), "project"),
    (credentials(scope={"planet": {}}), "scope"),
    (credentials(scope=["red"]), "scope"),
    ({**credentials(), "more": 1}, "more"),
]


@pytest.mark.parametrize(("body", "word"), BAD)
def test_bad_credentials_bodies_are_refused_by_name(world, body, word):
    assert failed(world.ask("POST", "/v3/auth/tokens", body), 400, word)


def test_bodies_that_are_no_json(world):
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        answer = world.client.simulate_post("/identity/v3/auth/tokens", body=body)
        assert failed(answer, 400)
    assert failed(world.client.simulate_post("/identity/v3/auth/tokens", body=b"x" * (2 << 20)), 413)


def test_without_a_valid_token_nothing_is_shown(world):
    for method, path in (
        ("GET", "/v3/auth/tokens"),
        ("DELETE", "/v3/auth/tokens"),
        ("GET", "/v3/auth/projects"),
        ("GET", "/v3/users"),
        ("POST", "/v3/projects"),
        ("GET", "/v3/domains/default"),
        ("GET", "/v3/role_assignments"),
        ("PUT", f"/v3/projects/{world.red}/users/{world.ann}/roles/x"),
    ):
        assert failed(world.ask(method, path), 401)
        answer = world.ask(method, path, token="forged")
        assert failed(answer, 401) and answer.headers["WWW-Authenticate"]


def test_validate_check_and_revoke(world):
    secret = world.ask("POST", "/v3/auth/tokens", credentials(scope=RED)).headers["X-Subject-Token"]
    about = {"X_Subject_Token": secret}
    for ask in (world.admin, world.member):
        answer = ask("GET", "/v3/auth/tokens", **about)
        assert answer.status_code == 200 and answer.json["token"]["project"]["name"] == "red"
        assert "catalog" in answer.json["token"]
        answer = ask("HEAD", "/v3/auth/tokens", **about)
        assert answer.status_code == 200 and answer.text == ""
    short = world.admin("GET", "/v3/auth/tokens?nocatalog", **about)
    assert "catalog" not in short.json["token"]
    assert failed(world.member("GET", "/v3/auth/tokens", X_Subject_Token=world.admin_token), 403)
    assert failed(world.member("GET", "/v3/auth/tokens"), 400, "X-Subject-Token")
    assert world.member("DELETE", "/v3/auth/tokens", **about).status_code == 204
    assert failed(world.admin("GET", "/v3/auth/tokens", **about), 404)
    assert failed(world.ask("GET", "/v3/auth/projects", token=secret), 401)


def test_what_a_token_reaches(world):
    (project,) = world.member("GET", "/v3/auth/projects").json["projects"]
    assert project["name"] == "red"
    assert len(world.member("GET", "/v3/auth/catalog").json["catalog"]) == 4
    assert world.member("GET", "/v3/auth/domains").json["domains"] == []
    unscoped = world.ask("POST", "/v3/auth/tokens", credentials(scope="unscoped")).headers["X-Subject-Token"]
    assert world.ask("GET", "/v3/auth/projects", token=unscoped).json["projects"] == [project]
    assert failed(world.ask("GET", "/v3/auth/catalog", token=unscoped), 403)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("project", {"description": "d", "domain_id": "default", "enabled": True, "tags": [], "options": {}}),
        ("user", {"password": "pw", "email": "e@example.org", "enabled": True, "domain_id": "default"}),
        ("role", {"description": "d"}),
    ],
)
def test_the_life_of_an_entity(world, kind, values):
    plural = f"/v3/{kind}s"
    answer = world.admin("POST", plural, {kind: {"name": "thing", **values}})
    assert answer.status_code == 201, answer.text
    made = answer.json[kind]
    assert made["name"] == "thing" and "password" not in str(made).replace("password_expires_at", "")
    assert made["links"]["self"].endswith(f"{plural}/{made['id']}")
    assert failed(world.admin("POST", plural, {kind: {"name": "thing"}}), 409, "thing")
    one = f"{plural}/{made['id']}"
    assert world.admin("GET", one).json[kind] == made
    assert world.admin("GET", f"{plural}?name=thing").json[f"{kind}s"] == [made]
    assert made in world.admin("GET", plural).json[f"{kind}s"]
    answer = world.admin("PATCH", one, {kind: {"name": "other", "description": "new"}})
    assert (answer.json[kind]["name"], answer.json[kind]["description"]) == ("other", "new")
    assert world.admin("DELETE", one).status_code == 204
    for method in ("GET", "DELETE"):
        assert failed(world.admin(method, one), 404)
    assert failed(world.admin("PATCH", one, {kind: {"name": "x"}}), 404)


@pytest.mark.parametrize("kind", ["project", "user", "role"])
def test_bad_entities_are_refused_by_name(world, kind):
    for values, word in (
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": "x", "description": 5}, "description"),
    ):
        assert failed(world.admin("POST", f"/v3/{kind}s", {kind: values}), 400, word)
    assert failed(world.admin("POST", f"/v3/{kind}s", {"thing": {"name": "x"}}), 400)
    if kind != "role":
        body = {kind: {"name": "x", "enabled": "maybe"}}
        assert failed(world.admin("POST", f"/v3/{kind}s", body), 400, "enabled")
        assert failed(
            world.admin("POST", f"/v3/{kind}s", {kind: {"name": "x", "domain_id": "moon"}}), 404, "moon"
        )


def test_a_member_sees_itself_and_no_more(world):
    assert world.member("GET", f"/v3/users/{world.ann}").json["user"]["name"] == "ann"
    assert world.member("GET", f"/v3/projects/{world.red}").json["project"]["name"] == "red"
    assert world.member("GET", f"/v3/users/{world.ann}/projects").json["projects"][0]["name"] == "red"
    assert world.member("GET", "/v3/domains").json["domains"][0]["id"] == "default"
    admin = world.admin("GET", "/v3/users?name=admin").json["users"][0]["id"]
    role = f"/v3/projects/{world.red}/users/{world.ann}/roles/{world.roles['admin']}"
    for method, path, body in (
        ("GET", "/v3/users", None),
        ("GET", f"/v3/users/{admin}", None),
        ("GET", f"/v3/users/{admin}/projects", None),
        ("GET", "/v3/projects", None),
        ("POST", "/v3/projects", {"project": {"name": "mine"}}),
        ("PATCH", f"/v3/users/{world.ann}", {"user": {"enabled": True}}),
        ("DELETE", f"/v3/projects/{world.red}", None),
        ("PUT", role, None),
        ("GET", "/v3/role_assignments", None),
    ):
        assert failed(world.member(method, path, body), 403)


def test_roles_are_given_checked_listed_and_taken(world):
    user = world.admin("POST", "/v3/users", {"user": {"name": "bob", "password": "x"}}).json["user"]["id"]
    one = f"/v3/projects/{world.red}/users/{user}/roles/{world.roles['reader']}"
    assert failed(world.admin("GET", one), 404)
    for _ in range(2):
        assert world.admin("PUT", one).status_code == 204
    assert world.admin("GET", one).status_code == world.admin("HEAD", one).status_code == 204
    roles = world.admin("GET", one.rpartition("/")[0]).json["roles"]
    assert [role["name"] for role in roles] == ["reader"]
    answer = world.admin("GET", f"/v3/role_assignments?user.id={user}&include_names=true")
    (found,) = answer.json["role_assignments"]
    assert (found["role"]["name"], found["user"]["name"], found["scope"]["project"]["name"]) == (
        "reader",
        "bob",
        "red",
    )
    assert found["links"]["assignment"].endswith(one)
    for query in ("scope.domain.id=default", "group.id=x", "scope.system=all", "user.id=none"):
        assert world.admin("GET", f"/v3/role_assignments?{query}").json["role_assignments"] == []
    assert world.admin("DELETE", one).status_code == 204
    assert failed(world.admin("DELETE", one), 404)
    assert failed(world.admin("PUT", one.replace(user, "none")), 404)
    on_domain = one.replace(f"projects/{world.red}", "domains/default")
    assert failed(world.admin("PUT", on_domain), 403, "projects only")
    world.admin("DELETE", f"/v3/users/{user}")


def test_one_changes_ones_own_password(world):
    user = world.admin("POST", "/v3/users", {"user": {"name": "eve", "password": "old"}}).json["user"]["id"]

    def change(old, new):
        body = {"user": {"original_password": old, "password": new}}
        return world.ask("POST", f"/v3/users/{user}/password", body)

    assert failed(change("wrong", "new"), 401)
    assert failed(change("old", 5), 400, "password")
    assert change("old", "new").status_code == 204
    assert failed(world.ask("POST", "/v3/auth/tokens", credentials("eve", "old")), 401)
    assert world.ask("POST", "/v3/auth/tokens", credentials("eve", "new")).status_code == 201


def test_unknown_paths_and_methods(world):
    assert failed(world.admin("GET", "/v3/planets"), 404)
    assert failed(world.admin("PUT", "/v3/users"), 405)
    assert failed(world.admin("POST", "/v3/domains", {"domain": {"name": "second"}}), 403, "default")
