"""Image API v2, request by request."""

import hashlib
import os
import uuid

import pytest

REPLACE = "replace"


def failed(answer, status, *words):
    assert answer.status_code == status, answer.text
    assert all(word in answer.json["message"] for word in words), answer.text
    return True


def test_version_documents_need_no_token(world):
    for path in ("", "/", "/versions"):
        answer = world.ask("GET", path, token=None)
        assert answer.status_code == 300
        (version,) = answer.json["versions"]
        assert version["status"] == "CURRENT" and version["links"][0]["href"].endswith("/image/v2/")


def test_the_life_of_an_image(world):
    image = world.create(name="one", min_ram=64, tags=["a", "a"], os_distro="debian")
    assert (image["status"], image["visibility"], image["owner"], image["size"]) == (
        "queued",
        "shared",
        "red",
        None,
    )
    assert (image["tags"], image["os_distro"]) == (["a"], "debian")
    path = f"/v2/images/{image['id']}"
    assert image["self"] == path and image["file"] == path + "/file"
    assert world.ask("GET", path + "/file").status_code == 204
    content = os.urandom(700_001)
    assert world.put(image, content).status_code == 204
    active = world.ask("GET", path).json
    assert (active["status"], active["size"], active["checksum"]) == (
        "active",
        700_001,
        hashlib.md5(content).hexdigest(),
    )
    assert (active["os_hash_algo"], active["os_hash_value"]) == (
        "sha512",
        hashlib.sha512(content).hexdigest(),
    )
    down = world.ask("GET", path + "/file")
    assert down.content == content and down.headers["Content-Length"] == "700001"
    assert down.headers["Content-MD5"] == active["checksum"]
    assert failed(world.put(image, b"again"), 409)
    assert world.ask("DELETE", path).status_code == 204
    for method in ("GET", "DELETE"):
        assert failed(world.ask(method, path), 404, image["id"])
    assert failed(world.ask("GET", path + "/file"), 404)
    assert world.files() == set()


@pytest.mark.parametrize(
    ("values", "status", "word"),
    [
        ([], 400, "body"),
        ({"name": 5}, 400, "name"),
        ({"name": "x" * 256}, 400, "name"),
        ({"id": "not-a-uuid"}, 400, "id"),
        ({"disk_format": "floppy"}, 400, "disk_format"),
        ({"min_ram": -1}, 400, "min_ram"),
        ({"min_disk": "big"}, 400, "min_disk"),
        ({"protected": "yes"}, 400, "protected"),
        ({"tags": "a"}, 400, "tags"),
        ({"tags": ["x" * 256]}, 400, "tags"),
        ({"visibility": "secret"}, 400, "visibility"),
        ({"colour": 7}, 400, "colour"),
        ({"x" * 256: "y"}, 400, "x"),
        ({"status": "active"}, 403, "status"),
        ({"size": 5}, 403, "size"),
        ({"visibility": "public"}, 403, "public"),
        ({"owner": "blue"}, 403, "blue"),
    ],
)
def test_bad_images_are_refused_by_name(world, values, status, word):
    assert failed(world.ask("POST", "/v2/images", values), status, word)
    assert world.ask("GET", "/v2/images", token="any:admin").json["images"] == []


def test_bodies_that_are_no_json(world):
    for body in (b"{", b"\xff", b""):
        assert failed(world.ask("POST", "/v2/images", body), 400)
    assert failed(world.ask("POST", "/v2/images", b"[" * 70_000), 413)
    assert failed(world.ask("POST", "/v2/images", b"{}", Content_Type="text/plain"), 415)


def test_an_id_may_be_chosen_once(world):
    chosen = str(uuid.uuid4())
    assert world.create(id=chosen)["id"] == chosen
    assert failed(world.ask("POST", "/v2/images", {"id": chosen}), 409)


def test_bad_uploads_leave_nothing(world):
    image = world.create()
    assert failed(world.put(image, b"x", kind="text/plain"), 415)
    assert failed(world.put(image, b"x" * (1 << 20) + b"x"), 413)
    assert failed(world.put(image, b"short", Content_Length="500"), 400, "broke off")
    assert failed(world.put({"id": "none"}, b"x"), 404)
    assert failed(world.put(world.create(disk_format=None), b"x"), 400, "disk_format")
    assert world.ask("GET", f"/v2/images/{image['id']}").json["status"] == "queued" and world.files() == set()
    assert world.put(image, b"good").status_code == 204


