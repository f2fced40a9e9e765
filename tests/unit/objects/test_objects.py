"""Versioned objects: their fingerprints, and that they survive a wire."""

from __future__ import annotations

import subprocess
import sys

from oslo_versionedobjects import fixture

from tenter import objects
from tenter.objects.base import TenterObject, base

# A changed fingerprint means: bump VERSION, say what came in obj_make_compatible, then change this table.
FINGERPRINTS: dict[str, str] = {
    "BlockDevice": "1.0-46f65a24020812cde89e9cd157145cc6",
    "ComputeNode": "1.0-57201c1d0f4171dd5603e271143f1f2e",
    "FixedIP": "1.0-402fd749448f04f9462718e9ddb12746",
    "Flavor": "1.0-4a6a01e92d08b130d1db2aed2adc7ef5",
    "ImageMeta": "1.0-003ca3552c286a5cccd29b31c9b74fd6",
    "Instance": "1.0-14dcc879824a9c02e054f588e83df6c3",
    "InstanceAction": "1.0-89c6ce0562eb332eb55e6ce4ff9980ab",
    "InstanceActionEvent": "1.0-1bf64b1df033f129c8fb197a18107392",
    "KeyPair": "1.0-6ae0a2703eb1b2e945682f00506ed2bf",
    "NetworkInfo": "1.0-6a7e981364034b2221c6edcdc3b32a6e",
    "RequestSpec": "1.0-af395c89e9ba7ad7a26e7e2f75b40326",
    "Service": "1.0-7abb5eb40f6f4ff049795f4587e6e201",
    "Subnet": "1.0-25a23111696368fa71a84d0a9ae22851",
    "VIF": "1.0-d836b40a2c5d00229188727f333f96f8",
}


def _ours() -> dict[str, list[type]]:
    every = base.VersionedObjectRegistry.obj_classes()
    return {name: classes for name, classes in every.items() if issubclass(classes[0], TenterObject)}


def test_fingerprints() -> None:
    expected, actual = fixture.ObjectVersionChecker(_ours()).test_hashes(FINGERPRINTS)
    assert expected == actual


def test_every_exported_object_is_registered() -> None:
    exported = {getattr(objects, name).__name__ for name in objects.__all__} - {"TenterObject"}
    assert exported == set(_ours())


def test_relationships_and_old_versions() -> None:
    fixture.ObjectVersionChecker(_ours()).test_compatibility_routines()


def test_an_object_survives_the_wire() -> None:
    subnet = objects.Subnet(id="s", cidr="10.0.0.0/24", gateway=None, dns=["10.0.0.1"], dhcp=True)
    address = objects.FixedIP(address="10.0.0.7", version=4, subnet=subnet)
    vif = objects.VIF(
        id="p", network_id="n", network_label="private", mac="fa:16:3e:00:00:01", type="bridge", fixed_ips=[address],
        devname=None, mtu=1500, details={"bridge": "br0", "unknown": [1, {"deep": None}]},
    )  # fmt: skip
    info = objects.NetworkInfo(vifs=[vif])
    again = objects.NetworkInfo.obj_from_primitive(info.obj_to_primitive())
    assert again.to_mapping() == info.to_mapping()
    assert again.vifs[0].details["unknown"] == [1, {"deep": None}]


PROBE = """
import socket, threading, time, sys
before = [socket.socket, threading.Thread, time.sleep, threading.Lock]
import tenter.objects
import tenter.cli.embedded, tenter.cli.up, tenter_api.server, tenter_api.app
import tenter_plugins.virt.fake, tenter_plugins.network.local.driver
import tenter_plugins.image.local, tenter_plugins.identity.local
never = ("eventlet", "greenlet", "gevent")
bad = [name for name, module in sys.modules.items() if name.split(".")[0] in never and module]
assert not bad, bad
assert before == [socket.socket, threading.Thread, time.sleep, threading.Lock]
assert socket.socket.__module__ == "socket" and threading.Thread.__module__ == "threading"
assert type(time.sleep).__name__ == "builtin_function_or_method"
import tenter_plugins
"""


def test_nothing_is_monkey_patched() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
