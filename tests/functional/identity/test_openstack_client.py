"""The ordinary ``openstack`` client against identity and image APIs in a process of their own."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLIENT = Path(sys.executable).with_name("openstack")
HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(not CLIENT.exists(), reason="the openstack client is not installed")


class Cloud:
    def __init__(self, directory):
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()
        auth = {"auth_url": f"http://127.0.0.1:{self.port}/identity/v3", "project_name": "admin"}
        auth |= {"username": "admin", "password": (directory / "password").read_text()}
        auth |= {"user_domain_id": "default", "project_domain_id": "default"}
        # JSON is YAML.
        (directory / "clouds.yaml").write_text(json.dumps({"clouds": {"small": {"auth": auth}}}))

    def start(self):
        command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--threads", "4"]
        command += ["--bind", f"127.0.0.1:{self.port}", "--chdir", str(HERE), "small_cloud:application"]
        environment = {**os.environ, "TENTER_TEST_STATE": str(self.directory)}
        self.log = (self.directory / "log").open("a")
        self.process = subprocess.Popen(command, env=environment, stderr=self.log, start_new_session=True)
        for _ in range(300):
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/identity")
                assert connection.getresponse().status == 300
                return
            assert self.process.poll() is None, (self.directory / "log").read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self.log.close()

    def run(self, *words, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment |= {
            "OS_CLIENT_CONFIG_FILE": str(self.directory / "clouds.yaml"),
            "OS_CLOUD": "small",
            **variables,
        }
        command = [str(CLIENT), *map(str, words)]
        # With any standard input at all, "image create" would upload it.
        nothing = subprocess.DEVNULL
        return subprocess.run(
            command, env=environment, stdin=nothing, capture_output=True, text=True, timeout=60
        )

    def ask(self, *words, **variables):
        done = self.run(*words, "-f", "json", **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def do(self, *words, **variables):
        done = self.run(*words, **variables)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    found = Cloud(tmp_path_factory.mktemp("cloud"))
    yield found
    found.kill()


def test_tokens_and_catalog(cloud):
    token = cloud.ask("token", "issue")
    assert token["id"] and token["project_id"]
    assert {service["Type"] for service in cloud.ask("catalog", "list")} == {
        "compute",
        "identity",
        "image",
        "network",
    }
    cloud.do("token", "revoke", token["id"])
    wrong = cloud.run("token", "issue", OS_PASSWORD="wrong")
    assert wrong.returncode != 0 and "401" in wrong.stderr


def test_projects_users_and_roles(cloud):
    cloud.ask("project", "create", "--description", "d", "red")
    cloud.do("project", "set", "--description", "new", "--name", "rouge", "red")
    assert cloud.ask("project", "show", "rouge")["description"] == "new"
    cloud.ask("user", "create", "--project", "rouge", "--password", "pw", "--email", "a@example.org", "ann")
    cloud.do("role", "add", "--project", "rouge", "--user", "ann", "member")
    cloud.do("role", "add", "--project", "rouge", "--user", "ann", "member")
    assignments = cloud.ask("role", "assignment", "list", "--names", "--user", "ann")
    assert [(each["Role"], each["Project"]) for each in assignments] == [("member", "rouge@Default")]
    ann = {"OS_USERNAME": "ann", "OS_PASSWORD": "pw", "OS_PROJECT_NAME": "rouge"}
    assert cloud.ask("token", "issue", **ann)["user_id"]
    assert cloud.run("user", "list", **ann).returncode != 0
    cloud.do("user", "set", "--disable", "ann")
    assert cloud.run("token", "issue", **ann).returncode != 0
    cloud.do("role", "remove", "--project", "rouge", "--user", "ann", "member")
    cloud.do("user", "delete", "ann")
    cloud.do("project", "delete", "rouge")
    assert [each["Name"] for each in cloud.ask("project", "list")] == ["admin"]
    assert [each["Name"] for each in cloud.ask("user", "list")] == ["admin"]
    assert {each["Name"] for each in cloud.ask("role", "list")} >= {"admin", "manager", "member", "reader"}


def test_images_up_and_down_and_over_a_kill(cloud, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(5_000_000))
    made = cloud.ask("image", "create", "--file", source, "--disk-format", "raw", "--property", "a=b", "one")
    assert (made["status"], made["size"], made["properties"]["a"]) == ("active", 5_000_000, "b")
    cloud.do("image", "set", "--name", "two", "--tag", "t", "--property", "c=d", "--public", "one")
    cloud.do("image", "unset", "--tag", "t", "--property", "a", "two")
    shown = cloud.ask("image", "show", "two")
    assert (shown["visibility"], shown["tags"], shown["properties"]["c"]) == ("public", [], "d")
    cloud.kill()
    cloud.start()
    cloud.do("image", "save", "--file", target, "two")
    assert target.read_bytes() == source.read_bytes()
    assert [image["Name"] for image in cloud.ask("image", "list", "--status", "active")] == ["two"]
    cloud.do("image", "delete", "two")
    assert cloud.ask("image", "list") == []


def _image(cloud, token, method, path="", body=None):
    """Ask the image API itself: the client cannot make an image without data, and takes seconds for each look."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
    headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
    connection.request(method, f"/image/v2/images{path}", body and json.dumps(body), headers)
    return json.loads(connection.getresponse().read())


def _upload(cloud, image_id, token, *parts, chunked):
    connection = socket.create_connection(("127.0.0.1", cloud.port), timeout=30)
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 9000000"
    head = f"PUT /image/v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n"
    connection.sendall(f"{head}Content-Type: application/octet-stream\r\n{length}\r\n\r\n".encode())
    for part in parts:
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
    return connection


def _wait_for(cloud, token, image_id, status):
    for _ in range(100):
        found = _image(cloud, token, "GET", f"/{image_id}")
        if found["status"] == status:
            return found
        time.sleep(0.1)
    raise AssertionError(f"the image is {found['status']}, not {status}")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_goes_away_leaves_nothing(cloud, chunked):
    token = cloud.ask("token", "issue")["id"]
    formats = {"disk_format": "raw", "container_format": "bare"}
    image_id = _image(cloud, token, "POST", body=formats)["id"]
    connection = _upload(cloud, image_id, token, b"x" * 500_000, chunked=chunked)
    _wait_for(cloud, token, image_id, "saving")
    connection.close()
    _wait_for(cloud, token, image_id, "queued")
    left = [path for path in cloud.directory.rglob("*") if path.parent.name in ("data", "incoming")]
    assert left == []
    connection = _upload(cloud, image_id, token, b"x" * 70_000, b"y" * 10, b"", chunked=True)
    assert b" 204 " in connection.recv(1000).partition(b"\r\n")[0]
    connection.close()
    assert _wait_for(cloud, token, image_id, "active")["size"] == 70_010
    cloud.do("image", "delete", image_id)