def test_a_patch_changes_what_it_names(world):
    image = world.create(name="one", old="x", keep="y")
    answer = world.patch(
        image,
        {"op": REPLACE, "path": "/name", "value": "two"},
        {"op": "add", "path": "/new~1key", "value": "v"},
        {"op": REPLACE, "path": "/keep", "value": "z"},
        {"op": "remove", "path": "/old"},
        {"op": "add", "path": "/tags", "value": ["t"]},
        {"op": REPLACE, "path": "/min_ram", "value": 7},
    )
    assert answer.status_code == 200, answer.text
    found = answer.json
    assert (found["name"], found["new/key"], found["keep"], found["tags"], found["min_ram"]) == (
        "two",
        "v",
        "z",
        ["t"],
        7,
    )
    assert "old" not in found and found == world.ask("GET", f"/v2/images/{image['id']}").json


@pytest.mark.parametrize(
    ("operation", "status", "word"),
    [
        ({"op": "test", "path": "/name", "value": "x"}, 400, "op"),
        ({"op": REPLACE, "path": "name", "value": "x"}, 400, "path"),
        ({"op": REPLACE, "path": "/a/b", "value": "x"}, 400, "path"),
        ({"op": REPLACE, "path": "/name"}, 400, "value"),
        ({"op": REPLACE, "path": "/name", "value": 5}, 400, "name"),
        ({"op": "add", "path": "/colour", "value": 5}, 400, "colour"),
        ({"op": REPLACE, "path": "/colour", "value": "red"}, 409, "colour"),
        ({"op": "remove", "path": "/colour"}, 409, "colour"),
        ({"op": "remove", "path": "/visibility"}, 403, "visibility"),
        ({"op": REPLACE, "path": "/visibility", "value": "public"}, 403, "public"),
        ({"op": REPLACE, "path": "/owner", "value": "blue"}, 403, "blue"),
        ({"op": REPLACE, "path": "/status", "value": "active"}, 403, "status"),
        ({"op": "add", "path": "/locations", "value": []}, 403, "locations"),
        ({"op": REPLACE, "path": "/id", "value": str(uuid.uuid4())}, 403, "id"),
    ],
)
def test_bad_patches_change_nothing(world, operation, status, word):
    image = world.create(name="one")
    good = {"op": REPLACE, "path": "/name", "value": "two"}
    assert failed(world.patch(image, good, operation), status, word)
    assert world.ask("GET", f"/v2/images/{image['id']}").json["name"] == "one"


def test_a_patch_is_of_the_right_type(world):
    image = world.create()
    assert failed(
        world.ask("PATCH", f"/v2/images/{image['id']}", b"[]", Content_Type="application/json"), 415
    )
    kind = "application/openstack-images-v2.1-json-patch"
    assert failed(world.ask("PATCH", f"/v2/images/{image['id']}", b"{", Content_Type=kind), 400)
    assert failed(world.ask("PATCH", f"/v2/images/{image['id']}", b"{}", Content_Type=kind), 400)


def test_projects_do_not_see_each_others_images(world):
    private = world.create(name="private", visibility="private")
    shown = world.create("any:admin", name="public", visibility="public")
    world.put(shown, b"data", "any:admin")
    blue = "blue:member"
    path = f"/v2/images/{private['id']}"
    for method, where in (
        ("GET", path),
        ("DELETE", path),
        ("GET", path + "/file"),
        ("PUT", path + "/tags/x"),
    ):
        assert failed(world.ask(method, where, token=blue), 404)
    assert failed(world.patch(private, {"op": REPLACE, "path": "/name", "value": "x"}, token=blue), 404)
    assert failed(world.put(private, b"x", blue), 404)
    assert [image["name"] for image in world.ask("GET", "/v2/images", token=blue).json["images"]] == [
        "public"
    ]
    path = f"/v2/images/{shown['id']}"
    assert world.ask("GET", path + "/file", token=blue).content == b"data"
    assert failed(world.ask("DELETE", path, token=blue), 403)
    assert failed(world.patch(shown, {"op": REPLACE, "path": "/name", "value": "x"}, token=blue), 403)
    assert world.ask("DELETE", path, token="any:admin").status_code == 204


