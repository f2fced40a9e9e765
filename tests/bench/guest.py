"""POST of a server to its running QEMU process, less what libvirt alone takes for the same domain.

Needs libvirt, QEMU and the image that tools/guest-image builds (``--image``).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid as uuidlib
from pathlib import Path
from typing import Any

import libvirt
from cloud import Cloud, median, report, running, server_body

TARGET_MS = 400.0
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
DEFAULT_IMAGE = CACHE / "tenter" / "guest" / "tenter-tiny.qcow2"


def until(cloud: Cloud, server: str, status: str | None) -> None:
    """Wait until a server has the status (None: until it is gone)."""
    client = cloud.client()
    limit = time.perf_counter() + 180
    while time.perf_counter() < limit:
        code, body, _ = client.request("GET", f"/v2.1/servers/{server}")
        if code == 404 and status is None:
            return
        seen = json.loads(body)["server"]["status"] if code == 200 else None
        if seen == status:
            return
        if seen == "ERROR":
            raise RuntimeError(body.decode())
        time.sleep(0.01)
    raise RuntimeError(f"server {server} did not come to {status or 'its end'}")


def boot(cloud: Cloud, image: str, name: str) -> tuple[float, str]:
    """Return the seconds from POST to ACTIVE, which comes after QEMU runs, and the server's id."""
    client = cloud.client()
    began = time.perf_counter()
    status, body, _ = client.request("POST", "/v2.1/servers", server_body(name, image))
    if status != 202:
        raise RuntimeError(f"POST: {status} {body[:300]!r}")
    server = json.loads(body)["server"]["id"]
    until(cloud, server, "ACTIVE")
    return time.perf_counter() - began, server


def alone(connection: Any, server: str, xml: str, files: Path) -> float:
    """Return the seconds that libvirt takes to define and start the same domain under another UUID, from a copy."""
    other = str(uuidlib.uuid4())
    copy = files.parent / other
    shutil.copytree(files, copy)
    text = re.sub(r"<target dev='tap[^']*'/>", "", xml.replace(server, other))
    try:
        began = time.perf_counter()
        domain = connection.defineXML(text)
        domain.create()
        took = time.perf_counter() - began
        domain.destroy()
        domain.undefine()
    finally:
        shutil.rmtree(copy)
    return took


def measure(cloud: Cloud, image: str, runs: int) -> tuple[list[float], list[float]]:
    """Boot by the API and by libvirt alone in turn, in the same daemon, one guest at a time."""
    ours: list[float] = []
    theirs: list[float] = []
    socket = next(cloud.state_dir.rglob("libvirt-sock"))
    connection = libvirt.open(f"qemu+unix:///{'system' if os.geteuid() == 0 else 'session'}?socket={socket}")
    for number in range(runs + 1):
        took, server = boot(cloud, image, f"guest-{number}")
        xml = connection.lookupByUUIDString(server).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        files = next(cloud.state_dir.rglob(f"instances/{server}"))
        kept = files.parent / "kept"
        shutil.copytree(files, kept)
        status, body, _ = cloud.client().request("DELETE", f"/v2.1/servers/{server}")
        if status != 204:
            raise RuntimeError(f"DELETE: {status} {body[:300]!r}")
        until(cloud, server, None)
        bare = alone(connection, server, xml, kept)
        shutil.rmtree(kept)
        if number:  # the first one fetches and converts the image
            ours.append(took)
            theirs.append(bare)
    connection.close()
    return ours, theirs


def main() -> None:
    """Measure, and compare pair by pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--runs", type=int, default=5, help="how often to measure (default: 5)")
    parser.add_argument("--image", type=Path, default=DEFAULT_IMAGE, help="bootable image (default: %(default)s)")
    args = parser.parse_args()
    with running("libvirt") as cloud:
        ours, theirs = measure(cloud, cloud.upload_image(args.image.read_bytes(), "qcow2"), args.runs)
        cloud.stop()
        subprocess.run(
            [sys.executable, "-m", "tenter.cli.main", "teardown", "--purge", "--state-dir", str(cloud.state_dir)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    overhead = median([one - other for one, other in zip(ours, theirs, strict=True)]) * 1e3
    rows = [
        ("POST to ACTIVE (QEMU runs), median", f"{median(ours) * 1e3:.0f} ms"),
        ("libvirt alone, median", f"{median(theirs) * 1e3:.0f} ms"),
    ]
    report("guest", rows, f"{overhead:.0f} ms over libvirt alone (at most {TARGET_MS:.0f})",
           {"ours_s": ours, "libvirt_s": theirs, "overhead_ms": overhead, "target": TARGET_MS}, args.json)  # fmt: skip


if __name__ == "__main__":
    main()
