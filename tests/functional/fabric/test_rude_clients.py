"""Clients that stall, or send what is no HTTP: others are served, and nobody gets a 5xx."""

from __future__ import annotations

import socket
import time

import pytest

from tests.helpers.process import CONF, Up

AUTH = b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
STALLS = {
    "in a header": b"GET / HTTP/1.1\r\nHo",
    "in a body": AUTH + b"Content-Length: 100\r\n\r\n{",
    "in a chunk": AUTH + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
}
BROKEN = {"no size": b"zz\r\n{}\r\n0\r\n\r\n", "negative size": b"-2\r\n{}\r\n0\r\n\r\n"}


@pytest.mark.parametrize("sent", STALLS.values(), ids=STALLS)
def test_clients_that_stall_do_not_stop_the_others(up: Up, sent: bytes) -> None:
    up.conf_file.write_text(CONF + "[api]\nthreads = 3\nclient_timeout = 1\n")
    up.start()
    stalled = [socket.create_connection(("127.0.0.1", up.port)) for _ in range(6)]
    try:
        for client in stalled:
            client.sendall(sent)
        began = time.monotonic()
        assert up.call("GET", "/", token="")[0] == 200
        assert time.monotonic() - began < 10
    finally:
        for client in stalled:
            client.close()
    assert "Traceback" not in up.log.read_text()


def test_a_client_that_stops_reading_does_not_keep_its_thread(up: Up) -> None:
    up.conf_file.write_text(CONF + "[api]\nthreads = 1\nclient_timeout = 1\n")
    up.start()
    image = up.image()
    base = up.services["image"].rstrip("/").removesuffix("/v2")
    answer = up.call("POST", f"{base}/v2/images", {"name": "b", "disk_format": "raw", "container_format": "bare"})
    image = answer[1]["id"]
    assert up.call("PUT", f"{base}/v2/images/{image}/file", bytes(20 << 20))[0] == 204
    with socket.create_connection(("127.0.0.1", up.port)) as client:
        asked = f"GET {base}/v2/images/{image}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {up.login()}\r\n\r\n"
        client.sendall(asked.encode())
        assert up.call("GET", "/", token="")[0] == 200
    assert "Traceback" not in up.log.read_text()


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_chunks_that_are_none_are_a_bad_request(up: Up, body: bytes) -> None:
    up.start()
    with socket.create_connection(("127.0.0.1", up.port), timeout=10) as client:
        client.sendall(AUTH + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in up.log.read_text()