def test_roles(world):
    image = world.create()
    assert failed(world.ask("GET", "/v2/images", token=None), 401)
    assert failed(world.ask("GET", "/v2/images", token="forged"), 401)
    for token in ("red:none", ":member"):
        assert failed(world.ask("GET", "/v2/images", token=token), 403)
    reader = "red:reader"
    assert world.ask("GET", f"/v2/images/{image['id']}", token=reader).status_code == 200
    assert failed(world.ask("POST", "/v2/images", {}, reader), 403)
    assert failed(world.ask("DELETE", f"/v2/images/{image['id']}", token=reader), 403)
    assert failed(world.put(image, b"x", reader), 403)


def test_a_protected_image_stays(world):
    image = world.create(protected=True)
    assert failed(world.ask("DELETE", f"/v2/images/{image['id']}"), 403, "protected")
    assert world.patch(image, {"op": REPLACE, "path": "/protected", "value": False}).status_code == 200
    assert world.ask("DELETE", f"/v2/images/{image['id']}").status_code == 204


def test_pages_are_followed_to_the_end(world):
    made = {world.create(name=f"i{number}")["id"] for number in range(7)}
    link, found = "/v2/images?limit=3&sort=name:asc", []
    while link:
        page = world.ask("GET", link).json
        assert (
            len(page["images"]) <= 3
            and page["first"].startswith("/v2/images?")
            and "marker" not in page["first"]
        )
        found += page["images"]
        link = page.get("next")
    assert [image["name"] for image in found] == [f"i{number}" for number in range(7)]
    assert {image["id"] for image in found} == made


def test_filters(world):
    one, two = world.create(name="one", os_distro="debian"), world.create(name="two", tags=["t"])
    for query, names in (
        (f"id=in:{one['id']},{two['id']}", {"one", "two"}),
        (f"id=in:{one['id']}", {"one"}),
        ("name=one", {"one"}),
        ("name=in:one,two", {"one", "two"}),
        ("os_distro=debian", {"one"}),
        ("tag=t", {"two"}),
        ("status=active", set()),
        ("status=queued&visibility=shared", {"one", "two"}),
        ("visibility=all&owner=red", {"one", "two"}),
        ("os_hidden=True", set()),
        ("limit=0", set()),
        ("member_status=all", {"one", "two"}),
        ("sort_key=name&sort_key=size&sort_dir=asc", {"one", "two"}),
    ):
        answer = world.ask("GET", f"/v2/images?{query}")
        assert {image["name"] for image in answer.json["images"]} == names, query
    for query in ("limit=-1", "limit=x", "marker=none", "sort=colour", "sort_dir=up", "visibility=x", "size_min=x",
                  "protected=perhaps",
                  "sort_key=name&sort_key=id&sort_key=size&sort_dir=asc&sort_dir=desc"):  # fmt: skip
        assert failed(world.ask("GET", f"/v2/images?{query}"), 400), query


def test_tags(world):
    image = world.create()
    path = f"/v2/images/{image['id']}/tags"
    for _ in range(2):
        assert world.ask("PUT", f"{path}/new").status_code == 204
    assert world.ask("GET", f"/v2/images/{image['id']}").json["tags"] == ["new"]
    assert failed(world.ask("PUT", f"{path}/{'x' * 256}"), 400, "tags")
    assert world.ask("DELETE", f"{path}/new").status_code == 204
    assert failed(world.ask("DELETE", f"{path}/new"), 404)


def test_schemas_fit_what_is_shown(world):
    import jsonschema

    image = world.create(name="one", os_distro="debian")
    jsonschema.validate(image, world.ask("GET", "/v2/schemas/image").json)
    jsonschema.validate(world.ask("GET", "/v2/images").json, world.ask("GET", "/v2/schemas/images").json)
    assert failed(world.ask("GET", "/v2/schemas/none"), 404)
