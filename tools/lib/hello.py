"""What tools/up does with a cloud: an image, a server called hello, its console."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from pathlib import Path

from cloud import Cloud
from steps import Failed

ROOT = Path(__file__).parents[2]
SERVER, FLAVOR = "hello", "m1.nano"
IMAGES = {"libvirt": ("tenter-tiny", "qcow2"), "fake": ("tenter-nothing", "raw")}
MARKERS = {"libvirt": "GUEST-READY", "fake": "fake guest"}
BOOT_SECONDS = 420.0


def cache() -> Path:
    """Return where the guest image is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("TENTER_CACHE") or f"{base}/tenter/guest")


def build_image(driver: str) -> Path:
    """Return the file of the guest image, built if it is not there. Raises Failed."""
    directory = cache()
    directory.mkdir(parents=True, exist_ok=True)
    if driver == "fake":
        path = directory / "nothing.raw"
        path.write_bytes(bytes(1 << 20))
        return path
    path = directory / "tenter-tiny.qcow2"
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        builder = [ROOT / "tools" / "guest-image", directory]
        done = subprocess.run(builder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode and not path.exists():
        raise Failed(f"{done.stdout}{done.stderr}".strip())
    return path


def upload_image(cloud: Cloud, path: Path) -> str:
    """Make sure that the cloud has the image, and return its name. Raises Failed."""
    name, disk_format = IMAGES[cloud.driver]
    known = {row["Name"]: row["Status"] for row in cloud.client_json("image", "list")}
    if known.get(name) != "active":
        cloud.client("image", "create", "--disk-format", disk_format, "--file", str(path), "--public", name)
    return name


def boot(cloud: Cloud, image: str) -> bool:
    """Boot the server if there is none of its name; return whether it was made now. Raises Failed with its fault."""
    if SERVER in {row["Name"] for row in cloud.client_json("server", "list")}:
        return False
    create(cloud, image)
    return True


def create(cloud: Cloud, image: str) -> None:
    """Make the server and wait until it is active. Raises Failed with its fault."""
    try:
        cloud.client("server", "create", "--image", image, "--flavor", FLAVOR, "--wait", SERVER)
    except Failed:
        fault = cloud.client("server", "show", SERVER, "-f", "value", "-c", "fault", check=False).strip()
        raise Failed(fault or f"the server {SERVER} could not be made; {cloud.last_words()}") from None


def await_console(cloud: Cloud) -> str:
    """Return the server's console log once the guest's marker is in it. Raises Failed."""
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        text = cloud.client("console", "log", "show", SERVER)
        if MARKERS[cloud.driver] in text:
            return text
        if time.monotonic() > deadline:
            tail = "\n".join(text.splitlines()[-15:])
            marker = MARKERS[cloud.driver]
            raise Failed(f"the guest did not print {marker} in {BOOT_SECONDS:.0f} s; its console ends with\n{tail}")
        time.sleep(2)
