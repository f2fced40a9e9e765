"""Key pairs by the API."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from .conftest import MINORS, World


def line(key: Any) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode() + " ann@example"


KEY = line(ed25519.Ed25519PrivateKey.generate())


def add(world: World, minor: int = 92, status: int = 201, **values: Any) -> Any:
    pair = {"name": "k", "public_key": KEY} | values
    schema = "keypairs-create-response" if status < 300 else None
    return world.member.send("POST", "/os-keypairs", {"keypair": pair}, minor, schema, status)


@pytest.mark.parametrize("minor", MINORS)
def test_shapes_at_every_microversion(world: World, minor: int) -> None:
    made = add(world, minor, 201 if minor >= 2 else 200)["keypair"]
    assert ("type" in made) == (minor >= 2)
    shown = world.member.get("/os-keypairs/k", minor, "keypairs-show-response")["keypair"]
    assert (shown["public_key"], shown["user_id"]) == (KEY, world.member.user_id)
    listed = world.member.get("/os-keypairs", minor, "keypairs-list-response")["keypairs"]
    assert listed[0]["keypair"]["fingerprint"] == made["fingerprint"]
    world.member.send("DELETE", "/os-keypairs/k", None, minor, status=204 if minor >= 2 else 202)
    world.member.get("/os-keypairs/k", minor, status=404)


def test_fingerprint_is_what_ssh_keygen_says(world: World, tmp_path: Path) -> None:
    for key in (KEY, line(ec.generate_private_key(ec.SECP256R1()))):
        path = tmp_path / "key.pub"
        path.write_text(key)
        made = add(world, name=f"k{len(key)}", public_key=key)["keypair"]
        try:
            said = subprocess.run(["ssh-keygen", "-E", "md5", "-lf", path], capture_output=True, text=True, timeout=20)
        except FileNotFoundError:
            pytest.skip("ssh-keygen is not installed")
        assert said.stdout.split()[1] == "MD5:" + made["fingerprint"]


def test_a_pair_made_here_fits_together(world: World) -> None:
    made = world.member.send(
        "POST", "/os-keypairs", {"keypair": {"name": "made"}}, 91, "keypairs-create-response", 201
    )["keypair"]
    private = serialization.load_ssh_private_key(made["private_key"].encode(), None)
    assert line(private).split()[1] == made["public_key"].split()[1]
    assert "private_key" not in world.member.get("/os-keypairs/made", 91)["keypair"]
    world.member.send("POST", "/os-keypairs", {"keypair": {"name": "made2"}}, 92, status=400)


@pytest.mark.parametrize(
    "key",
    ["", "x", "ssh-rsa", "ssh-rsa AAAA", "ssh-rsa ???? c", "ssh-foo " + KEY.split()[1], KEY + "\nssh-rsa AAAA",
     "ssh-rsa " + KEY.split()[1], "sk-ssh-ed25519@openssh.com " + KEY.split()[1], "-----BEGIN CERTIFICATE-----",
     "ssh-ed25519 " + KEY.split()[1][:-8], "ssh-rsa \u2603", KEY + "x" * 20000, None, 5],
    ids=lambda key: "bad",
)  # fmt: skip
def test_bad_keys(world: World, key: Any) -> None:
    add(world, status=400, public_key=key)
    add(world, status=400, public_key=key, type="x509")
    assert world.member.get("/os-keypairs")["keypairs"] == []


@pytest.mark.parametrize(
    ("name", "minor", "good"),
    [("a b_c-1", 1, True), ("a.b", 91, False), ("a.b@c", 92, True), ("a/b", 92, False), ("", 92, False),
     (" a", 92, False), ("a ", 92, False), ("x" * 255, 92, True), ("x" * 256, 92, False), ("a\n", 92, False),
     ("ü", 92, False)]
)  # fmt: skip
def test_names(world: World, name: str, minor: int, good: bool) -> None:
    add(world, minor, status=(201 if minor >= 2 else 200) if good else 400, name=name)


def test_keys_of_old_versions_are_unknown_before(world: World) -> None:
    add(world, 1, status=400, type="ssh")
    add(world, 9, status=400, user_id="x")
    add(world, 2, type="ssh")
    assert "type" in add(world, 2, status=400, type="dsa", name="l")["badRequest"]["message"]


def test_names_are_taken_once_for_each_user(world: World) -> None:
    add(world)
    add(world, status=409)
    assert world.stranger.get("/os-keypairs")["keypairs"] == []
    world.stranger.get("/os-keypairs/k", status=404)
    world.stranger.send("DELETE", "/os-keypairs/k", None, 92, status=404)
    world.member.get("/os-keypairs/k")


def test_admins_act_for_users_since_2_10(world: World) -> None:
    body = {"keypair": {"name": "k", "public_key": KEY, "user_id": world.member.user_id}}
    world.admin.send("POST", "/os-keypairs", body, 10, "keypairs-create-response", 201)
    assert world.member.get("/os-keypairs/k")["keypair"]["user_id"] == world.member.user_id
    query = f"?user_id={world.member.user_id}"
    assert len(world.admin.get(f"/os-keypairs{query}", 10)["keypairs"]) == 1
    assert world.admin.get(f"/os-keypairs{query}", 9)["keypairs"] == []
    world.stranger.get(f"/os-keypairs{query}", 10, status=403)
    world.stranger.get(f"/os-keypairs/k{query}", 10, status=403)
    world.stranger.send("DELETE", f"/os-keypairs/k{query}", None, 10, status=403)
    world.stranger.send("POST", "/os-keypairs", body, 10, status=403)
    world.admin.send("DELETE", f"/os-keypairs/k{query}", None, 10, status=204)


def test_pages_since_2_35(world: World) -> None:
    for name in "abc":
        add(world, name=name)
    page = world.member.get("/os-keypairs?limit=2", 35, "keypairs-list-response")
    assert [item["keypair"]["name"] for item in page["keypairs"]] == ["a", "b"]
    assert page["keypairs_links"][0]["href"].endswith("/v2.1/os-keypairs?limit=2&marker=b")
    assert len(world.member.get("/os-keypairs?limit=2&marker=b", 35)["keypairs"]) == 1
    assert len(world.member.get("/os-keypairs?limit=2&marker=b", 34)["keypairs"]) == 3
    world.member.get("/os-keypairs?marker=none", 35, status=400)
    world.member.get("/os-keypairs?limit=x", 35, status=400)
    world.member.get("/os-keypairs?x=1", 75, status=400)


def test_readers_only_read(world: World) -> None:
    world.reader.get("/os-keypairs")
    world.reader.send("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": KEY}}, 2, status=403)
    world.reader.send("DELETE", "/os-keypairs/k", None, 2, status=403)


def test_certificates_are_imported(world: World) -> None:
    pem = certificate()
    made = add(world, type="x509", public_key=pem)["keypair"]
    assert (made["type"], len(made["fingerprint"])) == ("x509", 59)
    world.member.send("POST", "/os-keypairs", {"keypair": {"name": "c", "type": "x509"}}, 2, status=400)


def certificate() -> str:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    key, at = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(at).not_valid_after(at + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
